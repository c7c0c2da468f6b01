// The way of every route that generates text: read the body, make a plan of it on a worker, start its streams, answer.
//
//   router.add("POST", "/v1/completions", [&](HttpCall& call) { return generate(call, services, plan_of_a_body); });
#pragma once

#include <functional>

#include "gateway/generation_run.hpp"
#include "gateway/http_call.hpp"
#include "gateway/services.hpp"

namespace tessera::gateway {

/// What a family makes of a body. Runs on a worker and may wait.
using MakePlan = std::function<Outcome<GenerationPlan>(Services&, const Json&)>;

/// On the call's loop. A failure before anything was sent is an answer with the status that fits; later it is the last
/// event of the stream.
kj::Promise<void> generate(HttpCall& call, Services& services, MakePlan make_plan);

/// Answers with what runs. On the call's loop.
kj::Promise<void> answer_generation(HttpCall& call, Services& services, StartedGeneration started);
/// plan_rows() of generation_plan.hpp, within the bounds of these services and by their calendar. On a worker.
Outcome<GenerationPlan> plan_rows(Services& services, const ModelWithText& model, const std::vector<PromptRow>& rows,
                                  std::unique_ptr<GenerationReply> reply);
/// 503 while the server ends, when nothing new begins.
std::optional<ApiError> check_draining(const Services& services);
/// Of an answer that is asked for now.
ReplyIdentity draw_identity(const Services& services);

}  // namespace tessera::gateway
