// GPU modules: shared libraries behind the table of kernels/abi/device_abi.h, opened at run time. A node without
// module, driver or device computes on the CPU and says why in one line.
//
//   log_info(gpu_line());      // "no GPU: no NVIDIA driver is installed; computing on the CPU"
//
// The module is looked for at $TESSERA_CUDA_MODULE or, without that, beside the binary, where the build puts it and
// where it is installed.
#pragma once

#include <string>
#include <vector>

#include "kernels/abi/device_abi.h"
#include "runtime/base/result.hpp"

namespace tessera {

/// An opened module. Never closed: threads of the driver may run in it until the process ends.
struct DeviceModule {
  std::string path;
  const tessera_device_table* table = nullptr;  ///< lives for ever
  tessera_device_probe_result probe{};
};

/// Opens the module and asks what is there. Errors: `not_found` (no such file), `unsupported` (not a module, or of
/// another ABI version), `unavailable` (no driver or no device: the message is the module's reason). Any thread.
Result<DeviceModule> open_device_module(const std::string& path);

struct GpuReport {
  std::string module;                           ///< path of the module that was found; empty: none
  const tessera_device_table* table = nullptr;  ///< null: nothing to compute on
  tessera_device_probe_result probe{};
  std::vector<tessera_device_info> devices;
  std::string reason;  ///< why there is no device; empty where there is one
};

/// Where the module is looked for, in order.
std::vector<std::string> device_module_paths();

/// The first module that exists among the paths, and its devices. Takes as long as the driver needs: milliseconds
/// without one, up to a second with one, and some memory of each device until the process ends. Any thread.
GpuReport find_gpus(const std::vector<std::string>& paths = device_module_paths());

/// One line for the log of a node. Only asks whether there are devices, and takes no memory of theirs.
std::string gpu_line(const std::vector<std::string>& paths = device_module_paths());

}  // namespace tessera
