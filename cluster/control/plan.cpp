#include "cluster/control/plan.hpp"

#include <charconv>
#include <unordered_set>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

Error invalid(const EpochPlan& plan, const std::string& what) {
  return Error{ErrorCode::corrupt, "the plan of replica " + std::to_string(plan.replica.value) + ", epoch " +
                                       std::to_string(plan.epoch.value) + ", is not valid: " + what};
}

/// Runs must follow each other from 0 to `end`.
bool tiles(const std::vector<ShardSlices>& shards, SliceRange ShardSlices::*kind, std::uint32_t end) {
  std::uint32_t next = 0;
  for (const ShardSlices& shard : shards) {
    const SliceRange run = shard.*kind;
    if (run.begin != next || run.end < run.begin || run.end > end) return false;
    next = run.end;
  }
  return next == end;
}

}  // namespace

const char* to_string(Speculation speculation) { return speculation == Speculation::off ? "off" : "auto"; }

std::string to_string(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return (v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

Result<Endpoint> parse_endpoint(const std::string& text) {
  const Error error{ErrorCode::invalid_argument,
                    "'" + text + "' is not an address: write HOST:PORT, for example 10.0.0.7:7070 or [::1]:7070"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return error;
  Endpoint endpoint;
  endpoint.host = text.substr(0, colon);
  if (endpoint.host.front() == '[') {
    if (endpoint.host.size() < 3 || endpoint.host.back() != ']') return error;
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  } else if (endpoint.host.find(':') != std::string::npos) {
    return error;
  }
  const char *const begin = text.data() + colon + 1, *const end = text.data() + text.size();
  const auto [parsed, code] = std::from_chars(begin, end, endpoint.port);
  if (code != std::errc{} || parsed != end || endpoint.port == 0) return error;
  return endpoint;
}

std::uint32_t EpochPlan::ranks() const {
  std::size_t count = 0;
  for (const StagePlan& stage : stages) count += stage.shards.size();
  return static_cast<std::uint32_t>(count);
}

EpochPlan::Place EpochPlan::place_of(std::uint32_t rank) const {
  std::uint32_t stage = 0;
  while (rank >= stages[stage].shards.size()) {
    rank -= static_cast<std::uint32_t>(stages[stage].shards.size());
    ++stage;
    TESSERA_ENSURE(stage < stages.size());
  }
  return {stage, rank};
}

std::uint32_t EpochPlan::root() const {
  TESSERA_ENSURE(!stages.empty());
  return ranks() - static_cast<std::uint32_t>(stages.back().shards.size());
}

std::optional<ParticipantIndex> EpochPlan::find(NodeId node) const {
  for (std::uint32_t i = 0; i < participants.size(); ++i) {
    if (participants[i].node == node) return ParticipantIndex{i};
  }
  return std::nullopt;
}

Result<void> validate(const EpochPlan& plan, const ModelShape& shape, const SliceGeometry& geometry) {
  if (plan.epoch.value == 0 || plan.previous.value >= plan.epoch.value) return invalid(plan, "epochs must rise");
  if (plan.stages.empty()) return invalid(plan, "it has no stage");
  if (plan.kv_pages == 0) return invalid(plan, "it has no KV pages");
  std::uint32_t layer = 0;
  for (const StagePlan& stage : plan.stages) {
    if (stage.layers.begin != layer || stage.layers.end <= stage.layers.begin || stage.layers.end > shape.layers)
      return invalid(plan, "its stages do not follow each other through the layers");
    layer = stage.layers.end;
    if (stage.shards.empty() || !tiles(stage.shards, &ShardSlices::attention, geometry.attention_slices) ||
        !tiles(stage.shards, &ShardSlices::ffn, geometry.ffn_slices) ||
        !tiles(stage.shards, &ShardSlices::vocab, geometry.vocab_slices))
      return invalid(plan, "the shards of a stage do not hold every slice once");
  }
  if (layer != shape.layers) return invalid(plan, "its stages do not hold every layer");
  if (plan.participants.size() < plan.ranks()) return invalid(plan, "a rank has no node");
  std::unordered_set<NodeId> nodes;
  for (const Participant& participant : plan.participants) {
    if (!nodes.insert(participant.node).second) return invalid(plan, "a node takes part twice");
  }
  for (const KvHolding& holding : plan.previous_kv) {
    if (holding.participant.value >= plan.participants.size() || holding.layers.end > shape.layers ||
        holding.layers.begin > holding.layers.end || holding.kv_heads.end > shape.kv_heads ||
        holding.kv_heads.begin > holding.kv_heads.end)
      return invalid(plan, "a KV holding lies outside the model or its participants");
  }
  return {};
}

}  // namespace tessera
