#include "app/run_options.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "app/numa_option.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/device/device_module.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/device/topology.hpp"

namespace tessera::app {

void add_model_options(CLI::App& command, ModelOptions& options) {
  command.add_option("MODEL", options.model, "Checkpoint file (.h5)")->required();
  command.add_option("--threads", options.threads, "Compute threads (default: all cores that this process may use)")
      ->check(CLI::Range(1u, limits::threads_max));
  add_numa_option(command, options.numa);
  command.add_option("--shards", options.shards, "Run the model as N in-process shards; the result has the same bits")
      ->capture_default_str();
  command.add_option("--isa", options.isa, "Instruction set; the result has the same bits")
      ->check(CLI::IsMember({"auto", "scalar", "avx2", "avx512", "avx512bf16"}))
      ->capture_default_str();
  command.add_option("--device", options.device, "cpu, gpu or gpu:N (tessera devices lists them)")
      ->capture_default_str();
}

namespace {

/// "gpu" or "gpu:N"; nothing for "cpu".
Result<std::optional<std::uint32_t>> gpu_number(const std::string& device) {
  if (device == "cpu") return std::optional<std::uint32_t>();
  if (device == "gpu") return std::optional<std::uint32_t>(0);
  std::uint32_t number = 0;
  const char* const begin = device.data() + std::strlen("gpu:");
  const char* const end = device.data() + device.size();
  if (device.starts_with("gpu:") && begin != end) {
    const auto [last, error] = std::from_chars(begin, end, number);
    if (error == std::errc() && last == end) return std::optional<std::uint32_t>(number);
  }
  return Error{ErrorCode::invalid_argument, "--device " + device + ": give cpu, gpu or gpu:N"};
}

/// The table and the number of the GPU that was asked for.
Result<void> choose_gpu(const std::string& device, ReplicaOptions& replica) {
  TESSERA_TRY(const std::optional<std::uint32_t> number, gpu_number(device));
  if (!number) return {};
  const GpuReport gpus = find_gpus();
  if (gpus.table == nullptr) {
    return Error{ErrorCode::unavailable, "--device " + device + ": there is no GPU: " + gpus.reason};
  }
  if (*number >= gpus.devices.size()) {
    return Error{ErrorCode::invalid_argument, "--device " + device + ": this machine has " +
                                                  std::to_string(gpus.devices.size()) + " GPUs, counted from 0"};
  }
  replica.gpu = gpus.table;
  replica.device = *number;
  return {};
}

}  // namespace

Result<OpenModel> open_model(const std::string& path, const Clock& clock) {
  const TimePoint start = clock.now();
  OpenModel model;
  TESSERA_TRY(auto source, open_source(path));
  TESSERA_TRY(model.checkpoint, Checkpoint::open(source));
  TESSERA_TRY(auto blob, model.checkpoint->read_tokenizer());
  if (!blob.empty()) {
    TESSERA_TRY(auto tokenizer, Tokenizer::parse(blob, path));
    const std::uint32_t vocab_size = model.checkpoint->manifest().shape.vocab_size;
    if (tokenizer.vocab_size() != vocab_size) {
      return Error{ErrorCode::corrupt, path + ": the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                                           " entries, the model " + std::to_string(vocab_size) +
                                           "; import the model again"};
    }
    model.tokenizer = std::move(tokenizer);
  }
  model.open_seconds = seconds_between(start, clock.now());
  return model;
}

Result<std::unique_ptr<LocalReplica>> start_replica(const OpenModel& model, const ModelOptions& options,
                                                    std::uint32_t kv_positions) {
  TESSERA_CHECK(place_process(options.numa));
  ReplicaOptions replica;
  TESSERA_TRY(replica.ops, select_kernels(options.isa == "auto" ? std::nullopt : parse_isa(options.isa)));
  replica.shards = options.shards;
  replica.threads = options.threads == 0 ? usable_cores() : options.threads;
  replica.kv_positions = kv_positions;
  TESSERA_CHECK(choose_gpu(options.device, replica));
  return LocalReplica::create(model.checkpoint, replica);
}

Result<std::string> read_text_file(const std::string& path) {
  std::FILE* const file = path == "-" ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) return Error{ErrorCode::not_found, path + ": cannot open: " + std::strerror(errno)};
  std::string text;
  char buffer[1 << 16];
  std::size_t count = 0;
  while (text.size() <= limits::prompt_bytes_max && (count = std::fread(buffer, 1, sizeof buffer, file)) > 0) {
    text.append(buffer, count);
  }
  const bool failed = std::ferror(file) != 0;
  const std::string reason = std::strerror(errno);
  if (file != stdin) std::fclose(file);
  if (failed) return Error{ErrorCode::io, path + ": cannot read: " + reason};
  if (text.size() > limits::prompt_bytes_max) {
    return Error{ErrorCode::exhausted, path + ": longer than " + std::to_string(limits::prompt_bytes_max >> 20) +
                                           " MiB; give a shorter text"};
  }
  return text;
}

}  // namespace tessera::app
