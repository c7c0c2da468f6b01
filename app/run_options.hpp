// Options that every command that loads a model shares, and the loading itself.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/model/local_replica.hpp"
#include "runtime/text/tokenizer.hpp"

namespace CLI {
class App;
}

namespace tessera::app {

struct ModelOptions {
  std::string model;
  std::uint32_t threads = 0;          ///< 0: all usable cores
  std::optional<std::uint32_t> numa;  ///< NUMA node to stay on
  std::uint32_t shards = 1;
  std::string isa = "auto";
  std::string device = "cpu";
};

/// MODEL, --threads, --numa, --shards, --isa, --device
void add_model_options(CLI::App& command, ModelOptions& options);

/// An open checkpoint with its tokenizer.
struct OpenModel {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::optional<Tokenizer> tokenizer;
  double open_seconds = 0;
};
Result<OpenModel> open_model(const std::string& path, const Clock& clock);

/// A replica for one sequence of up to `kv_positions` positions.
Result<std::unique_ptr<LocalReplica>> start_replica(const OpenModel& model, const ModelOptions& options,
                                                    std::uint32_t kv_positions);

/// A whole file, at most limits::prompt_bytes_max bytes; "-" is standard input.
Result<std::string> read_text_file(const std::string& path);

}  // namespace tessera::app
