#include "runtime/device/device_module.hpp"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <system_error>

namespace tessera {

namespace {

constexpr const char* module_variable = "TESSERA_CUDA_MODULE";
constexpr const char* module_file = "libtessera_cuda.so";

template <typename Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(::dlsym(library, name));
}

std::string bounded(const char* text, std::size_t bytes) { return {text, ::strnlen(text, bytes)}; }

}  // namespace

Result<DeviceModule> open_device_module(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return Error{ErrorCode::not_found, "GPU module " + path + " does not exist; correct " + module_variable +
                                           ", or build it with -Dcuda=enabled"};
  }
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const cause = ::dlerror();
    return Error{ErrorCode::unsupported,
                 "GPU module " + path + " cannot be loaded: " + (cause != nullptr ? cause : "unknown cause")};
  }
  const auto version = symbol<tessera_device_abi_version_fn>(library, "tessera_device_abi_version");
  const auto probe = symbol<tessera_device_probe_fn>(library, "tessera_device_probe");
  const auto table = symbol<tessera_device_table_fn>(library, "tessera_device_table_get");
  if (version == nullptr || probe == nullptr || table == nullptr) {
    ::dlclose(library);
    return Error{ErrorCode::unsupported, path + " is not a GPU module of Tessera: it lacks tessera_device_" +
                                             (version == nullptr ? "abi_version"
                                              : probe == nullptr ? "probe"
                                                                 : "table_get")};
  }
  if (const std::uint32_t found = version(); found != TESSERA_DEVICE_ABI_VERSION) {
    ::dlclose(library);
    return Error{ErrorCode::unsupported, "GPU module " + path + " has ABI version " + std::to_string(found) +
                                             ", this build needs " + std::to_string(TESSERA_DEVICE_ABI_VERSION) +
                                             ": install the module of the same version"};
  }
  DeviceModule module;
  module.path = path;
  const std::int32_t status = probe(&module.probe);
  if (status != TESSERA_DEVICE_OK || module.probe.devices == 0) {
    std::string reason = bounded(module.probe.reason, sizeof module.probe.reason);
    if (reason.empty()) reason = "the module found none (status " + std::to_string(status) + ")";
    return Error{ErrorCode::unavailable, std::move(reason)};
  }
  module.table = table();
  if (module.table == nullptr || module.table->abi_version != TESSERA_DEVICE_ABI_VERSION) {
    return Error{ErrorCode::unsupported, "GPU module " + path + " gives no table of its ABI version"};
  }
  return module;
}

std::vector<std::string> device_module_paths() {
  if (const char* const named = std::getenv(module_variable); named != nullptr && *named != '\0') return {named};
  std::error_code error;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const std::filesystem::path folder = binary.parent_path();
  return {(folder / module_file).string(), (folder.parent_path() / "kernels/cuda" / module_file).string(),
          (folder.parent_path() / "lib/tessera" / module_file).string(),
          (folder.parent_path() / "lib/x86_64-linux-gnu/tessera" / module_file).string()};
}

namespace {

/// The first module that exists; a single path must.
Result<DeviceModule> open_first(const std::vector<std::string>& paths, std::string& found) {
  for (const std::string& path : paths) {
    Result<DeviceModule> opened = open_device_module(path);
    if (!opened && opened.error().code == ErrorCode::not_found) {
      if (paths.size() == 1) return opened.error();
      continue;
    }
    found = path;
    return opened;
  }
  return Error{ErrorCode::not_found, "this installation has no GPU module"};
}

}  // namespace

GpuReport find_gpus(const std::vector<std::string>& paths) {
  GpuReport report;
  const Result<DeviceModule> opened = open_first(paths, report.module);
  if (!opened) {
    report.reason = opened.error().message;
    return report;
  }
  report.probe = opened->probe;
  for (std::uint32_t device = 0; device < opened->probe.devices; ++device) {
    tessera_device_info info{};
    if (opened->table->describe(device, &info) != TESSERA_DEVICE_OK) {
      report.reason = "GPU " + std::to_string(device) + " does not answer; look at nvidia-smi";
      report.devices.clear();
      return report;
    }
    info.name[sizeof info.name - 1] = info.bus_id[sizeof info.bus_id - 1] = '\0';
    report.devices.push_back(info);
  }
  report.table = opened->table;
  return report;
}

std::string gpu_line(const std::vector<std::string>& paths) {
  std::string found;
  const Result<DeviceModule> opened = open_first(paths, found);
  if (!opened) return "no GPU: " + opened.error().message + "; computing on the CPU";
  return std::to_string(opened->probe.devices) +
         " GPUs found, but this version has no GPU shards; computing on the CPU";
}

}  // namespace tessera
