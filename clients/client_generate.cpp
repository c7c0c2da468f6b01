#include <algorithm>
#include <utility>

#include <tessera/client.hpp>

#include "clients/client_state.hpp"
#include "clients/fetch_tokenizer.hpp"
#include "cluster/control/job_texts.hpp"
#include "runtime/base/limits.hpp"

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
using frontend::usage;

constexpr std::size_t idempotency_key_bytes_max = 128;

tessera::Result<void> check(const GenerateRequest& request) {
  if (request.deployment.empty()) return usage("a generation needs the name of a deployment");
  if (request.alternatives > limits::alternatives_max)
    return usage("at most " + std::to_string(limits::alternatives_max) + " alternatives of a token");
  if (request.stop.size() > limits::stop_strings_max)
    return usage("at most " + std::to_string(limits::stop_strings_max) + " stop strings");
  if (request.prompt.size() > limits::prompt_bytes_max) {
    return tessera::Error{
        tessera::ErrorCode::exhausted,
        "the prompt is longer than " + std::to_string(limits::prompt_bytes_max >> 20) + " MiB; shorten it"};
  }
  if (request.idempotency_key.size() > idempotency_key_bytes_max)
    return usage("an idempotency key has at most " + std::to_string(idempotency_key_bytes_max) + " bytes");
  TESSERA_CHECK(frontend::check_priority(request.priority));
  if (request.deadline.count() < 0 || request.stall_max.count() <= 0)
    return usage("a deadline must not be negative, and stall_max must be positive");
  return {};
}

tessera::Result<frontend::LiveStreamSettings> prepare(ClientCore& core, const GenerateRequest& request) {
  TESSERA_CHECK(check(request));
  frontend::LiveStreamSettings settings;
  const TimePoint started = core.now();
  const bool limited = request.deadline.count() > 0;
  // The request's own deadline holds from here on, also where nobody serves the model at the moment.
  const auto patience =
      limited ? std::min(request.deadline, core.options().call_deadline) : core.options().call_deadline;
  TESSERA_TRY(settings.tokenizer, frontend::fetch_tokenizer(core, request.deployment, started + patience));
  StreamRequest& stream = settings.request;
  stream.id = core.draw_stream_id();
  stream.deployment = request.deployment;
  stream.tokens_max = request.tokens_max;
  stream.sampling =
      frontend::to_internal(request.sampling, request.sampling.seed ? *request.sampling.seed : core.draw_seed());
  stream.prompt = request.prompt_ids;
  if (stream.prompt.empty()) {
    if (!settings.tokenizer)
      return usage("the model of " + request.deployment +
                   " has no tokenizer, so it cannot read text; give the prompt as token ids");
    stream.prompt = settings.tokenizer->encode(request.prompt, {.add_bos = request.add_bos});
  }
  if (stream.prompt.empty())
    return usage("the prompt is empty and the model has no start token to begin from; give at least one token");
  if (!request.ignore_eos && settings.tokenizer) stream.end_tokens = settings.tokenizer->data().eos;
  stream.alternatives = request.alternatives;
  stream.priority = request.priority;
  settings.session = request.session;
  if (limited) {
    const auto left = request.deadline - std::chrono::duration_cast<std::chrono::milliseconds>(core.now() - started);
    settings.timeouts.deadline = std::max(left, std::chrono::milliseconds(1));
  }
  settings.stall_max = request.stall_max;
  settings.stop = request.stop;
  return settings;
}

JobSpec job_spec(ClientCore& core, const GenerateRequest& request, const StreamRequest& stream) {
  JobSpec spec;
  spec.kind = tessera::JobKind::generate;
  spec.deployment = request.deployment;
  spec.input = encode(GenerateInput{stream.id, stream.tokens_max, stream.sampling.seed});
  spec.idempotency_key = request.idempotency_key.empty() ? core.draw_key() : request.idempotency_key;
  return spec;
}

/// With a key of the caller's, the coordinator decides first whether this stream may run.
tessera::Result<JobRecord> reserve(ClientCore& core, const JobSpec& spec, const StreamId& id) {
  TESSERA_TRY(JobRecord job,
              core.call<JobRecord>(core.options().call_deadline,
                                   [spec](const CoordinatorClient& client, auto left, Reply<JobRecord> reply) {
                                     client.submit_job(spec, left, std::move(reply));
                                   }));
  const auto input = decode_generate_input(job.spec.input);
  if (!job.spec.input.empty() && (!input || input->stream != id)) {
    return tessera::Error{tessera::ErrorCode::conflict, "the idempotency key " + spec.idempotency_key +
                                                            " belongs to job " + std::to_string(job.job.value) + " (" +
                                                            tessera::to_string(job.state) + ")"};
  }
  return job;
}

tessera::Result<std::unique_ptr<Generation::State>> begin(const std::shared_ptr<ClientCore>& core,
                                                          const GenerateRequest& request) {
  TESSERA_TRY(auto settings, prepare(*core, request));
  auto state = std::make_unique<Generation::State>();
  state->core = core;
  state->queue = std::make_shared<frontend::EventQueue>();
  state->id = settings.request.id;
  state->seed = settings.request.sampling.seed;
  state->prompt = settings.request.prompt;
  settings.job_spec = job_spec(*core, request, settings.request);
  if (!request.idempotency_key.empty()) {
    TESSERA_TRY(settings.job, reserve(*core, *settings.job_spec, state->id));
  }
  TESSERA_CHECK(core->start_stream(std::move(settings), state->queue));
  return state;
}

}  // namespace

Result<Generation> Client::generate(const GenerateRequest& request) {
  auto state = begin(state_->core, request);
  if (!state) return to_public(state.error());
  return Generation(*std::move(state));
}

Result<GenerateSummary> Client::generate(const GenerateRequest& request, const GenerateCallback& callback) {
  auto generation = generate(request);
  if (!generation) return generation.error();
  bool wanted = true;
  const auto stop = [&] {
    if (std::exchange(wanted, false)) generation->cancel();
  };
  while (!generation->done()) {
    const auto event = generation->next(frontend::interruption_check);
    if (event && wanted && !callback(*event)) stop();
    if (state_->core->options().keep_going && !state_->core->options().keep_going()) stop();
  }
  if (const auto error = generation->error()) return *error;
  return generation->summary();
}

Generation::Generation(std::unique_ptr<State> state) : state_(std::move(state)) {}
Generation::Generation(Generation&&) noexcept = default;
Generation& Generation::operator=(Generation&& other) noexcept {
  if (state_) cancel();
  state_ = std::move(other.state_);
  return *this;
}
Generation::~Generation() {
  if (state_) cancel();
}

std::optional<GenerateEvent> Generation::next(std::optional<std::chrono::milliseconds> timeout) {
  return state_->queue->pop(timeout);
}
bool Generation::done() const { return state_->queue->drained(); }
std::optional<Error> Generation::error() const { return state_->queue->error(); }
void Generation::cancel() {
  if (const auto core = state_->core.lock()) core->cancel_stream(state_->id);
}
std::uint64_t Generation::seed() const { return state_->seed; }
const std::vector<TokenId>& Generation::prompt() const { return state_->prompt; }
std::uint64_t Generation::job() const { return state_->queue->job(); }
GenerateSummary Generation::summary() const { return state_->queue->summary(); }

}  // namespace tessera::client
