#include <algorithm>
#include <utility>

#include <tessera/client.hpp>

#include "clients/client_state.hpp"
#include "clients/fetch_tokenizer.hpp"
#include "cluster/control/deployment.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera::frontend {

Result<void> check_priority(std::int32_t priority) {
  if (priority >= priority_min && priority <= priority_max) return {};
  return Error{ErrorCode::invalid_argument, "a priority of " + std::to_string(priority) + "; use " +
                                                std::to_string(priority_min) + " to " + std::to_string(priority_max)};
}

}  // namespace tessera::frontend

namespace tessera::client {

namespace {

using frontend::ClientCore;
using frontend::to_public;

tessera::Error usage(std::string message) { return {tessera::ErrorCode::invalid_argument, std::move(message)}; }

tessera::Pooling to_internal(Pooling pooling) {
  switch (pooling) {
    case Pooling::mean:
      return tessera::Pooling::mean;
    case Pooling::cls:
      return tessera::Pooling::cls;
    case Pooling::last:
      break;
  }
  return tessera::Pooling::last;
}

/// What the cluster says of the deployment.
tessera::Result<tessera::DeploymentStatus> find(ClientCore& core, const std::string& name) {
  TESSERA_TRY(
      tessera::ClusterStatus status,
      core.call<tessera::ClusterStatus>(core.options().call_deadline, [](const CoordinatorClient& client, auto left,
                                                                         Reply<tessera::ClusterStatus> reply) {
        client.status(left, std::move(reply));
      }));
  const auto found = std::ranges::find_if(
      status.deployments, [&](const tessera::DeploymentStatus& each) { return each.spec.name == name; });
  if (found != status.deployments.end()) return std::move(*found);
  return tessera::Error{tessera::ErrorCode::not_found, "there is no deployment '" + name + "'"};
}

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
  TESSERA_TRY(const tessera::DeploymentStatus deployment, find(core, request.deployment));
  frontend::LiveStreamSettings settings;
  StreamRequest& stream = settings.request;
  TESSERA_TRY(stream.prompt, tokens_of(core, request));
  if (stream.prompt.empty()) return usage("the text is empty; give at least one character");
  const PoolingPlan& usual = deployment.facts.pooling;
  const std::uint32_t positions =
      pages_for(kv_positions_for(deployment.spec, deployment.facts.shape)) * kv_page_positions;
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
