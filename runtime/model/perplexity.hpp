// Perplexity of a token sequence: exp of the mean negative log-probability of each token given those before it in its
// window.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "runtime/base/result.hpp"
#include "runtime/model/local_replica.hpp"

namespace tessera {

struct PerplexityOptions {
  std::uint32_t window = 0;             ///< tokens per window; 0: the model's context
  std::optional<TokenId> window_start;  ///< put before every window and not scored (BOS)
};

struct PerplexityReport {
  double perplexity = 0;
  double mean_negative_log_probability = 0;
  std::uint64_t scored_tokens = 0;
  std::uint32_t windows = 0;
};

/// Windows are cut one after the other, without overlap; the first token of a window is scored only when there is a
/// start token. Needs at least two tokens. `progress(done, total)` is called after every step and returns false to
/// cancel.
Result<PerplexityReport> perplexity(LocalReplica& replica, std::span<const TokenId> tokens,
                                    const PerplexityOptions& options,
                                    const std::function<bool(std::uint64_t, std::uint64_t)>& progress);

}  // namespace tessera
