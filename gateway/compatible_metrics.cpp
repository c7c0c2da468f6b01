#include "gateway/compatible_metrics.hpp"

#include <string>
#include <utility>

namespace tessera::gateway {

namespace {

struct Alias {
  const char *own, *theirs;
};

constexpr Alias aliases[] = {
    {"tessera_model_streams_running", "vllm:num_requests_running"},
    {"tessera_model_streams_waiting", "vllm:num_requests_waiting"},
    {"tessera_model_kv_used_ratio", "vllm:kv_cache_usage_perc"},
    {"tessera_prompt_tokens_total", "vllm:prompt_tokens_total"},
    {"tessera_generated_tokens_total", "vllm:generation_tokens_total"},
    {"tessera_generations_total", "vllm:request_success_total"},
    {"tessera_preemptions_total", "vllm:num_preemptions_total"},
    {"tessera_prefix_cache_queried_tokens_total", "vllm:prefix_cache_queries_total"},
    {"tessera_prefix_cache_hit_tokens_total", "vllm:prefix_cache_hits_total"},
    {"tessera_time_to_first_token_seconds", "vllm:time_to_first_token_seconds"},
    {"tessera_inter_token_seconds", "vllm:inter_token_latency_seconds"},
    {"tessera_inter_token_seconds", "vllm:time_per_output_token_seconds"},  // its older name
    {"tessera_generation_seconds", "vllm:e2e_request_latency_seconds"},
    {"tessera_queue_seconds", "vllm:request_queue_time_seconds"},
    {"tessera_prefill_seconds", "vllm:request_prefill_time_seconds"},
    {"tessera_decode_seconds", "vllm:request_decode_time_seconds"},
    {"tessera_request_prompt_tokens", "vllm:request_prompt_tokens"},
    {"tessera_request_generated_tokens", "vllm:request_generation_tokens"},
    {"tessera_step_rows", "vllm:iteration_tokens_total"},
};

/// Conductors are told apart as its engines are.
std::string their_label(const std::string& name) {
  if (name == "model") return "model_name";
  if (name == "node") return "engine";
  if (name == "outcome") return "finished_reason";
  return name;
}

prometheus::MetricFamily renamed(prometheus::MetricFamily family, const char* name) {
  family.name = name;
  for (prometheus::ClientMetric& metric : family.metric) {
    for (prometheus::ClientMetric::Label& label : metric.label) {
      if (label.name == "outcome" && label.value == "gone") label.value = "abort";
      label.name = their_label(label.name);
    }
  }
  return family;
}

}  // namespace

std::vector<prometheus::MetricFamily> compatible_families(const std::vector<prometheus::MetricFamily>& own) {
  std::vector<prometheus::MetricFamily> families;
  for (const Alias& alias : aliases) {
    for (const prometheus::MetricFamily& family : own)
      if (family.name == alias.own) families.push_back(renamed(family, alias.theirs));
  }
  return families;
}

}  // namespace tessera::gateway
