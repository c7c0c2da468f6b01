#include "gateway/generation_route.hpp"

#include "gateway/key_watch.hpp"
#include "gateway/sse.hpp"

namespace tessera::gateway {

namespace {

/// One JSON object, or server-sent events.
class HttpSink final : public GenerationSink {
 public:
  HttpSink(HttpCall& call, std::uint64_t seed) : call_(call), headers_{{"X-Tessera-Seed", std::to_string(seed)}} {}

  TimePoint asked() const override { return call_.arrived(); }
  bool wants_trace() const override { return call_.request().wants_trace; }
  CallRecord& record() override { return call_.record; }
  kj::Promise<void> whole(const Json& answer) override { return call_.send_json(200, to_text(answer), headers_); }
  kj::Promise<void> tell(const std::vector<Json>& events) override { return write(text_of(events)); }
  kj::Promise<void> end(const std::vector<Json>& events, const char* mark) override {
    return write(text_of(events) + mark).then([this] { call_.end_stream(); });
  }
  kj::Promise<void> fail(const ApiError& error, const Json& event) override {
    if (!call_.streams()) return call_.send_error(error);
    return call_.write(sse_event(event)).then([this] { call_.end_stream(); });
  }
  kj::Promise<void> quiet() override { return call_.timer().afterDelay(to_kj(call_.options().keep_alive_interval)); }
  kj::Promise<void> show_life() override {
    return call_.streams() ? call_.write(sse_keep_alive) : kj::Promise<void>(kj::READY_NOW);
  }

 private:
  static std::string text_of(const std::vector<Json>& events) {
    std::string text;
    for (const Json& event : events) text += sse_event(event);
    return text;
  }
  /// The head goes with the first piece, so that a failure before it can be a status.
  kj::Promise<void> write(std::string text) {
    if (!call_.streams()) call_.begin_stream(headers_);
    return call_.write(std::move(text));
  }

  HttpCall& call_;
  const ExtraHeaders headers_;
};

/// On a worker.
Outcome<StartedGeneration> start_body(Services& services, const MakePlan& make_plan, const std::string& text,
                                      TimePoint arrived) {
  const TimePoint before = services.clock.now();
  TESSERA_TRY(const Json body, parse_body(text));
  TESSERA_TRY(GenerationPlan plan, make_plan(services, body));
  plan.tokenization_seconds = seconds_between(before, services.clock.now());
  return start_generation(services.models, services.budget, std::move(plan), services.clock.now() - arrived);
}

}  // namespace

std::optional<ApiError> check_draining(const Services& services) {
  if (!services.draining) return {};
  return ApiError{503, "server_error", "the server ends", {}, "unavailable", 1};
}

ReplyIdentity draw_identity(const Services& services) {
  return {draw_reply_id(), services.calendar.now().time_since_epoch().count()};
}

Outcome<GenerationPlan> plan_rows(Services& services, const ModelWithText& model, const std::vector<PromptRow>& rows,
                                  std::unique_ptr<GenerationReply> reply) {
  return plan_rows(services.models, model, rows, std::move(reply), services.budget.streams_max(),
                   local_time(services.calendar.now()));
}

kj::Promise<void> answer_generation(HttpCall& call, Services& services, StartedGeneration started) {
  auto sink = kj::heap<HttpSink>(call, started.plan.seed);
  return run_generation(kj::mv(sink), std::move(started), services.metrics, services.clock,
                        key_ends(services, call.timer()));
}

kj::Promise<void> generate(HttpCall& call, Services& services, MakePlan make_plan) {
  if (const auto error = check_draining(services)) return call.send_error(*error);
  return call.read_body()
      .then([&services, make_plan = std::move(make_plan),
             arrived = call.arrived()](Outcome<std::string> body) -> kj::Promise<Outcome<StartedGeneration>> {
        if (!body) return Outcome<StartedGeneration>(body.error());
        return services.pool.run<StartedGeneration>([&services, make_plan, arrived, text = *std::move(body)] {
          return start_body(services, make_plan, text, arrived);
        });
      })
      .then([&call, &services](Outcome<StartedGeneration> started) {
        return started ? answer_generation(call, services, *std::move(started)) : call.send_error(started.error());
      });
}

}  // namespace tessera::gateway
