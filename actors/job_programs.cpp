#include "actors/job_programs.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "clients/client_core.hpp"
#include "clients/job_results.hpp"
#include "clients/score_perplexity.hpp"
#include "cluster/control/job_texts.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/model/embedding.hpp"

namespace tessera {

namespace {

Result<std::string> verify(const JobSpec& spec, const std::atomic<bool>& stop) {
  TESSERA_TRY(const auto source, open_source(spec.uri));
  TESSERA_TRY(const auto checkpoint, Checkpoint::open(source));
  std::uint64_t bytes = 0;
  TESSERA_CHECK(checkpoint->verify([&](std::uint64_t done, std::uint64_t) {
    bytes = done;
    return !stop;
  }));
  return nlohmann::json{{"content_id", checkpoint->content_id()}, {"bytes", bytes}}.dump();
}

Result<std::string> perplexity(const DialOptions& coordinator, const JobSpec& spec, const std::atomic<bool>& stop) {
  TESSERA_TRY(const auto input, decode_perplexity_input(spec.input));
  client::Options options;
  options.keep_going = [&stop] { return !stop; };
  TESSERA_TRY(const auto core, frontend::ClientCore::create(options, coordinator));
  TESSERA_TRY(const auto report, frontend::score_perplexity(*core, spec.deployment, input.text, input.window));
  return frontend::encode(report);
}

}  // namespace

JobProgram make_job_program(DialOptions coordinator) {
  return [coordinator = std::move(coordinator)](const JobSpec& spec,
                                                const std::atomic<bool>& stop) -> Result<std::string> {
    switch (spec.kind) {
      case JobKind::verify:
        return verify(spec, stop);
      case JobKind::perplexity:
        return perplexity(coordinator, spec, stop);
      case JobKind::generate:
        break;
    }
    return Error{ErrorCode::unsupported, std::string("jobs of kind ") + to_string(spec.kind) + " run at their client"};
  };
}

Result<TokenizerChunk> read_tokenizer_chunk(const Checkpoint& checkpoint, const TokenizerQuery& query) {
  std::vector<std::byte> part;
  if (query.part == TextPart::tokenizer) {
    TESSERA_TRY(part, checkpoint.read_tokenizer());
  } else {
    const auto source = std::as_bytes(std::span(checkpoint.manifest().chat_template));
    part.assign(source.begin(), source.end());
  }
  TokenizerChunk chunk;
  chunk.content_id = checkpoint.content_id();
  chunk.total_bytes = part.size();
  if (query.offset >= part.size()) return chunk;
  const std::size_t length = std::min({part.size() - static_cast<std::size_t>(query.offset),
                                       static_cast<std::size_t>(query.length), rpc_limits::tokenizer_chunk_bytes_max});
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(part.data()) + query.offset;
  chunk.bytes.assign(begin, begin + length);
  return chunk;
}

Result<TokenizerChunk> read_tokenizer_chunk(const std::string& uri, const std::string& content_id,
                                            const TokenizerQuery& query) {
  TESSERA_TRY(const auto source, open_source(uri));
  TESSERA_TRY(const auto checkpoint, Checkpoint::open(source, content_id));
  return read_tokenizer_chunk(*checkpoint, query);
}

Result<ModelFacts> read_model_facts(const DeploySpec& spec, const std::string& storage) {
  const bool is_absolute = spec.uri.starts_with("/") || spec.uri.find("://") != std::string::npos;
  const std::string uri = is_absolute ? spec.uri : (std::filesystem::path(storage) / spec.uri).string();
  TESSERA_TRY(const auto source, open_source(uri));
  TESSERA_TRY(const auto checkpoint, Checkpoint::open(source));
  const Manifest& manifest = checkpoint->manifest();
  const EmbeddingOptions vectors = embedding_options(manifest);
  return ModelFacts{manifest.shape,
                    manifest.geometry,
                    manifest.types(),
                    manifest.name,
                    source->uri(),
                    checkpoint->content_id(),
                    {vectors.pooling, vectors.normalised, vectors.tokens_max}};
}

}  // namespace tessera
