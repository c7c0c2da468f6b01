#include "gateway/generation_run.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "clients/convert.hpp"
#include "gateway/generation_trace.hpp"
#include "gateway/http_call.hpp"

namespace tessera::gateway {

namespace {

class GenerationRun {
 public:
  GenerationRun(kj::Own<GenerationSink> sink, StartedGeneration started, Metrics& metrics, const Clock& clock,
                kj::Promise<ApiError> key_ends)
      : sink_(kj::mv(sink)),
        started_(std::move(started)),
        metrics_(metrics),
        clock_(clock),
        watching_(key_ends
                      .then([this](ApiError error) {
                        error_ = std::move(error);
                        started_.changed->notify();
                      })
                      .eagerlyEvaluate(nullptr)) {
    for (const PlannedChoice& planned : plan().choices) {
      choices_.emplace_back(planned);
      choices_.back().whole.text = planned.echo;
      choices_.back().whole.prompt_ids = planned.spec.prompt;
    }
  }

  /// However it ended; a promise that is dropped ends here, too.
  ~GenerationRun() {
    const std::string& model = plan().choices.front().spec.model;
    metrics_.generated(model, outcome_, plan().prompt_tokens, tokens(), seconds_between(sink_->asked(), clock_.now()));
    for (const auto& stream : started_.streams)
      if (const auto phases = stream->phases()) metrics_.phases(model, *phases);
    CallRecord& record = sink_->record();
    record.model = model;
    record.prompt_tokens += plan().prompt_tokens;
    record.tokens += tokens();
    record.end = to_label(outcome_);
  }

  kj::Promise<void> run() {
    if (error_) return fail(*error_);
    std::vector<Json> events;
    bool ended = true;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      if (!choices_[i].ended) advance(i, events);
      if (error_) return fail(*error_);
      ended = ended && choices_[i].ended;
    }
    if (ended) return finish(std::move(events));
    if (events.empty()) return wait();
    return sink_->tell(events).then([this] { return wait(); });
  }

 private:
  struct Choice {
    explicit Choice(const PlannedChoice& planned)
        : text(planned.spec.tokenizer, planned.spec.prompt.back(), planned.spec.end_tokens,
               count_characters(planned.echo)) {}
    ChoiceText text;
    FinishedChoice whole;
    bool began = false, ended = false;
    std::optional<TimePoint> last_token = {};
  };

  const GenerationPlan& plan() const { return started_.plan; }

  /// Takes what the stream of a choice has by now.
  void advance(std::size_t index, std::vector<Json>& events) {
    Choice& choice = choices_[index];
    TokenStream& stream = *started_.streams[index];
    ChoicePiece piece;
    bool any = false;
    while (const auto event = stream.poll()) {
      if (event->kind == client::GenerateEvent::Kind::token) measure(index);
      choice.text.take(*event, piece);
      any = true;
    }
    if (const auto error = stream.error()) error_ = to_api_error({frontend::to_internal(error->code), error->message});
    if (piece.finished == client::FinishReason::cancelled)
      error_ = to_api_error({ErrorCode::cancelled, "the generation was cancelled"});
    if (!any || error_) return;
    if (plan().stream) {
      emit(index, piece, events);
    } else {
      keep(choice.whole, piece);
    }
    if (!piece.finished) return;
    choice.ended = true;
    choice.whole.reason = *piece.finished;
    if (plan().choices[index].echoes_tokens) echo_tokens(index);
  }

  void measure(std::size_t index) {
    const TimePoint now = clock_.now();
    const std::string& model = plan().choices[index].spec.model;
    std::optional<TimePoint>& last = choices_[index].last_token;
    if (last) {
      metrics_.next_token(model, seconds_between(*last, now));
    } else {
      metrics_.first_token(model, seconds_between(sink_->asked(), now));
      if (!first_token_) first_token_ = now;
    }
    last = now;
  }

  std::uint64_t tokens() const {
    std::uint64_t sum = 0;
    for (const Choice& choice : choices_) sum += choice.text.tokens();
    return sum;
  }

  static void keep(FinishedChoice& whole, ChoicePiece& piece) {
    whole.text += piece.text;
    std::ranges::move(piece.tokens, std::back_inserter(whole.tokens));
    whole.ids.insert(whole.ids.end(), piece.ids.begin(), piece.ids.end());
  }

  void emit(std::size_t index, ChoicePiece& piece, std::vector<Json>& events) {
    Choice& choice = choices_[index];
    const bool begins = !std::exchange(choice.began, true);
    if (begins) piece.text.insert(0, choice.whole.text);
    plan().reply->tell(index, begins, piece, events);
  }

