/* A GPU module as wrong, or as right, as its preprocessor definitions say; tests of the loader open it. */
#include <string.h>

#include "kernels/abi/device_abi.h"

#ifndef FAKE_ABI_VERSION
#define FAKE_ABI_VERSION TESSERA_DEVICE_ABI_VERSION
#endif
#ifndef FAKE_DEVICES
#define FAKE_DEVICES 1
#endif
#ifndef FAKE_DESCRIBE_STATUS
#define FAKE_DESCRIBE_STATUS TESSERA_DEVICE_OK
#endif

static int32_t describe(uint32_t device, tessera_device_info* info) {
  memset(info, 0, sizeof *info);
  strcpy(info->name, device == 0 ? "Fake 1" : "Fake 2");
  info->memory_bytes = (uint64_t)4 << 30;
  return FAKE_DESCRIBE_STATUS;
}

uint32_t tessera_device_abi_version(void) { return FAKE_ABI_VERSION; }

int32_t tessera_device_probe(tessera_device_probe_result* result) {
  memset(result, 0, sizeof *result);
  result->devices = FAKE_DEVICES;
  if (FAKE_DEVICES != 0) return TESSERA_DEVICE_OK;
  result->runtime_code = 100;
  strcpy(result->reason, "the fake has no device");
  return TESSERA_DEVICE_NONE;
}

#ifndef FAKE_WITHOUT_TABLE
const tessera_device_table* tessera_device_table_get(void) {
  static tessera_device_table table;
  table.abi_version = FAKE_ABI_VERSION;
  table.name = "fake";
  table.describe = describe;
  return &table;
}
#else
int32_t (*fake_unused)(uint32_t, tessera_device_info*) = describe;
#endif
