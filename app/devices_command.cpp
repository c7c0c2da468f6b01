// tessera devices: what this machine computes with.
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/report.hpp"
#include "runtime/base/machine_memory.hpp"
#include "runtime/device/device_module.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/device/topology.hpp"

namespace tessera::app {

namespace {

/// 13000 becomes "13.0".
std::string version_text(std::uint32_t version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

nlohmann::json gpu_json(const GpuReport& gpus) {
  nlohmann::json devices = nlohmann::json::array();
  for (const tessera_device_info& info : gpus.devices) {
    devices.push_back(
        {{"name", info.name},
         {"bus_id", info.bus_id},
         {"compute_capability", std::to_string(info.capability_major) + "." + std::to_string(info.capability_minor)},
         {"multiprocessors", info.multiprocessors},
         {"memory_bytes", info.memory_bytes},
         {"memory_bytes_free", info.memory_bytes_free},
         {"l2_bytes", info.l2_bytes},
         {"shared_bytes_max", info.shared_bytes_max}});
  }
  nlohmann::json json = {{"module", gpus.module.empty() ? nlohmann::json() : nlohmann::json(gpus.module)},
                         {"devices", devices},
                         {"reason", gpus.table == nullptr ? nlohmann::json(gpus.reason) : nlohmann::json()}};
  if (gpus.probe.driver_version != 0) json["driver_cuda_version"] = version_text(gpus.probe.driver_version);
  if (gpus.probe.runtime_version != 0) json["runtime_cuda_version"] = version_text(gpus.probe.runtime_version);
  return json;
}

nlohmann::json cpu_json(const tessera_op_table& ops) {
  nlohmann::json isas = nlohmann::json::array();
  for (const Isa isa : available_isas()) isas.push_back(to_string(isa));
  nlohmann::json numa = nlohmann::json::array();
  const Topology topology = Topology::detect();
  for (const NumaNode& node : topology.nodes())
    numa.push_back({{"id", node.id}, {"cores", node.cpus.size()}, {"memory_bytes", node.memory_bytes}});
  return {{"cores", usable_cores()},
          {"isas", isas},
          {"isa", ops.name},
          {"numa_nodes", numa},
          {"memory_bytes_available", available_memory()}};
}

void print_table(const tessera_op_table& ops, const GpuReport& gpus) {
  std::string isas;
  for (const Isa isa : available_isas()) isas += (isas.empty() ? "" : ", ") + std::string(to_string(isa));
  std::printf("CPU    %u cores; %s; computes with %s\n", usable_cores(), isas.c_str(), ops.name);
  std::printf("       %s of memory available\n", human_bytes(static_cast<double>(available_memory())).c_str());
  const Topology topology = Topology::detect();
  for (const NumaNode& node : topology.nodes()) {
    if (topology.nodes().size() == 1) break;  // says nothing more
    std::printf("NUMA %u %zu cores, %s of memory\n", node.id, node.cpus.size(),
                human_bytes(static_cast<double>(node.memory_bytes)).c_str());
  }
  for (std::size_t i = 0; i < gpus.devices.size(); ++i) {
    const tessera_device_info& info = gpus.devices[i];
    std::printf("GPU %zu  %s at %s; compute capability %u.%u; %u multiprocessors\n", i, info.name, info.bus_id,
                info.capability_major, info.capability_minor, info.multiprocessors);
    std::printf("       %s of memory, %s free\n", human_bytes(static_cast<double>(info.memory_bytes)).c_str(),
                human_bytes(static_cast<double>(info.memory_bytes_free)).c_str());
  }
  if (gpus.table == nullptr) std::printf("GPU    none: %s\n", gpus.reason.c_str());
  if (!gpus.module.empty()) std::printf("       module %s\n", gpus.module.c_str());
}

int run_devices(bool json) {
  const Result<const tessera_op_table*> ops = select_kernels(std::nullopt);
  if (!ops) return fail(ops.error());
  const GpuReport gpus = find_gpus();
  if (json) return print_json({{"cpu", cpu_json(**ops)}, {"gpu", gpu_json(gpus)}}) ? exit_ok : fail_closed_stdout();
  print_table(**ops, gpus);
  return std::fflush(stdout) == 0 ? exit_ok : fail_closed_stdout();
}

}  // namespace

void add_devices_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("devices", "Show what this machine computes with: CPU and GPUs");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print one JSON object");
  command->callback([=, &action] { action = [json] { return run_devices(*json); }; });
}

}  // namespace tessera::app
