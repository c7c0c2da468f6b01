#include "app/run_options.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "app/numa_option.hpp"
#include "runtime/base/limits.hpp"
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
}

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
