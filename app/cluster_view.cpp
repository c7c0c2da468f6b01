#include "app/cluster_view.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "app/report.hpp"

namespace tessera::app {

namespace {

nlohmann::json to_json(const client::Run& run) { return {run.begin, run.end}; }

nlohmann::json to_json(const client::PlanStatus& plan) {
  nlohmann::json shards = nlohmann::json::array();
  for (const client::ShardStatus& shard : plan.shards) {
    shards.push_back({{"rank", shard.rank},
                      {"stage", shard.stage},
                      {"node", shard.node},
                      {"layers", to_json(shard.layers)},
                      {"attention", to_json(shard.attention)},
                      {"ffn", to_json(shard.ffn)},
                      {"vocabulary", to_json(shard.vocabulary)}});
  }
  return {{"epoch", plan.epoch}, {"stages", plan.stages}, {"conductor", plan.conductor}, {"shards", shards}};
}

nlohmann::json to_json(const std::optional<client::PlanStatus>& plan) {
  return plan ? to_json(*plan) : nlohmann::json(nullptr);
}

nlohmann::json to_json(const std::optional<client::StepMetrics>& metrics) {
  if (!metrics) return nullptr;
  return {{"tokens_per_second", metrics->tokens_per_second},
          {"steps_per_second", metrics->steps_per_second},
          {"rows_per_step", metrics->rows_per_step},
          {"step_seconds_median", metrics->step_seconds_median},
          {"step_seconds_p99", metrics->step_seconds_p99},
          {"wait_share", metrics->wait_share},
          {"lease_share", metrics->lease_share}};
}

/// printf into a string; lines of a table are short.
[[gnu::format(printf, 2, 3)]] void append(std::string& text, const char* format, ...) {
  char line[512];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text += line;
}

std::string bytes(std::uint64_t count) { return human_bytes(static_cast<double>(count)); }

std::string run_text(const client::Run& run) {
  return run.begin == run.end ? "-" : std::to_string(run.begin) + ".." + std::to_string(run.end - 1);
}

void append_plan(std::string& text, const char* label, const client::PlanStatus& plan) {
  append(text, "  %s epoch %llu: %zu shards in %u stages, conductor on %s\n", label,
         static_cast<unsigned long long>(plan.epoch), plan.shards.size(), plan.stages, plan.conductor.c_str());
  append(text, "    %4s  %-16s %-5s %-9s %-10s %-10s %s\n", "RANK", "NODE", "STAGE", "LAYERS", "ATTENTION", "FFN",
         "VOCABULARY");
  for (const client::ShardStatus& shard : plan.shards) {
    append(text, "    %4u  %-16s %-5u %-9s %-10s %-10s %s\n", shard.rank, shard.node.c_str(), shard.stage,
           run_text(shard.layers).c_str(), run_text(shard.attention).c_str(), run_text(shard.ffn).c_str(),
           run_text(shard.vocabulary).c_str());
  }
}

void append_metrics(std::string& text, const client::StepMetrics& metrics) {
  if (metrics.steps_per_second > 0) {
    append(text, "  %.1f tokens/s, %.1f steps/s of %.1f rows; ", metrics.tokens_per_second, metrics.steps_per_second,
           metrics.rows_per_step);
  } else {
    text += "  idle; ";
  }
  append(text,
         "a step took %.2f ms (99 %% at most %.2f), %.0f %% of it waiting for other shards, %.0f %% for the lease\n",
         metrics.step_seconds_median * 1e3, metrics.step_seconds_p99 * 1e3, metrics.wait_share * 100,
         metrics.lease_share * 100);
}

std::string nodes_of(const client::PlanStatus& plan) {
  std::string names;
  for (const client::ShardStatus& shard : plan.shards) names += (names.empty() ? "" : ", ") + shard.node;
  return names;
}

}  // namespace

nlohmann::json to_json(const client::NodeStatus& node) {
  return {{"id", node.id},
          {"name", node.name},
          {"state", client::to_string(node.state)},
          {"endpoint", node.endpoint},
          {"computes", node.computes},
          {"cores", node.cores},
          {"memory_bytes", node.memory_bytes},
          {"planned_bytes", node.planned_bytes},
          {"speed", node.speed},
          {"isa", node.isa},
          {"profile", node.profile},
          {"version", node.version},
          {"load",
           {{"since_beat_ms", node.since_beat.count()},
            {"cpu_share", node.cpu_share},
            {"resident_bytes", node.resident_bytes},
            {"weight_bytes", node.weight_bytes},
            {"kv_bytes_used", node.kv_bytes_used},
            {"shards", node.shards},
            {"streams_running", node.streams_running},
            {"streams_waiting", node.streams_waiting},
            {"step_seconds_median", node.step_seconds_median},
            {"wait_share", node.wait_share},
            {"tokens_per_second", node.tokens_per_second},
            {"request_seconds_median", node.request_seconds_median},
            {"kv_pages_cached", node.kv_pages_cached},
            {"prefix_tokens_queried", node.prefix_tokens_queried},
            {"prefix_tokens_hit", node.prefix_tokens_hit},
            {"draft_tokens", node.draft_tokens},
            {"draft_tokens_accepted", node.draft_tokens_accepted},
            {"connections_refused", node.connections_refused},
            {"calls_denied", node.calls_denied}}}};
}

nlohmann::json to_json(const client::ReplicaStatus& replica) {
  return {{"replica", replica.replica},
          {"state", client::to_string(replica.state)},
          {"serves", replica.serves},
          {"message", replica.message},
          {"serving", to_json(replica.serving)},
          {"pending", to_json(replica.pending)},
          {"metrics", to_json(replica.metrics)}};
}

nlohmann::json to_json(const client::DeploymentStatus& deployment) {
  nlohmann::json replicas = nlohmann::json::array();
  for (const client::ReplicaStatus& replica : deployment.replicas) replicas.push_back(to_json(replica));
  return {{"name", deployment.name},
          {"model", deployment.model},
          {"uri", deployment.uri},
          {"content_id", deployment.content_id},
          {"dtype", deployment.dtype},
          {"slices", deployment.slices},
          {"context_length", deployment.context_length},
          {"asked",
           {{"workers", deployment.workers},
            {"stages", deployment.stages},
            {"kv_positions", deployment.kv_positions},
            {"replicas", deployment.replicas.size()},
            {"speculation", client::to_string(deployment.speculation)}}},
          {"state", client::to_string(deployment.state)},
          {"serves", deployment.serves},
          {"message", deployment.message},
          {"replica", deployment.replica},
          {"serving", to_json(deployment.serving)},
          {"pending", to_json(deployment.pending)},
          {"metrics", to_json(deployment.metrics)},
          {"replicas", replicas}};
}

nlohmann::json to_json(const client::ClusterStatus& status) {
  nlohmann::json nodes = nlohmann::json::array(), deployments = nlohmann::json::array();
  for (const client::NodeStatus& node : status.nodes) nodes.push_back(to_json(node));
  for (const client::DeploymentStatus& deployment : status.deployments) deployments.push_back(to_json(deployment));
  return {{"term", status.term},
          {"profile", status.profile},
          {"recovering", status.recovering},
          {"nodes", nodes},
          {"deployments", deployments}};
}

nlohmann::json to_json(const client::JobStatus& job) {
  nlohmann::json json = {{"job", job.id},
                         {"kind", client::to_string(job.kind)},
                         {"deployment", job.deployment},
                         {"uri", job.uri},
                         {"client", job.client},
                         {"state", client::to_string(job.state)},
                         {"attempt", job.attempt},
                         {"result", job.result},
                         {"log", job.log},
                         {"submitted_unix_ms", job.submitted_unix_ms}};
  json["error"] = job.error
                      ? nlohmann::json{{"code", client::to_string(job.error->code)}, {"message", job.error->message}}
                      : nlohmann::json(nullptr);
  return json;
}

std::string table(const client::ClusterStatus& status) {
  std::string text;
  append(text, "term %llu, profile %s%s\n\n", static_cast<unsigned long long>(status.term), status.profile.c_str(),
         status.recovering ? ", recovering: nodes are expected back" : "");
  append(text, "%-16s %-9s %-21s %5s %9s %9s %9s %9s %6s %7s %5s %9s %8s %5s\n", "NODE", "STATE", "ENDPOINT", "CORES",
         "MEMORY", "PLANNED", "RESIDENT", "KV", "SHARDS", "STREAMS", "CPU", "TOKENS/S", "STEP", "WAIT");
  for (const client::NodeStatus& node : status.nodes) {
    const std::string streams = std::to_string(node.streams_running) + "+" + std::to_string(node.streams_waiting);
    append(text, "%-16s %-9s %-21s %5u %9s %9s %9s %9s %6u %7s %4.0f%% %9.1f %5.1f ms %4.0f%%\n", node.name.c_str(),
           client::to_string(node.state), node.endpoint.c_str(), node.cores, bytes(node.memory_bytes).c_str(),
           bytes(node.planned_bytes).c_str(), bytes(node.resident_bytes).c_str(), bytes(node.kv_bytes_used).c_str(),
           node.shards, streams.c_str(), node.cpu_share * 100, node.tokens_per_second, node.step_seconds_median * 1e3,
           node.wait_share * 100);
  }
  if (status.deployments.empty()) text += "\nno deployments; start one with: tessera deploy MODEL.h5 --name NAME\n";
  for (const client::DeploymentStatus& deployment : status.deployments) {
    append(text, "\n%s: %s%s, model %s %s, %s\n", deployment.name.c_str(), client::to_string(deployment.state),
           deployment.serves || deployment.state == client::DeploymentState::serving ? "" : " (does not serve)",
           deployment.model.c_str(), deployment.dtype.c_str(), deployment.uri.c_str());
    for (const client::ReplicaStatus& replica : deployment.replicas) {
      if (deployment.replicas.size() > 1) {
        append(text, "  replica %llu: %s\n", static_cast<unsigned long long>(replica.replica),
               client::to_string(replica.state));
      }
      if (!replica.message.empty()) text += "  " + replica.message + "\n";
      if (replica.metrics) append_metrics(text, *replica.metrics);
      if (replica.serving) append_plan(text, "serving", *replica.serving);
      if (replica.pending) append_plan(text, "pending", *replica.pending);
    }
  }
  return text;
}

std::string table(const std::vector<client::JobStatus>& jobs) {
  if (jobs.empty()) return "no jobs\n";
  std::string text;
  append(text, "%6s  %-10s %-16s %-9s %7s  %-16s %s\n", "JOB", "KIND", "DEPLOYMENT", "STATE", "ATTEMPT", "CLIENT",
         "RESULT");
  for (const client::JobStatus& job : jobs) {
    append(text, "%6llu  %-10s %-16s %-9s %7u  %-16s ", static_cast<unsigned long long>(job.id),
           client::to_string(job.kind), job.deployment.c_str(), client::to_string(job.state), job.attempt,
           job.client.c_str());
    text += (job.error ? job.error->message : job.result) + "\n";
  }
  return text;
}

std::string progress_text(const client::DeploymentStatus& deployment) {
  std::string text = deployment.name + ": " + client::to_string(deployment.state);
  const char* separator = " ";
  for (const client::ReplicaStatus& replica : deployment.replicas) {
    const auto& plan = replica.pending ? replica.pending : replica.serving;
    if (!plan) continue;
    text += separator + ("epoch " + std::to_string(plan->epoch)) + " on " + nodes_of(*plan);
    separator = "; ";
  }
  if (!deployment.message.empty()) text += " (" + deployment.message + ")";
  return text;
}

std::string progress_text(const client::JobStatus& job) {
  std::string text = "job " + std::to_string(job.id) + ": " + client::to_string(job.state);
  if (job.attempt > 1) text += ", attempt " + std::to_string(job.attempt);
  if (!job.log.empty()) text += ": " + job.log.back();
  return text;
}

}  // namespace tessera::app
