// OpenAI: completions and chat completions. The body is parsed, tokenized and started on a worker; the loop reads and
// answers.
#include "gateway/generation_run.hpp"
#include "gateway/routes.hpp"

namespace tessera::gateway {

namespace {

using Plan = std::function<Outcome<GenerationPlan>(Services&, const Json&)>;

ReplyIdentity identity(const Services& services) {
  return {draw_reply_id(), services.calendar.now().time_since_epoch().count()};
}

Outcome<GenerationPlan> completion(Services& services, const Json& body) {
  TESSERA_TRY(const CompletionRequest request, parse_completion(body));
  return plan_completion(services.models, request, identity(services), services.budget.streams_max());
}

Outcome<GenerationPlan> chat(Services& services, const Json& body) {
  TESSERA_TRY(const ChatRequest request, parse_chat(body));
  return plan_chat(services.models, request, identity(services), services.budget.streams_max(),
                   local_time(services.calendar.now()));
}

Outcome<StartedGeneration> start(Services& services, const Plan& make_plan, const std::string& text) {
  TESSERA_TRY(const Json body, parse_body(text));
  TESSERA_TRY(GenerationPlan plan, make_plan(services, body));
  return start_generation(services.models, services.budget, std::move(plan));
}

kj::Promise<void> generate(HttpCall& call, Services& services, Plan make_plan) {
  if (services.draining) return call.send_error({503, "server_error", "the server ends", {}, "unavailable", 1});
  return call.read_body()
      .then([&services,
             make_plan = std::move(make_plan)](Outcome<std::string> body) -> kj::Promise<Outcome<StartedGeneration>> {
        if (!body) return Outcome<StartedGeneration>(body.error());
        return services.pool.run<StartedGeneration>(
            [&services, make_plan, text = *std::move(body)] { return start(services, make_plan, text); });
      })
      .then([&call, &services](Outcome<StartedGeneration> started) {
        return started ? answer_generation(call, *std::move(started), services.metrics, services.clock)
                       : call.send_error(started.error());
      });
}

}  // namespace

void add_openai_completion_routes(Router& router, Services& services) {
  router.add("POST", "/v1/completions", [&services](HttpCall& call) { return generate(call, services, completion); });
  router.add("POST", "/v1/chat/completions", [&services](HttpCall& call) { return generate(call, services, chat); });
}

}  // namespace tessera::gateway
