#include "cluster/control/deployment.hpp"

#include <algorithm>

namespace tessera {

bool DeploySpec::same_content(const DeploySpec& other) const {
  return name == other.name && uri == other.uri && workers == other.workers && stages == other.stages &&
         kv_positions == other.kv_positions && speculation == other.speculation && replicas == other.replicas;
}

std::uint32_t kv_positions_for(const DeploySpec& spec, const ModelShape& shape) {
  if (spec.kv_positions != 0) return spec.kv_positions;
  constexpr std::uint64_t contexts = 8, positions_max = 16384;
  const std::uint64_t wanted = std::min(contexts * shape.context_length, positions_max);
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(wanted, shape.context_length));
}

bool DeploymentStatus::serves() const {
  return replica.serves || std::any_of(others.begin(), others.end(), [](const auto& each) { return each.serves; });
}

const ReplicaStatus& DeploymentStatus::least_settled() const {
  if (replica.state != ReplicaState::serving) return replica;
  const auto other =
      std::find_if(others.begin(), others.end(), [](const auto& each) { return each.state != ReplicaState::serving; });
  return other == others.end() ? replica : *other;
}

const char* to_string(JobKind kind) {
  switch (kind) {
    case JobKind::generate:
      return "generate";
    case JobKind::perplexity:
      return "perplexity";
    case JobKind::verify:
      return "verify";
  }
  return "unknown";
}

const char* to_string(JobState state) {
  switch (state) {
    case JobState::queued:
      return "queued";
    case JobState::running:
      return "running";
    case JobState::done:
      return "done";
    case JobState::failed:
      return "failed";
    case JobState::cancelled:
      return "cancelled";
  }
  return "unknown";
}

const char* to_string(NodeState state) {
  switch (state) {
    case NodeState::ready:
      return "ready";
    case NodeState::draining:
      return "draining";
    case NodeState::drained:
      return "drained";
    case NodeState::lost:
      return "lost";
  }
  return "unknown";
}

const char* to_string(ReplicaState state) {
  switch (state) {
    case ReplicaState::waiting:
      return "waiting";
    case ReplicaState::preparing:
      return "preparing";
    case ReplicaState::switching:
      return "switching";
    case ReplicaState::serving:
      return "serving";
    case ReplicaState::failed:
      return "failed";
  }
  return "unknown";
}

}  // namespace tessera
