// OpenAI: completions and chat completions. The body is parsed, tokenized and started on a worker; the loop reads and
// answers.
#include "gateway/generation_route.hpp"
#include "gateway/routes.hpp"

namespace tessera::gateway {

namespace {

Outcome<GenerationPlan> completion(Services& services, const Json& body) {
  TESSERA_TRY(const CompletionRequest request, parse_completion(body));
  return plan_completion(services.models, request, draw_identity(services), services.budget.streams_max());
}

Outcome<GenerationPlan> chat(Services& services, const Json& body) {
  TESSERA_TRY(const ChatRequest request, parse_chat(body));
  return plan_chat(services.models, request, draw_identity(services), services.budget.streams_max(),
                   local_time(services.calendar.now()));
}

}  // namespace

void add_openai_completion_routes(Router& router, Services& services) {
  router.add("POST", "/v1/completions", [&services](HttpCall& call) { return generate(call, services, completion); });
  router.add("POST", "/v1/chat/completions", [&services](HttpCall& call) { return generate(call, services, chat); });
}

}  // namespace tessera::gateway
