#include "clients/convert.hpp"

#include "runtime/tensor/dtype.hpp"

namespace tessera::frontend {

namespace {

client::ErrorCode to_public(tessera::ErrorCode code) {
  switch (code) {
    case tessera::ErrorCode::invalid_argument:
      return client::ErrorCode::invalid_argument;
    case tessera::ErrorCode::not_found:
      return client::ErrorCode::not_found;
    case tessera::ErrorCode::corrupt:
      return client::ErrorCode::corrupt;
    case tessera::ErrorCode::unsupported:
      return client::ErrorCode::unsupported;
    case tessera::ErrorCode::io:
      return client::ErrorCode::io;
    case tessera::ErrorCode::exhausted:
      return client::ErrorCode::exhausted;
    case tessera::ErrorCode::cancelled:
      return client::ErrorCode::cancelled;
    case tessera::ErrorCode::unavailable:
      return client::ErrorCode::unavailable;
    case tessera::ErrorCode::timed_out:
      return client::ErrorCode::timed_out;
    case tessera::ErrorCode::denied:
      return client::ErrorCode::denied;
    case tessera::ErrorCode::conflict:
      return client::ErrorCode::conflict;
  }
  return client::ErrorCode::io;
}

client::NodeState to_public(tessera::NodeState state) {
  switch (state) {
    case tessera::NodeState::ready:
      return client::NodeState::ready;
    case tessera::NodeState::draining:
      return client::NodeState::draining;
    case tessera::NodeState::drained:
      return client::NodeState::drained;
    case tessera::NodeState::lost:
      return client::NodeState::lost;
  }
  return client::NodeState::lost;
}

client::DeploymentState to_public(ReplicaState state) {
  switch (state) {
    case ReplicaState::waiting:
      return client::DeploymentState::waiting;
    case ReplicaState::preparing:
      return client::DeploymentState::preparing;
    case ReplicaState::switching:
      return client::DeploymentState::switching;
    case ReplicaState::serving:
      return client::DeploymentState::serving;
    case ReplicaState::failed:
      return client::DeploymentState::failed;
  }
  return client::DeploymentState::waiting;
}

client::JobKind to_public(tessera::JobKind kind) {
  switch (kind) {
    case tessera::JobKind::generate:
      return client::JobKind::generate;
    case tessera::JobKind::perplexity:
      return client::JobKind::perplexity;
    case tessera::JobKind::verify:
      return client::JobKind::verify;
  }
  return client::JobKind::generate;
}

client::JobState to_public(tessera::JobState state) {
  switch (state) {
    case tessera::JobState::queued:
      return client::JobState::queued;
    case tessera::JobState::running:
      return client::JobState::running;
    case tessera::JobState::done:
      return client::JobState::done;
    case tessera::JobState::failed:
      return client::JobState::failed;
    case tessera::JobState::cancelled:
      return client::JobState::cancelled;
  }
  return client::JobState::failed;
}

client::Run to_public(const SliceRange& range) { return {range.begin, range.end}; }

std::optional<client::PlanStatus> to_public(const std::optional<EpochPlan>& plan) {
  // A plan from outside: nothing is taken for granted.
  if (!plan || plan->stages.empty()) return {};
  client::PlanStatus status;
  status.epoch = plan->epoch.value;
  status.stages = static_cast<std::uint32_t>(plan->stages.size());
  std::uint32_t rank = 0;
  for (std::uint32_t stage = 0; stage < plan->stages.size(); ++stage) {
    for (const ShardSlices& slices : plan->stages[stage].shards) {
      client::ShardStatus shard;
      shard.rank = rank;
      shard.stage = stage;
      if (rank < plan->participants.size()) shard.node = plan->participants[rank].name;
      shard.layers = to_public(plan->stages[stage].layers);
      shard.attention = to_public(slices.attention);
      shard.ffn = to_public(slices.ffn);
      shard.vocabulary = to_public(slices.vocab);
      status.shards.push_back(std::move(shard));
      ++rank;
    }
  }
  const std::uint32_t root = plan->root();
  if (root < plan->participants.size()) status.conductor = plan->participants[root].name;
  return status;
}

client::StepMetrics to_public(const ReplicaMetrics& metrics) {
  client::StepMetrics steps;
  if (metrics.seconds > 0) {
    steps.tokens_per_second = static_cast<double>(metrics.tokens) / metrics.seconds;
    steps.steps_per_second = static_cast<double>(metrics.steps) / metrics.seconds;
  }
  if (metrics.steps > 0) steps.rows_per_step = static_cast<double>(metrics.rows) / static_cast<double>(metrics.steps);
  steps.step_seconds_median = metrics.step_seconds_median;
  steps.step_seconds_p99 = metrics.step_seconds_p99;
  steps.wait_share = metrics.wait_share;
  steps.lease_share = metrics.lease_share;
  return steps;
}

client::NodeStatus to_public(const tessera::NodeStatus& node) {
  client::NodeStatus status;
  status.id = node.node.value;
  status.name = node.info.name;
  status.state = to_public(node.state);
  status.endpoint = to_string(node.info.rpc);
  status.computes = node.info.computes;
  status.cores = node.info.cores;
  status.memory_bytes = node.info.memory_bytes;
  status.planned_bytes = node.planned_bytes;
  status.speed = node.info.speed;
  status.isa = node.info.isa;
  status.profile = node.info.profile;
  status.version = node.info.version;
  status.since_beat = node.since_beat;
  status.cpu_share = node.load.cpu_share;
  status.resident_bytes = node.load.resident_bytes;
  status.weight_bytes = node.load.weight_bytes;
  status.kv_bytes_used = node.load.kv_bytes_used;
  status.shards = node.load.shards;
  status.streams_running = node.load.streams_running;
  status.streams_waiting = node.load.streams_waiting;
  status.step_seconds_median = node.load.step_seconds_median;
  status.wait_share = node.load.wait_share;
  status.tokens_per_second = node.load.tokens_per_second;
  status.request_seconds_median = node.load.request_seconds_median;
  status.kv_pages_cached = node.load.kv_pages_cached;
  status.prefix_tokens_queried = node.load.prefix_tokens_queried;
  status.prefix_tokens_hit = node.load.prefix_tokens_hit;
  status.draft_tokens = node.load.draft_tokens;
  status.draft_tokens_accepted = node.load.draft_tokens_accepted;
  status.connections_refused = node.load.connections_refused;
  status.calls_denied = node.load.calls_denied;
  return status;
}

}  // namespace

client::Error to_public(const tessera::Error& error) { return {to_public(error.code), error.message}; }

tessera::ErrorCode to_internal(client::ErrorCode code) {
  switch (code) {
    case client::ErrorCode::invalid_argument:
      return tessera::ErrorCode::invalid_argument;
    case client::ErrorCode::not_found:
      return tessera::ErrorCode::not_found;
    case client::ErrorCode::corrupt:
      return tessera::ErrorCode::corrupt;
    case client::ErrorCode::unsupported:
      return tessera::ErrorCode::unsupported;
    case client::ErrorCode::io:
      return tessera::ErrorCode::io;
    case client::ErrorCode::exhausted:
      return tessera::ErrorCode::exhausted;
    case client::ErrorCode::cancelled:
      return tessera::ErrorCode::cancelled;
    case client::ErrorCode::unavailable:
      return tessera::ErrorCode::unavailable;
    case client::ErrorCode::timed_out:
      return tessera::ErrorCode::timed_out;
    case client::ErrorCode::denied:
      return tessera::ErrorCode::denied;
    case client::ErrorCode::conflict:
      return tessera::ErrorCode::conflict;
  }
  return tessera::ErrorCode::io;
}

tessera::Pooling to_internal(client::Pooling pooling) {
  switch (pooling) {
    case client::Pooling::mean:
      return tessera::Pooling::mean;
    case client::Pooling::cls:
      return tessera::Pooling::cls;
    case client::Pooling::last:
      break;
  }
  return tessera::Pooling::last;
}

namespace {

client::ReplicaStatus to_public(const tessera::ReplicaStatus& replica) {
  client::ReplicaStatus status;
  status.replica = replica.replica.value;
  status.state = to_public(replica.state);
  status.serves = replica.serves;
  status.message = replica.message;
  status.serving = to_public(replica.serving);
  status.pending = to_public(replica.pending);
  if (replica.metrics) status.metrics = to_public(*replica.metrics);
  return status;
}

}  // namespace

client::DeploymentStatus to_public(const tessera::DeploymentStatus& deployment) {
  client::DeploymentStatus status;
  status.name = deployment.spec.name;
  status.model = deployment.facts.name;
  status.uri = deployment.facts.uri.empty() ? deployment.spec.uri : deployment.facts.uri;
  status.content_id = deployment.facts.content_id;
  status.dtype = tessera::to_string(deployment.facts.types.layers);
  status.slices = deployment.facts.geometry.slice_count();
  status.context_length = deployment.facts.shape.context_length;
  status.workers = deployment.spec.workers;
  status.stages = deployment.spec.stages;
  status.kv_positions = deployment.spec.kv_positions;
  status.speculation = static_cast<client::Speculation>(deployment.spec.speculation);
  status.replicas.push_back(to_public(deployment.replica));
  for (const tessera::ReplicaStatus& other : deployment.others) status.replicas.push_back(to_public(other));
  status.state = to_public(deployment.least_settled().state);
  status.serves = deployment.serves();
  status.message = deployment.least_settled().message;
  const client::ReplicaStatus& first = status.replicas.front();
  status.replica = first.replica;
  status.serving = first.serving;
  status.pending = first.pending;
  status.metrics = first.metrics;
  return status;
}

client::ClusterStatus to_public(const tessera::ClusterStatus& cluster) {
  client::ClusterStatus status;
  status.term = cluster.term.value;
  status.profile = cluster.profile;
  status.recovering = cluster.recovering;
  for (const tessera::NodeStatus& node : cluster.nodes) status.nodes.push_back(to_public(node));
  for (const tessera::DeploymentStatus& each : cluster.deployments) status.deployments.push_back(to_public(each));
  return status;
}

client::JobStatus to_public(const JobRecord& job) {
  client::JobStatus status;
  status.id = job.job.value;
  status.kind = to_public(job.spec.kind);
  status.deployment = job.spec.deployment;
  status.uri = job.spec.uri;
  status.client = job.spec.client;
  status.state = to_public(job.state);
  status.attempt = job.attempt;
  status.result = job.result;
  if (job.error) status.error = to_public(*job.error);
  status.log = job.log;
  status.submitted_unix_ms = job.submitted_unix_ms;
  return status;
}

DeploySpec to_spec(const client::DeployRequest& request) {
  DeploySpec spec;
  spec.name = request.name;
  spec.uri = request.uri;
  spec.workers = request.workers;
  spec.stages = request.stages;
  spec.kv_positions = request.kv_positions;
  spec.speculation = static_cast<Speculation>(request.speculation);
  spec.idempotency_key = request.idempotency_key;
  spec.replicas = request.replicas;
  return spec;
}

tessera::SamplingParameters to_internal(const client::SamplingParameters& sampling, std::uint64_t seed) {
  tessera::SamplingParameters result;
  result.temperature = sampling.temperature;
  result.top_k = sampling.top_k;
  result.top_p = sampling.top_p;
  result.min_p = sampling.min_p;
  result.repeat_penalty = sampling.repeat_penalty;
  result.presence_penalty = sampling.presence_penalty;
  result.frequency_penalty = sampling.frequency_penalty;
  result.logit_bias = sampling.logit_bias;
  result.seed = seed;
  return result;
}

}  // namespace tessera::frontend
