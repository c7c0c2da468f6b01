// Perplexity through a deployment: what the worker that runs such a job does. It is a frontend like any other, so the
// work survives whatever a stream survives.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <tessera/cluster.hpp>

#include "clients/client_core.hpp"

namespace tessera::frontend {

/// Windows that are scored at once.
inline constexpr std::size_t windows_at_once_max = 4;

/// Log-probability of every token but the first, given those before it. Blocks; not on the RPC thread.
Result<std::vector<float>> score_tokens(ClientCore& core, const std::string& deployment, std::vector<TokenId> tokens);

/// The same numbers, to the bit, as `tessera perplexity` on one node: same windows, same order of the sum. `window` 0:
/// the model's context. The core's keep_going stops it. Blocks; not on the RPC thread.
Result<client::PerplexityReport> score_perplexity(ClientCore& core, const std::string& deployment,
                                                  const std::string& text, std::uint32_t window);

}  // namespace tessera::frontend
