// GenerationRun: carries out a plan: takes the events of its streams as they come, and gives what its family makes of
// them to a sink, in one piece or as they come. Dropping the promise ends the streams.
#pragma once

#include <kj/async.h>
#include <memory>
#include <vector>

#include "gateway/generation_plan.hpp"
#include "gateway/generation_sink.hpp"
#include "gateway/metrics.hpp"
#include "gateway/stream_budget.hpp"
#include "gateway/wakeup.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::gateway {

/// The streams of a plan, which run.
struct StartedGeneration {
  GenerationPlan plan;
  std::vector<std::unique_ptr<TokenStream>> streams;  ///< one per choice
  std::shared_ptr<Wakeup> changed;
  std::unique_ptr<StreamBudget::Permit> permit;
};

/// Starts every stream of the plan, or none. Waits for the cluster: not on an event loop. `waited`: since the request
/// arrived, from when its timeout counts. Errors: 429 when too many streams run, 504 when its time is over already.
Outcome<StartedGeneration> start_generation(ModelSource& source, StreamBudget& budget, GenerationPlan plan,
                                            std::chrono::nanoseconds waited);

/// On the loop of the sink, which ends with the promise. `key_ends`: fulfilled with the error that the generation ends
/// with when whoever asked for it may not go on; maybe never.
kj::Promise<void> run_generation(kj::Own<GenerationSink> sink, StartedGeneration started, Metrics& metrics,
                                 const Clock& clock, kj::Promise<ApiError> key_ends);

}  // namespace tessera::gateway
