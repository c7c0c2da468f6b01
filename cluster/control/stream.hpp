// A stream between its frontend (who keeps prompt and delivered tokens) and the conductor that computes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/control/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/batching/generation_types.hpp"
#include "runtime/tensor/pooling.hpp"

namespace tessera {

inline constexpr std::size_t tenant_bytes_max = 64;
/// Of a stream: the earliest and the latest.
inline constexpr std::int32_t priority_min = -1000, priority_max = 1000;

/// How the hidden states of a prompt become one vector.
struct VectorRequest {
  Pooling pooling = Pooling::mean;
  bool normalised = false;
  bool operator==(const VectorRequest&) const = default;
};

/// What a frontend sends to open a stream, or to resume it at another conductor. Everything that the tokens depend on.
struct StreamRequest {
  StreamId id;
  std::string deployment;
  std::vector<TokenId> prompt;     ///< at least one token
  std::vector<TokenId> delivered;  ///< tokens that the frontend has already; the conductor goes on behind them
  std::uint32_t tokens_max = 256;  ///< of the whole stream, delivered ones included
  SamplingParameters sampling;     ///< its seed is resolved: never drawn by a server
  std::vector<TokenId> end_tokens;
  bool score_prompt = false;       ///< also send the log-probability of every prompt token but the first
  std::uint32_t alternatives = 0;  ///< to send beside each token and score; at most alternatives_max
  /// Whose it is: KV pages are shared only within a tenant, and tenants take turns. No token depends on it. At most
  /// tenant_bytes_max.
  std::string tenant = {};
  std::int32_t priority = 0;                 ///< lower is earlier, within priority_min and priority_max
  std::chrono::milliseconds timeout{0};      ///< what is left until it must have ended; 0: no such time
  std::optional<VectorRequest> vector = {};  ///< instead of tokens: tokens_max is 0
  ReplicaId replica = {};                    ///< that is to compute it; 0: whichever the node conducts
};

/// One token of a stream. `index` counts the stream's output tokens from 0.
struct StreamToken {
  std::uint32_t index = 0;
  TokenId token = 0;
  float log_probability = 0;
  TokenAlternatives alternatives = {};
};

/// Log-probability of prompt token `index` (from 1) given those before it.
struct PromptScore {
  std::uint32_t index = 0;
  float log_probability = 0;
  TokenAlternatives alternatives = {};
};

/// Where the time of a stream went at one conductor, as that measured it.
struct StreamPhases {
  double queue_seconds = 0;    ///< from its submission until it was admitted
  double prefill_seconds = 0;  ///< from then to its first token, or to its end when it has none
  double decode_seconds = 0;   ///< from then to its last token so far, with whatever came between
  std::uint32_t steps = 0;     ///< that computed something of it
  bool operator==(const StreamPhases&) const = default;
};
/// Of a stream that went from one conductor to the next.
inline StreamPhases operator+(const StreamPhases& a, const StreamPhases& b) {
  return {a.queue_seconds + b.queue_seconds, a.prefill_seconds + b.prefill_seconds, a.decode_seconds + b.decode_seconds,
          a.steps + b.steps};
}

/// What a conductor sends for one stream after a step.
struct StreamUpdate {
  StreamId id;
  ConductorIncarnation incarnation;
  std::vector<StreamToken> tokens;
  std::vector<PromptScore> scores;
  std::optional<FinishReason> finished;     ///< the last update of the stream
  std::optional<Error> failed;              ///< the stream cannot go on, anywhere
  bool moved = false;                       ///< this conductor ends: locate the new one and resume
  std::uint32_t cached_tokens = 0;          ///< of the prompt, that need not be computed here; comes with tokens
  std::optional<StreamPhases> phases = {};  ///< so far; comes with tokens and with `finished`
  std::vector<float> vector = {};           ///< that was asked for, [dim]; comes with `finished`
};

}  // namespace tessera
