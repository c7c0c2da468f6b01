// A synthetic model that is measured: one checkpoint, one replica, some sequences in it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/bench.hpp"
#include "runtime/model/local_replica.hpp"

namespace tessera::bench {

/// What a token costs at least: weights that a decode step reads (all but the embedding table, of which it reads a row
/// for each token), and multiply-adds, without attention's own.
struct TokenCost {
  double bytes = 0;
  double layer_multiply_adds = 0;  ///< of every token of a prompt
  double head_multiply_adds = 0;   ///< where logits are wanted
};
TokenCost token_cost(const Manifest& manifest);

/// <cache folder>/<shape>-<dtype>.h5, made at first use.
Result<std::string> cached_model(const Settings& settings, const std::string& shape, DType dtype);

/// Owned and called by one thread.
class ModelRunner {
 public:
  /// Room for `sequences` sequences of `positions` tokens each.
  static Result<ModelRunner> create(const Settings& settings, const std::string& shape, DType dtype,
                                    std::uint32_t sequences, std::uint32_t positions);

  /// Forgets what was there, and fills every sequence with `tokens` prompt tokens, in steps of at most
  /// limits::step_rows_max. Seconds for all of them.
  Result<double> prefill(std::uint32_t tokens);
  /// `steps` steps, in each a token of every sequence with logits. Seconds.
  Result<double> decode(std::uint32_t steps);
  /// The next decode() is at `position` again; tokens before it stay.
  void rewind(std::uint32_t position) { position_ = position; }
  const TokenCost& cost() const { return cost_; }

 private:
  ModelRunner(std::unique_ptr<LocalReplica> replica, const Clock& clock, std::uint32_t sequences,
              std::uint32_t positions);
  Result<double> timed(std::span<const StepRow> rows, std::span<const StepSequence> sequences);

  std::unique_ptr<LocalReplica> replica_;
  const Clock* clock_;
  TokenCost cost_;
  std::uint32_t positions_;
  std::vector<float> logits_;
  std::vector<std::vector<PageId>> pages_;  ///< of each sequence
  std::uint32_t position_ = 0;
  std::uint64_t step_ = 0;
};

}  // namespace tessera::bench
