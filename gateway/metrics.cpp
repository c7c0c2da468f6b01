#include "gateway/metrics.hpp"

#include <map>
#include <mutex>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <set>
#include <vector>

#include "gateway/compatible_metrics.hpp"

namespace tessera::gateway {

namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

/// Names of models that are told apart; deployments may come and go for ever.
constexpr std::size_t models_max = 256;

const Buckets first_token_buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
const Buckets next_token_buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
const Buckets request_buckets{0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200};
const Buckets token_buckets{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

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

/// Of one model, wherever it is conducted.
struct ModelSums {
  double running = 0, waiting = 0, pages_used = 0, pages = 0;
};

void add_models(prometheus::Registry& registry, const std::vector<ConductorFacts>& conductors) {
  std::map<std::string, ModelSums> models;
  for (const ConductorFacts& each : conductors) {
    ModelSums& sums = models[each.model];
    sums.running += each.load.streams_running;
    sums.waiting += each.load.streams_waiting;
    sums.pages_used += each.load.kv_pages_used;
    sums.pages += each.load.kv_pages;
  }
  auto& running = gauge(registry, "tessera_model_streams_running", "Streams of a model that are computed.");
  auto& waiting = gauge(registry, "tessera_model_streams_waiting", "Streams of a model that wait for a place.");
  auto& used = gauge(registry, "tessera_model_kv_used_ratio", "Share of a model's KV pages that streams use.");
  for (const auto& [model, sums] : models) {
    running.Add({{"model", model}}).Set(sums.running);
    waiting.Add({{"model", model}}).Set(sums.waiting);
    used.Add({{"model", model}}).Set(sums.pages > 0 ? sums.pages_used / sums.pages : 0);
  }
}

void add_conductors(prometheus::Registry& registry, const std::vector<ConductorFacts>& conductors) {
  add_models(registry, conductors);
  const auto count = [&](const char* name, const char* help, auto value_of) {
    auto& family = counter(registry, name, help);
    for (const ConductorFacts& each : conductors)
      family.Add({{"node", each.node}, {"model", each.model}}).Increment(static_cast<double>(value_of(each.load)));
  };
  count("tessera_prefix_cache_queried_tokens_total",
        "Tokens of admitted streams that need not be computed where all prefixes are known.",
        [](const ReplicaLoad& load) { return load.prefix_tokens_queried; });
  count("tessera_prefix_cache_hit_tokens_total", "Of these, the ones that were not computed.",
        [](const ReplicaLoad& load) { return load.prefix_tokens_hit; });
  count("tessera_preemptions_total", "Streams that lost their KV pages to others, and are computed again.",
        [](const ReplicaLoad& load) { return load.preempted; });
  auto& rows = histogram(registry, "tessera_step_rows", "Rows of a conductor's steps: tokens of all streams together.");
  for (const ConductorFacts& each : conductors) {
    const StepRows& counted = each.load.step_rows;
    rows.Add({{"node", each.node}, {"model", each.model}}, Buckets(StepRows::bounds.begin(), StepRows::bounds.end()))
        .ObserveMultiple({counted.steps.begin(), counted.steps.end()}, static_cast<double>(counted.rows));
  }
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
  add("tessera_node_kv_bytes", "KV caches of a node, used or not.",
      [](const NodeLoadFacts& node) { return static_cast<double>(node.kv_bytes); });
  add_conductors(registry, load.conductors);
  const auto count = [&](const char* name, const char* help, auto value_of) {
    auto& family = counter(registry, name, help);
    for (const NodeLoadFacts& node : load.nodes)
      family.Add({{"node", node.name}}).Increment(static_cast<double>(value_of(node)));
  };
  count("tessera_speculation_draft_tokens_total", "Tokens that were guessed and computed ahead.",
        [](const NodeLoadFacts& node) { return node.draft_tokens; });
  count("tessera_speculation_accepted_tokens_total", "Of these, the ones that were right.",
        [](const NodeLoadFacts& node) { return node.draft_tokens_accepted; });
  count("tessera_node_connections_refused_total",
        "Connections that a node's listeners closed because the caller did not prove to belong to the cluster.",
        [](const NodeLoadFacts& node) { return node.connections_refused; });
  count("tessera_node_calls_denied_total", "Calls to a node that the caller's role does not allow.",
        [](const NodeLoadFacts& node) { return node.calls_denied; });
  auto& routed = counter(registry, "tessera_routed_streams_total",
                         "Streams that this gateway opened at a replica; one that is resumed counts again.");
  for (const RoutedFacts& each : load.routed) {
    routed.Add({{"model", each.model}, {"replica", std::to_string(each.replica.value)}})
        .Increment(static_cast<double>(each.streams));
  }
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
  prometheus::Family<prometheus::Histogram>& queue =
      histogram(registry, "tessera_queue_seconds", "From a stream's submission to its conductor's admitting it.");
  prometheus::Family<prometheus::Histogram>& prefill =
      histogram(registry, "tessera_prefill_seconds", "From a stream's admission to its first token.");
  prometheus::Family<prometheus::Histogram>& decode =
      histogram(registry, "tessera_decode_seconds", "From a stream's first token to its last one.");
  prometheus::Family<prometheus::Counter>& generations =
      counter(registry, "tessera_generations_total", "Requests for completions, by how they ended.");
  prometheus::Family<prometheus::Counter>& prompt_tokens =
      counter(registry, "tessera_prompt_tokens_total", "Tokens of prompts.");
  prometheus::Family<prometheus::Counter>& tokens =
      counter(registry, "tessera_generated_tokens_total", "Tokens that were generated.");

  prometheus::Family<prometheus::Histogram>& request_prompt =
      histogram(registry, "tessera_request_prompt_tokens", "Tokens of a request's prompts.");
  prometheus::Family<prometheus::Histogram>& request_generated =
      histogram(registry, "tessera_request_generated_tokens", "Tokens that were generated for a request.");

  std::mutex mutex;  ///< guards models
  std::set<std::string> models;

  std::vector<prometheus::MetricFamily> families(const Moment& moment) const {
    prometheus::Registry now;
    gauge(now, "tessera_streams_running", "Choices that this gateway's requests wait for.")
        .Add({})
        .Set(static_cast<double>(moment.streams));
    gauge(now, "tessera_http_connections", "Open connections.").Add({}).Set(static_cast<double>(moment.connections));
    counter(now, "tessera_http_connections_turned_away_total",
            "Connections that were refused, or closed while they were idle, because there were too many.")
        .Add({})
        .Increment(static_cast<double>(moment.turned_away));
    gauge(now, "tessera_cluster_reachable", "1: the cluster's coordinator answers.").Add({}).Set(moment.load ? 1 : 0);
    if (moment.load) add_load(now, *moment.load);
    std::vector<prometheus::MetricFamily> all = registry.Collect();
    for (prometheus::MetricFamily& family : now.Collect()) all.push_back(std::move(family));
    return all;
  }

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

void Metrics::phases(const std::string& model, const client::StreamPhases& phases) {
  const prometheus::Labels labels{{"model", state_->label(model)}};
  state_->queue.Add(labels, request_buckets).Observe(phases.queue_seconds);
  state_->prefill.Add(labels, request_buckets).Observe(phases.prefill_seconds);
  state_->decode.Add(labels, request_buckets).Observe(phases.decode_seconds);
}

void Metrics::generated(const std::string& model, GenerationEnd outcome, std::uint64_t prompt_tokens,
                        std::uint64_t tokens, double seconds) {
  const std::string label = state_->label(model);
  state_->generations.Add({{"model", label}, {"outcome", to_label(outcome)}}).Increment();
  state_->end_to_end.Add({{"model", label}}, request_buckets).Observe(seconds);
  state_->prompt_tokens.Add({{"model", label}}).Increment(static_cast<double>(prompt_tokens));
  state_->tokens.Add({{"model", label}}).Increment(static_cast<double>(tokens));
  state_->request_prompt.Add({{"model", label}}, token_buckets).Observe(static_cast<double>(prompt_tokens));
  state_->request_generated.Add({{"model", label}}, token_buckets).Observe(static_cast<double>(tokens));
}

std::string Metrics::text(const Moment& now) const {
  return prometheus::TextSerializer().Serialize(state_->families(now));
}

std::string Metrics::compatible_text(const Moment& now) const {
  return prometheus::TextSerializer().Serialize(compatible_families(state_->families(now)));
}

}  // namespace tessera::gateway
