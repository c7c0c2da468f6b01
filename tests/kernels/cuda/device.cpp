#include "tests/kernels/cuda/device.hpp"

#include <bit>
#include <cstdlib>
#include <dlfcn.h>

#include "runtime/base/ensure.hpp"

extern "C" const tessera_device_table* tessera_device_table_get(void);

namespace tessera::test {

namespace {

const tessera_device_table* open_table() {
  const char* const path = std::getenv("TESSERA_CUDA_MODULE");
  if (path == nullptr || *path == '\0') return tessera_device_table_get();
  void* const library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  BOOST_REQUIRE_MESSAGE(library != nullptr, ::dlerror());
  const auto probe = reinterpret_cast<tessera_device_probe_fn>(::dlsym(library, "tessera_device_probe"));
  const auto get = reinterpret_cast<tessera_device_table_fn>(::dlsym(library, "tessera_device_table_get"));
  BOOST_REQUIRE(probe != nullptr && get != nullptr);
  tessera_device_probe_result found{};
  BOOST_REQUIRE_MESSAGE(probe(&found) == TESSERA_DEVICE_OK, path << ": " << found.reason);
  BOOST_REQUIRE(get()->abi_version == TESSERA_DEVICE_ABI_VERSION);
  return get();
}

}  // namespace

const tessera_device_table& device_table() {
  static const tessera_device_table* const table = open_table();
  return *table;
}

Device::Device() : table_(device_table()) {
  const std::int32_t status = table_.open(0, &queue_);
  TESSERA_ENSURE(queue_ != nullptr);
  check(status);
}

Device::~Device() { table_.close(queue_); }

std::vector<float> padded_rows(const float* x, std::size_t ldx, std::uint32_t rows, std::uint32_t k) {
  const std::size_t ld = round_up(k, 4);
  std::vector<float> padded(rows * ld, std::bit_cast<float>(0xffffffffu));
  for (std::size_t row = 0; row < rows; ++row)
    if (k != 0) std::memcpy(padded.data() + row * ld, x + row * ldx, k * sizeof(float));
  return padded;
}

}  // namespace tessera::test
