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

Result<TokenizerPtr> read_whole(ClientCore& core, const ConductorClient& conductor, const std::string& deployment) {
  TokenizerQuery query;
  query.deployment = deployment;
  // One byte tells which model it is: often it is known already.
  query.length = 1;
  TESSERA_TRY(const TokenizerChunk first, read_chunk(core, conductor, query));
  if (first.total_bytes == 0) return TokenizerPtr();
  if (auto known = core.tokenizers().find(first.content_id)) return known;
  if (first.total_bytes > limits::tokenizer_bytes_max) {
    return Error{ErrorCode::corrupt,
                 "deployment " + deployment + ": its tokenizer has " + std::to_string(first.total_bytes) + " bytes"};
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
      return Error{ErrorCode::corrupt, "deployment " + deployment + ": its node sends a damaged tokenizer"};
    }
    blob.insert(blob.end(), chunk.bytes.begin(), chunk.bytes.end());
  }
  TESSERA_TRY(Tokenizer tokenizer, Tokenizer::parse(std::as_bytes(std::span(blob)), "deployment " + deployment));
  auto shared = std::make_shared<const Tokenizer>(std::move(tokenizer));
  core.tokenizers().add(first.content_id, shared);
  return TokenizerPtr(std::move(shared));
}

Result<TokenizerPtr> try_once(ClientCore& core, const std::string& deployment, ClientCore::Deadline left) {
  TESSERA_TRY(const ConductorLocation found,
              core.call<ConductorLocation>(left, [deployment](const CoordinatorClient& client, auto time, auto reply) {
                client.locate(deployment, time, std::move(reply));
              }));
  TESSERA_TRY(const ConductorClient conductor,
              core.conductor({found.rpc, found.node_name, found.replica, found.incarnation}));
  return read_whole(core, conductor, deployment);
}

}  // namespace

Result<TokenizerPtr> fetch_tokenizer(ClientCore& core, const std::string& deployment, TimePoint deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<ClientCore::Deadline>(deadline - core.now());
    auto tokenizer = try_once(core, deployment, std::max(left, ClientCore::Deadline(1)));
    if (tokenizer || !may_pass(tokenizer.error().code)) return tokenizer;
    if (core.now() + retry_pause >= deadline) return tokenizer;
    TESSERA_CHECK(core.pause(retry_pause));
  }
}

}  // namespace tessera::frontend
