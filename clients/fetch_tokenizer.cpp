#include "clients/fetch_tokenizer.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "cluster/rpc/rpc_limits.hpp"
#include "runtime/base/limits.hpp"

namespace tessera::frontend {

namespace {

constexpr std::chrono::milliseconds chunk_deadline{2000};
constexpr std::chrono::milliseconds retry_pause{50};

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

bool may_pass(ErrorCode code) { return code == ErrorCode::unavailable || code == ErrorCode::timed_out; }

Result<TokenizerChunk> read_chunk(ClientCore& core, const ConductorClient& conductor, TokenizerQuery query) {
  return core.wait<TokenizerChunk>([&conductor, query](Reply<TokenizerChunk> reply) {
    conductor.read_tokenizer(query, chunk_deadline, std::move(reply));
  });
}

Result<ConductorClient> find_conductor(ClientCore& core, const std::string& deployment, ClientCore::Deadline left) {
  TESSERA_TRY(const auto replicas, core.call<std::vector<ConductorLocation>>(
                                       left, [deployment](const CoordinatorClient& client, auto time, auto reply) {
                                         client.locate(deployment, time, std::move(reply));
                                       }));
  // All of them have the same model.
  const ConductorLocation& found = replicas.front();
  auto conductor = core.conductor({found.rpc, found.node_name, found.replica, found.incarnation});
  // A node that dies in the handshake looks like one that cannot be trusted, which is as good as absent: the
  // coordinator may know a better one by now.
  if (!conductor) return Error{ErrorCode::unavailable, conductor.error().message};
  return conductor;
}

/// A part of the model that `first` is a chunk of.
Result<std::vector<std::uint8_t>> read_rest(ClientCore& core, const ConductorClient& conductor, TokenizerQuery query,
                                            const TokenizerChunk& first) {
  const std::string& deployment = query.deployment;
  if (first.total_bytes > limits::tokenizer_bytes_max) {
    return Error{ErrorCode::corrupt, "deployment " + deployment + ": a part of its model has " +
                                         std::to_string(first.total_bytes) + " bytes"};
  }
  std::vector<std::uint8_t> blob;
  while (blob.size() < first.total_bytes) {
    query.offset = blob.size();
    query.length = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(rpc_limits::tokenizer_chunk_bytes_max, first.total_bytes - blob.size()));
    TESSERA_TRY(const TokenizerChunk chunk, read_chunk(core, conductor, query));
    if (chunk.content_id != first.content_id || chunk.total_bytes != first.total_bytes) {
      return Error{ErrorCode::unavailable, "deployment " + deployment + " changed its model while it was read"};
    }
    if (chunk.bytes.empty() || chunk.bytes.size() > query.length) {
      return Error{ErrorCode::corrupt, "deployment " + deployment + ": its node sends a damaged part of its model"};
    }
    blob.insert(blob.end(), chunk.bytes.begin(), chunk.bytes.end());
  }
  return blob;
}

Result<TokenizerPtr> read_tokenizer(ClientCore& core, const ConductorClient& conductor, const std::string& deployment) {
  // One byte tells which model it is: often it is known already.
  const TokenizerQuery query{deployment, 0, 1, TextPart::tokenizer};
  TESSERA_TRY(const TokenizerChunk first, read_chunk(core, conductor, query));
  if (first.total_bytes == 0) return TokenizerPtr();
  if (auto known = core.tokenizers().find(first.content_id)) return known;
  TESSERA_TRY(const std::vector<std::uint8_t> blob, read_rest(core, conductor, query, first));
  TESSERA_TRY(Tokenizer tokenizer, Tokenizer::parse(std::as_bytes(std::span(blob)), "deployment " + deployment));
  auto shared = std::make_shared<const Tokenizer>(std::move(tokenizer));
  core.tokenizers().add(first.content_id, shared);
  return TokenizerPtr(std::move(shared));
}

Result<ModelText> read_text(ClientCore& core, const ConductorClient& conductor, const std::string& deployment) {
  ModelText text;
  TESSERA_TRY(text.tokenizer, read_tokenizer(core, conductor, deployment));
  const TokenizerQuery query{deployment, 0, 1, TextPart::chat_template};
  TESSERA_TRY(const TokenizerChunk first, read_chunk(core, conductor, query));
  TESSERA_TRY(const std::vector<std::uint8_t> source, read_rest(core, conductor, query, first));
  text.chat_template.assign(source.begin(), source.end());
  text.content_id = first.content_id;
  if (text.tokenizer && core.tokenizers().find(text.content_id) != text.tokenizer) {
    return Error{ErrorCode::unavailable, "deployment " + deployment + " changed its model while it was read"};
  }
  return text;
}

/// Reads with `read(core, conductor, deployment)` from the node that conducts it, again until `deadline` while the
/// deployment is on the move.
template <typename T, typename Read>
Result<T> fetch(ClientCore& core, const std::string& deployment, TimePoint deadline, Read read) {
  const auto try_once = [&](ClientCore::Deadline left) -> Result<T> {
    TESSERA_TRY(const ConductorClient conductor, find_conductor(core, deployment, left));
    return read(core, conductor, deployment);
  };
  for (;;) {
    const auto left = std::chrono::duration_cast<ClientCore::Deadline>(deadline - core.now());
    auto part = try_once(std::max(left, ClientCore::Deadline(1)));
    if (part || !may_pass(part.error().code)) return part;
    if (core.now() + retry_pause >= deadline) return part;
    TESSERA_CHECK(core.pause(retry_pause));
  }
}

}  // namespace

Result<TokenizerPtr> fetch_tokenizer(ClientCore& core, const std::string& deployment, TimePoint deadline) {
  return fetch<TokenizerPtr>(core, deployment, deadline, read_tokenizer);
}

Result<ModelText> fetch_model_text(ClientCore& core, const std::string& deployment, TimePoint deadline) {
  return fetch<ModelText>(core, deployment, deadline, read_text);
}

}  // namespace tessera::frontend
