// ModelSource: the models that a gateway serves, wherever they run. What the routes see of the cluster; tests put a
// source of their own behind it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tessera/generation.hpp>

#include "cluster/control/node_info.hpp"
#include "cluster/control/stream.hpp"
#include "runtime/base/result.hpp"
#include "runtime/batching/generation_types.hpp"
#include "runtime/chat/chat_template.hpp"
#include "runtime/tensor/pooling.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::gateway {

/// A deployment, as clients see it.
struct ServedModel {
  std::string name;  ///< of the deployment: the id in the protocols
  std::string content_id;
  std::string profile;                 ///< numeric profile
  std::uint32_t context_length = 0;    ///< positions of one stream
  std::uint32_t positions_max = 0;     ///< that one stream can have in the KV cache; at most context_length
  std::int64_t first_seen_unix_s = 0;  ///< by this gateway
  bool serves = false;                 ///< streams make progress now
  bool has_head = true;                ///< without one it gives vectors, and no text
  std::uint32_t dim = 0;               ///< elements of a vector
  PoolingPlan pooling = {};            ///< of vectors; its tokens_max is set
};

/// A model with what turns text into its tokens and back.
struct ModelWithText {
  ServedModel model;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< none: it takes and gives token ids only
  std::shared_ptr<const ChatTemplate> chat;    ///< none: it cannot chat
};

struct StreamSpec {
  std::string model;
  std::vector<TokenId> prompt;  ///< at least one token
  std::uint32_t tokens_max = 0;
  SamplingParameters sampling;  ///< with its seed
  std::vector<TokenId> end_tokens;
  std::vector<std::string> stop;
  std::shared_ptr<const Tokenizer> tokenizer;
  bool score_prompt = false;                 ///< also the log-probability of every prompt token but the first
  std::uint32_t alternatives = 0;            ///< beside each token and score; at most alternatives_max
  std::string tenant = {};                   ///< see StreamRequest
  std::int32_t priority = 0;                 ///< likewise
  std::string session = {};                  ///< of the conversation, see replica_routing.hpp
  std::chrono::milliseconds timeout{0};      ///< that is left from its start to its end; 0: no such time
  std::optional<VectorRequest> vector = {};  ///< of the prompt, instead of tokens
};

/// One stream that runs. Destroying it cancels it, at once and without waiting. One thread at a time.
class TokenStream {
 public:
  virtual ~TokenStream() = default;
  /// The next event, if there is one now; see client::Generation.
  virtual std::optional<client::GenerateEvent> poll() = 0;
  /// The last event was taken, or the stream failed.
  virtual bool done() const = 0;
  virtual std::optional<client::Error> error() const = 0;
  /// Of prompt tokens 1, 2, …; complete once it is done.
  virtual std::vector<PromptScore> scores() const = 0;
  /// Of the prompt, those that earlier streams had computed; known once it is done.
  virtual std::uint32_t cached_tokens() const = 0;
  /// Where its time went, so far; nothing before its first token.
  virtual std::optional<client::StreamPhases> phases() const = 0;
  /// That was asked for; known once it is done.
  virtual std::vector<float> vector() const = 0;
};

/// A node's load, as its last heartbeat had it.
struct NodeLoadFacts {
  std::string name;
  std::uint32_t streams_running = 0, streams_waiting = 0;
  std::uint64_t kv_bytes_used = 0, resident_bytes = 0;
  double cpu_share = 0;  ///< of its cores, 0 to 1
  double step_seconds_median = 0;
  double wait_share = 0;  ///< of a step, 0 to 1
  std::uint32_t kv_pages_cached = 0;
  std::uint64_t kv_bytes = 0;                                 ///< of its KV caches, used or not
  std::uint64_t draft_tokens = 0, draft_tokens_accepted = 0;  ///< since the node started
  std::uint64_t connections_refused = 0, calls_denied = 0;    ///< likewise
};

/// A node that conducts a model, or has: all of its replicas there together.
struct ConductorFacts {
  std::string node, model;
  ReplicaLoad load;
};

/// Streams that this gateway opened at a replica, since it started.
struct RoutedFacts {
  std::string model;
  ReplicaId replica;
  std::uint64_t streams = 0;
};

struct ClusterLoad {
  std::vector<NodeLoadFacts> nodes;
  std::vector<ConductorFacts> conductors;
  std::vector<ServedModel> models;
  std::vector<RoutedFacts> routed = {};
};

/// Any thread. The methods may wait for the cluster, so no event loop calls them.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  /// Errors: those of a cluster that cannot be reached.
  virtual Result<std::vector<ServedModel>> list() = 0;
  /// Errors: as above.
  virtual Result<ClusterLoad> load() = 0;
  /// Errors: not_found, and as above.
  virtual Result<ModelWithText> find(const std::string& name) = 0;
  /// `changed` is called on some thread whenever poll() or done() may have news; it must not block.
  virtual Result<std::unique_ptr<TokenStream>> start(const StreamSpec& spec, std::function<void()> changed) = 0;
  /// A seed for a request that names none; readers that keep numbers as doubles can hand it back unchanged.
  virtual std::uint64_t draw_seed() = 0;
};

}  // namespace tessera::gateway
