#include "gateway/metrics.hpp"

#include <mutex>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <set>
#include <vector>

namespace tessera::gateway {

namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

/// Names of models that are told apart; deployments may come and go for ever.
constexpr std::size_t models_max = 256;

const Buckets first_token_buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
const Buckets next_token_buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
const Buckets request_buckets{0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200};

prometheus::Family<prometheus::Counter>& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Histogram>& histogram(prometheus::Registry& registry, const char* name,
                                                     const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

/// The cluster as it is now: nodes come and go, so nothing is kept from one scrape to the next.
void add_load(prometheus::Registry& registry, const ClusterLoad& load) {
  const auto add = [&](const char* name, const char* help, auto value_of) {
    auto& family = gauge(registry, name, help);
    for (const NodeLoadFacts& node : load.nodes) family.Add({{"node", node.name}}).Set(value_of(node));
  };
  add("tessera_node_streams_running", "Streams that a node's conductors compute.",
      [](const NodeLoadFacts& node) { return static_cast<double>(node.streams_running); });
  add("tessera_node_streams_waiting", "Streams that wait for a place in a node's conductors.",
      [](const NodeLoadFacts& node) { return static_cast<double>(node.streams_waiting); });
  add("tessera_node_kv_used_bytes", "KV cache of a node that holds tokens.",
      [](const NodeLoadFacts& node) { return static_cast<double>(node.kv_bytes_used); });
  add("tessera_node_resident_bytes", "Resident memory of a node's process.",
      [](const NodeLoadFacts& node) { return static_cast<double>(node.resident_bytes); });
  add("tessera_node_cpu_ratio", "Share of a node's cores in use.",
      [](const NodeLoadFacts& node) { return node.cpu_share; });
  add("tessera_node_step_seconds", "Median time of a node's last steps.",
      [](const NodeLoadFacts& node) { return node.step_seconds_median; });
  add("tessera_node_exchange_wait_ratio", "Share of a step that a node waits for other shards.",
      [](const NodeLoadFacts& node) { return node.wait_share; });
  add("tessera_prefix_cache_pages", "KV pages of a node's conductors that hold prefixes and that no stream uses.",
      [](const NodeLoadFacts& node) { return static_cast<double>(node.kv_pages_cached); });
  const auto count = [&](const char* name, const char* help, auto value_of) {
    auto& family = counter(registry, name, help);
    for (const NodeLoadFacts& node : load.nodes)
      family.Add({{"node", node.name}}).Increment(static_cast<double>(value_of(node)));
  };
  count("tessera_prefix_cache_queried_tokens_total",
        "Tokens of admitted streams that need not be computed where all prefixes are known.",
        [](const NodeLoadFacts& node) { return node.prefix_tokens_queried; });
  count("tessera_prefix_cache_hit_tokens_total", "Of these, the ones that were not computed.",
        [](const NodeLoadFacts& node) { return node.prefix_tokens_hit; });
  count("tessera_speculation_draft_tokens_total", "Tokens that were guessed and computed ahead.",
        [](const NodeLoadFacts& node) { return node.draft_tokens; });
  count("tessera_speculation_accepted_tokens_total", "Of these, the ones that were right.",
        [](const NodeLoadFacts& node) { return node.draft_tokens_accepted; });
  auto& serving = gauge(registry, "tessera_model_serving", "1: streams of the model make progress now.");
  for (const ServedModel& model : load.models) serving.Add({{"model", model.name}}).Set(model.serves ? 1 : 0);
}

}  // namespace

const char* to_label(GenerationEnd outcome) {
  switch (outcome) {
    case GenerationEnd::stop:
      return "stop";
    case GenerationEnd::length:
      return "length";
    case GenerationEnd::error:
      return "error";
    case GenerationEnd::gone:
      return "gone";
  }
  return "error";
}

struct Metrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      counter(registry, "tessera_http_requests_total", "Requests that were answered, by route and status.");
  prometheus::Family<prometheus::Histogram>& request_seconds =
      histogram(registry, "tessera_http_request_seconds", "From a request's head to the end of its answer.");
  prometheus::Family<prometheus::Histogram>& first_token =
      histogram(registry, "tessera_time_to_first_token_seconds", "From a request's head to its first token.");
  prometheus::Family<prometheus::Histogram>& next_token =
      histogram(registry, "tessera_inter_token_seconds", "Between two tokens of a choice, as the gateway sends them.");
  prometheus::Family<prometheus::Histogram>& end_to_end =
      histogram(registry, "tessera_generation_seconds", "From a request's head to its last token.");
  prometheus::Family<prometheus::Counter>& generations =
      counter(registry, "tessera_generations_total", "Requests for completions, by how they ended.");
  prometheus::Family<prometheus::Counter>& prompt_tokens =
      counter(registry, "tessera_prompt_tokens_total", "Tokens of prompts.");
  prometheus::Family<prometheus::Counter>& tokens =
      counter(registry, "tessera_generated_tokens_total", "Tokens that were generated.");

  std::mutex mutex;  ///< guards models
  std::set<std::string> models;

  /// The model's name, or "other" when there are too many.
  std::string label(const std::string& model) {
    const std::lock_guard lock(mutex);
    if (models.contains(model)) return model;
    if (models.size() >= models_max) return "other";
    models.insert(model);
    return model;
  }
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}

Metrics::~Metrics() = default;

void Metrics::answered(const std::string& route, int status, double seconds) {
  state_->requests.Add({{"route", route}, {"status", std::to_string(status)}}).Increment();
  state_->request_seconds.Add({{"route", route}}, request_buckets).Observe(seconds);
}

void Metrics::first_token(const std::string& model, double seconds) {
  state_->first_token.Add({{"model", state_->label(model)}}, first_token_buckets).Observe(seconds);
}

void Metrics::next_token(const std::string& model, double seconds) {
  state_->next_token.Add({{"model", state_->label(model)}}, next_token_buckets).Observe(seconds);
}

void Metrics::generated(const std::string& model, GenerationEnd outcome, std::uint64_t prompt_tokens,
                        std::uint64_t tokens, double seconds) {
  const std::string label = state_->label(model);
  state_->generations.Add({{"model", label}, {"outcome", to_label(outcome)}}).Increment();
  state_->end_to_end.Add({{"model", label}}, request_buckets).Observe(seconds);
  state_->prompt_tokens.Add({{"model", label}}).Increment(static_cast<double>(prompt_tokens));
  state_->tokens.Add({{"model", label}}).Increment(static_cast<double>(tokens));
}

std::string Metrics::text(std::size_t streams, std::size_t connections, const Result<ClusterLoad>& load) const {
  prometheus::Registry now;
  gauge(now, "tessera_streams_running", "Choices that this gateway's requests wait for.")
      .Add({})
      .Set(static_cast<double>(streams));
  gauge(now, "tessera_http_connections", "Open connections.").Add({}).Set(static_cast<double>(connections));
  gauge(now, "tessera_cluster_reachable", "1: the cluster's coordinator answers.").Add({}).Set(load ? 1 : 0);
  if (load) add_load(now, *load);
  std::vector<prometheus::MetricFamily> families = state_->registry.Collect();
  for (prometheus::MetricFamily& family : now.Collect()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tessera::gateway