  void echo_tokens(std::size_t index) {
    const StreamSpec& spec = plan().choices[index].spec;
    std::vector<TextToken> tokens = prompt_tokens(*spec.tokenizer, spec.prompt, started_.streams[index]->scores());
    FinishedChoice& whole = choices_[index].whole;
    std::ranges::move(whole.tokens, std::back_inserter(tokens));
    whole.tokens = std::move(tokens);
  }

  kj::Promise<void> wait() {
    auto news = started_.changed->wait().then([] { return false; });
    auto quiet = sink_->quiet().then([] { return true; });
    return news.exclusiveJoin(kj::mv(quiet)).then([this](bool is_quiet) -> kj::Promise<void> {
      if (is_quiet) return sink_->show_life().then([this] { return run(); });
      return run();
    });
  }

  kj::Promise<void> fail(const ApiError& error) {
    outcome_ = GenerationEnd::error;
    return sink_->fail(error, plan().reply->failure(error));
  }

  kj::Promise<void> finish(std::vector<Json> events) {
    const bool stopped = std::ranges::all_of(
        choices_, [](const Choice& choice) { return choice.whole.reason != client::FinishReason::length; });
    outcome_ = stopped ? GenerationEnd::stop : GenerationEnd::length;
    Usage usage{plan().prompt_tokens, tokens()};
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      // The choices of one prompt have it in common.
      if (plan().choices[i].spec.sampling.choice == 0) usage.cached_tokens += started_.streams[i]->cached_tokens();
    }
    GenerationReply& reply = *plan().reply;
    if (plan().stream) {
      reply.tell_end(usage, events);
      if (sink_->wants_trace()) {
        if (events.empty()) events.push_back(reply.quiet());
        events.back()["tessera_trace"] = trace();
      }
      return sink_->end(events, reply.end_mark());
    }
    std::vector<FinishedChoice> whole;
    for (Choice& choice : choices_) whole.push_back(std::move(choice.whole));
    Json answer = reply.whole(whole, usage);
    if (sink_->wants_trace() && answer.is_object()) answer["tessera_trace"] = trace();
    return sink_->whole(answer);
  }

  Json trace() const {
    GenerationTrace trace;
    trace.total_seconds = seconds_between(sink_->asked(), clock_.now());
    trace.tokenization_seconds = plan().tokenization_seconds;
    if (first_token_) trace.first_token_seconds = seconds_between(sink_->asked(), *first_token_);
    for (const auto& stream : started_.streams) trace.choices.push_back({stream->phases(), stream->cached_tokens()});
    return to_json(trace);
  }

  kj::Own<GenerationSink> sink_;
  StartedGeneration started_;
  Metrics& metrics_;
  const Clock& clock_;
  std::vector<Choice> choices_;
  std::optional<TimePoint> first_token_;  ///< of any choice
  std::optional<ApiError> error_;
  GenerationEnd outcome_ = GenerationEnd::gone;  ///< until it ends otherwise
  kj::Promise<void> watching_;                   ///< the key
};

}  // namespace

Outcome<StartedGeneration> start_generation(ModelSource& source, StreamBudget& budget, GenerationPlan plan,
                                            std::chrono::nanoseconds waited) {
  for (PlannedChoice& choice : plan.choices) {
    std::chrono::milliseconds& timeout = choice.spec.timeout;
    if (timeout.count() == 0) continue;
    if (waited >= timeout) {
      return to_api_error({ErrorCode::timed_out, "the request's time of " + std::to_string(timeout.count()) +
                                                     " ms was over before it could begin; give it more time"});
    }
    timeout = std::chrono::ceil<std::chrono::milliseconds>(timeout - waited);
  }
  StartedGeneration started{std::move(plan), {}, std::make_shared<Wakeup>(), {}};
  auto permit = budget.take(started.plan.choices.size());
  if (!permit) {
    return overloaded("this server runs " + std::to_string(budget.running()) + " of at most " +
                      std::to_string(budget.streams_max()) + " completions at once; try again");
  }
  started.permit = std::make_unique<StreamBudget::Permit>(*std::move(permit));
  for (const PlannedChoice& choice : started.plan.choices) {
    auto stream = source.start(choice.spec, [changed = started.changed] { changed->notify(); });
    if (!stream) return to_api_error(stream.error());
    started.streams.push_back(*std::move(stream));
  }
  return started;
}

kj::Promise<void> run_generation(kj::Own<GenerationSink> sink, StartedGeneration started, Metrics& metrics,
                                 const Clock& clock, kj::Promise<ApiError> key_ends) {
  auto run = kj::heap<GenerationRun>(kj::mv(sink), std::move(started), metrics, clock, kj::mv(key_ends));
  auto promise = run->run();
  return promise.attach(kj::mv(run));
}

}  // namespace tessera::gateway
