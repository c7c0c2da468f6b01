#include <algorithm>
#include <utility>

#include <tessera/client.hpp>

#include "clients/client_state.hpp"
#include "clients/fetch_tokenizer.hpp"
#include "cluster/control/deployment.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera::client {

namespace {

using frontend::ClientCore;
using frontend::to_internal;
using frontend::to_public;
using frontend::usage;

tessera::Result<std::vector<TokenId>> tokens_of(ClientCore& core, const EmbedRequest& request) {
  if (!request.ids.empty()) return request.ids;
  if (request.text.size() > limits::prompt_bytes_max) {
    return tessera::Error{
        tessera::ErrorCode::exhausted,
        "the text is longer than " + std::to_string(limits::prompt_bytes_max >> 20) + " MiB; shorten it"};
  }
  TESSERA_TRY(const auto tokenizer,
              frontend::fetch_tokenizer(core, request.deployment, core.now() + core.options().call_deadline));
  if (!tokenizer)
    return usage("the model of " + request.deployment +
                 " has no tokenizer, so it cannot read text; give the text as token ids");
  return tokenizer->encode(request.text, {.add_bos = true, .add_eos = true});
}

tessera::Result<frontend::LiveStreamSettings> prepare(ClientCore& core, const EmbedRequest& request) {
  if (request.deployment.empty()) return usage("a vector needs the name of a deployment");
  if (request.deadline.count() < 0) return usage("a deadline must not be negative");
  TESSERA_CHECK(frontend::check_priority(request.priority));
  TESSERA_TRY(const tessera::ClusterStatus status, frontend::ask_status(core));
  const tessera::DeploymentStatus* const deployment = frontend::find_deployment(status, request.deployment);
  if (deployment == nullptr)
    return tessera::Error{tessera::ErrorCode::not_found, "there is no deployment '" + request.deployment + "'"};
  frontend::LiveStreamSettings settings;
  StreamRequest& stream = settings.request;
  TESSERA_TRY(stream.prompt, tokens_of(core, request));
  if (stream.prompt.empty()) return usage("the text is empty; give at least one character");
  const PoolingPlan& usual = deployment->facts.pooling;
  const std::uint32_t positions =
      pages_for(kv_positions_for(deployment->spec, deployment->facts.shape)) * kv_page_positions;
  const std::uint32_t tokens_max = std::min(usual.tokens_max, positions);
  if (stream.prompt.size() > tokens_max) {
    return usage("the text has " + std::to_string(stream.prompt.size()) + " tokens, and " + request.deployment +
                 " takes " + std::to_string(tokens_max) + " of a text; shorten it");
  }
  stream.id = core.draw_stream_id();
  stream.deployment = request.deployment;
  stream.tokens_max = 0;
  stream.priority = request.priority;
  stream.vector = VectorRequest{request.pooling ? to_internal(*request.pooling) : usual.pooling,
                                request.normalised.value_or(usual.normalised)};
  settings.timeouts.deadline = request.deadline;
  settings.vector = std::make_shared<std::vector<float>>();
  return settings;
}

}  // namespace

Result<Embedding> Client::embed(const EmbedRequest& request) {
  ClientCore& core = *state_->core;
  auto settings = prepare(core, request);
  if (!settings) return to_public(settings.error());
  const StreamId id = settings->request.id;
  const auto vector = settings->vector;
  const auto tokens = static_cast<std::uint32_t>(settings->request.prompt.size());
  const auto queue = std::make_shared<frontend::EventQueue>();
  if (const auto started = core.start_stream(*std::move(settings), queue); !started) return to_public(started.error());
  while (!queue->drained()) {
    static_cast<void>(queue->pop(frontend::interruption_check));
    if (core.options().keep_going && !core.options().keep_going()) core.cancel_stream(id);
  }
  if (const auto error = queue->error()) return *error;
  if (vector->empty()) return Error{ErrorCode::cancelled, "stopped"};
  return Embedding{std::move(*vector), tokens};
}

}  // namespace tessera::client
