// Metrics under the names that vLLM gives them, for routers and dashboards that know those. They are the families of
// metrics.hpp, renamed: nothing is counted a second time.
//
//   tessera_time_to_first_token_seconds{model="story"}  ──►  vllm:time_to_first_token_seconds{model_name="story"}
#pragma once

#include <prometheus/metric_family.h>
#include <vector>

namespace tessera::gateway {

/// Of the families that have such a name; the others have no counterpart.
std::vector<prometheus::MetricFamily> compatible_families(const std::vector<prometheus::MetricFamily>& own);

}  // namespace tessera::gateway
