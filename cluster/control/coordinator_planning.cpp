#include <algorithm>
#include <cstdio>
#include <utility>

#include "cluster/control/comparable_speeds.hpp"
#include "cluster/control/coordinator_state.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

namespace {

/// The nodes of `old` in rank order, gaps filled with the best others, the rest behind: so few slices move.
template <typename Worker>
std::vector<Worker> keep_order(const std::vector<NodeId>& old, std::vector<Worker> workers) {
  std::vector<Worker> kept;
  std::vector<std::optional<Worker>> places;
  for (const NodeId node : old) {
    const auto found =
        std::find_if(workers.begin(), workers.end(), [node](const Worker& worker) { return worker.node == node; });
    places.push_back(found == workers.end() ? std::nullopt : std::optional(*found));
    if (found != workers.end()) workers.erase(found);
  }
  std::stable_sort(workers.begin(), workers.end(), [](const Worker& a, const Worker& b) { return a.speed > b.speed; });
  auto next = workers.begin();
  for (const auto& place : places) {
    if (place) {
      kept.push_back(*place);
    } else if (next != workers.end()) {
      kept.push_back(*next++);
    }
  }
  kept.insert(kept.end(), next, workers.end());
  return kept;
}

bool keeps_to(const EpochPlan& plan, const std::set<NodeId>& share) {
  const std::vector<NodeId> nodes = rank_nodes(plan);
  return std::all_of(nodes.begin(), nodes.end(), [&](NodeId node) { return share.contains(node); });
}

/// The lowest-numbered node that has a rank in both.
std::optional<NodeId> lowest_shared(const EpochPlan& a, const EpochPlan& b) {
  std::optional<NodeId> lowest;
  for (const NodeId node : rank_nodes(a)) {
    if (has_rank(b, node) && (!lowest || node < *lowest)) lowest = node;
  }
  return lowest;
}

}  // namespace

void CoordinatorState::all_due() {
  for (auto& [id, replica] : replicas_) replica.due = true;
  jobs_due_ = true;
}

void CoordinatorState::neighbours_due(const Replica& activated) {
  jobs_due_ = true;
  std::set<NodeId> nodes;
  for (const NodeId node : rank_nodes(*activated.record.serving)) nodes.insert(node);
  for (const PastEpoch& past : activated.past) nodes.insert(past.nodes.begin(), past.nodes.end());
  const auto touches = [&nodes](const EpochPlan& plan) {
    return std::any_of(plan.participants.begin(), plan.participants.end(),
                       [&nodes](const Participant& participant) { return nodes.contains(participant.node); });
  };
  for (auto& [id, replica] : replicas_) {
    const ReplicaRecord& record = replica.record;
    const std::uint32_t wanted = deployments_.at(record.deployment).spec.workers;
    const bool settled = replica.healthy() && wanted != 0 && record.serving->ranks() >= wanted;
    if (!settled || record.deployment == activated.record.deployment || touches(*record.serving) ||
        (record.pending && touches(*record.pending))) {
      replica.due = true;
    }
  }
}

void CoordinatorState::plan_where_due(Replica& replica) {
  const ReplicaRecord& record = replica.record;
  if (!replica.due || replica.recovering || now_ < replica.not_before) return;
  if (recovering_ && replica.healthy()) return;  // others may come back: no change for the better yet
  replica.due = false;
  if (record.switching) return;  // looked at again at its end
  const auto placement = choose(replica);
  if (!placement && replica.healthy() && !record.pending) return renew_leases(replica);
  if (!placement) {
    if (record.pending) return;
    const DeploymentRecord& deployment = deployments_.at(record.deployment);
    if (!record.damaged.empty() && !choose_among(record, &replica, deployment, Candidates::known)) {
      return fail_for_damage(replica, placement.error().message);
    }
    if (replica.message != placement.error().message) {
      log(EventLevel::warning, "'" + record.deployment + "' waits: " + placement.error().message);
    }
    replica.message = placement.error().message;
    replica.waits = true;
    return;
  }
  std::string why = std::exchange(replica.waits, false) ? "enough workers are there now"
                    : replica.message.empty()           ? "deployed"
                                                        : replica.message;
  if (record.pending) {
    why = reason_to_change(replica, *record.pending, *placement);
    if (why.empty()) return;
    drop_pending(replica);
    replica.due = false;
  } else if (replica.healthy()) {
    why = reason_to_change(replica, *record.serving, *placement);
    if (why.empty()) return renew_leases(replica);
  }
  start_epoch(replica, *placement, why);
}

void CoordinatorState::renew_leases(Replica& replica) {
  if (!lease_missing(replica)) return;
  const EpochPlan& plan = *replica.record.serving;
  start_epoch(replica, {plan.stages, rank_nodes(plan), 0}, "it shares a lease with another deployment");
}

std::string CoordinatorState::reason_to_change(const Replica& replica, const EpochPlan& plan,
                                               const Placement& placement) const {
  const auto chosen = [&](NodeId node) {
    return std::find(placement.nodes.begin(), placement.nodes.end(), node) != placement.nodes.end();
  };
  for (const NodeId node : rank_nodes(plan)) {
    if (nodes_.at(node).record.draining && !chosen(node)) return name_of(node) + " is being drained";
  }
  // For the better only, in one order for all replicas of a deployment: where one change can undo another, two of them
  // would take turns for ever. Workers that were asked for come first, and where none were, few shared ones.
  const std::size_t wanted = deployments_.at(replica.record.deployment).spec.workers;
  const auto asked_for = [wanted](std::size_t workers) { return std::min(workers, wanted); };
  const std::size_t before = plan.ranks(), after = placement.nodes.size();
  if (asked_for(after) < asked_for(before)) return {};
  const std::size_t shared_before = shared_with_siblings(replica, rank_nodes(plan));
  const std::size_t shared_after = shared_with_siblings(replica, placement.nodes);
  if (asked_for(after) == asked_for(before)) {
    if (shared_after > shared_before) return {};
    if (shared_after < shared_before) return "it shares fewer workers with the other replicas";
  }
  if (asked_for(after) > asked_for(before) || (wanted == 0 && after > before)) {
    for (const NodeId node : placement.nodes) {
      if (!has_rank(plan, node)) return name_of(node) + " joins";
    }
  }
  if (after == before && cost_of(plan) >= options_.improvement_min * placement.cost) {
    return "a placement is " + std::to_string(static_cast<int>(100 * (cost_of(plan) / placement.cost - 1))) +
           " % faster";
  }
  return {};
}

Result<Placement> CoordinatorState::choose(const Replica& replica) const {
  const DeploymentRecord& deployment = deployments_.at(replica.record.deployment);
  auto placement = choose_among(replica.record, &replica, deployment, Candidates::preferred);
  // A node that fails to prepare is no reason to disturb what serves, unless something drains.
  const auto& serving = replica.record.serving;
  const bool drains = serving && std::any_of(serving->participants.begin(), serving->participants.end(),
                                             [this](const auto& p) { return nodes_.at(p.node).record.draining; });
  if (placement || (replica.healthy() && !drains)) return placement;
  auto with_excluded = choose_among(replica.record, &replica, deployment, Candidates::ready);
  if (with_excluded || replica.healthy()) return with_excluded;
  auto with_draining = choose_among(replica.record, &replica, deployment, Candidates::connected);
  return with_draining ? std::move(with_draining) : std::move(with_excluded);
}

Result<Placement> CoordinatorState::choose_among(const ReplicaRecord& record, const Replica* replica,
                                                 const DeploymentRecord& deployment, Candidates candidates) const {
  const PlacementRequest request = request_of(deployment);
  std::vector<PlacementWorker> workers = workers_for(record, replica, candidates);
  if (const auto share = replica != nullptr ? share_of(*replica, candidates) : std::nullopt) {
    std::vector<PlacementWorker> own = workers;
    std::erase_if(own, [&](const PlacementWorker& worker) { return !share->contains(worker.node); });
    auto placement = place(deployment.facts, request, own, options_.memory);
    // A model that is too large for its share takes whatever there is, as the only replica would; but what serves
    // within its share does not leave it because a sibling needs memory there for a while.
    if (placement || (replica->healthy() && keeps_to(*replica->record.serving, *share))) return placement;
  }
  auto kept = place(deployment.facts, request, workers, options_.memory);
  if (!kept || kept->nodes.size() >= workers.size()) return kept;

  // More workers than ranks: the fastest may be worth a move.
  std::vector<PlacementWorker> fastest = workers;
  std::stable_sort(fastest.begin(), fastest.end(),
                   [](const PlacementWorker& a, const PlacementWorker& b) { return a.speed > b.speed; });
  fastest.resize(kept->nodes.size());
  std::erase_if(workers, [&](const PlacementWorker& worker) {
    return std::none_of(fastest.begin(), fastest.end(), [&](const auto& other) { return other.node == worker.node; });
  });
  auto moved = place(deployment.facts, request, workers, options_.memory);
  if (moved && moved->nodes.size() == kept->nodes.size() && moved->cost * options_.improvement_min <= kept->cost) {
    return moved;
  }
  return kept;
}

PlacementRequest CoordinatorState::request_of(const DeploymentRecord& deployment) const {
  PlacementRequest request;
  request.deployment = deployment.spec.name;
  request.workers = deployment.spec.workers;
  request.stages = deployment.spec.stages;
  request.kv_pages = pages_for(kv_positions_for(deployment.spec, deployment.facts.shape));
  if (options_.network) {
    request.network = options_.network;
    request.read_bytes_per_second = median_speed();
  }
  return request;
}

double CoordinatorState::median_speed() const {
  std::vector<double> measured;
  for (const auto& [id, node] : nodes_)
    if (node.record.info.computes && node.record.info.speed > 0) measured.push_back(node.record.info.speed);
  if (measured.empty()) return 1;
  const auto middle = measured.begin() + static_cast<std::ptrdiff_t>((measured.size() - 1) / 2);
  std::nth_element(measured.begin(), middle, measured.end());
  return *middle;
}

std::string CoordinatorState::prediction(const EpochPlan& plan) const {
  if (!options_.network) return {};
  const DeploymentRecord& deployment = deployments_.at(plan.deployment);
  const StepModel model = step_model_of(deployment.facts, request_of(deployment), options_.memory);
  const auto stages = static_cast<std::uint32_t>(plan.stages.size());
  const StepTime time = step_time(model, std::max(1u, plan.ranks() / stages), stages);
  char text[96];
  std::snprintf(text, sizeof text, "; a step should take %.2f ms, %.2f ms of it exchanges", time.total() * 1e3,
                time.exchange * 1e3);
  return text;
}

bool CoordinatorState::eligible(const Node& node, const Replica* replica, Candidates candidates) const {
  const NodeRecord& record = node.record;
  if (!record.info.computes) return false;
  if (replica != nullptr && replica->damaged_at(record.node)) return false;
  switch (candidates) {
    case Candidates::known:
      return !record.draining;
    case Candidates::connected:
      return node.connection.has_value();
    case Candidates::ready:
      return node.ready();
    case Candidates::preferred:
      break;
  }
  if (!node.ready()) return false;
  if (replica == nullptr) return true;
  const auto exclusion = replica->excluded.find(record.node);
  return exclusion == replica->excluded.end() || exclusion->second.over;
}

std::vector<PlacementWorker> CoordinatorState::workers_for(const ReplicaRecord& record, const Replica* replica,
                                                           Candidates candidates) const {
  const std::map<NodeId, double> speeds = node_speeds();
  const std::map<NodeId, std::uint64_t> planned_bytes = planned_bytes_by_node(record.replica);
  std::vector<PlacementWorker> workers;
  for (const auto& [id, node] : nodes_) {
    if (!eligible(node, replica, candidates)) continue;
    const NodeInfo& info = node.record.info;
    const auto planned_here = planned_bytes.find(id);
    const std::uint64_t planned = planned_here == planned_bytes.end() ? 0 : planned_here->second;
    const std::uint64_t left = info.memory_bytes > planned ? info.memory_bytes - planned : 0;
    workers.push_back({id, info.name, speeds.at(id), left, info.memory_bytes, info.cores});
  }
  const auto& old = record.serving ? record.serving : record.pending;
  return keep_order(old ? rank_nodes(*old) : std::vector<NodeId>{}, std::move(workers));
}

std::uint64_t CoordinatorState::planned_bytes(NodeId node, ReplicaId but) const {
  std::uint64_t bytes = 0;
  for (const auto& [id, replica] : replicas_) {
    if (id == but) continue;
    // During a change both epochs map the same pages of the checkpoint, and KV pages move: the larger one counts.
    std::uint64_t most = 0;
    for (const auto* plan : {&replica.record.serving, &replica.record.pending}) {
      if (*plan) most = std::max(most, plan_bytes(**plan, node));
    }
    bytes += most;
  }
  return bytes;
}

std::map<NodeId, std::uint64_t> CoordinatorState::planned_bytes_by_node(ReplicaId but) const {
  std::map<NodeId, std::uint64_t> bytes;
  for (const auto& [id, replica] : replicas_) {
    if (id == but) continue;
    std::map<NodeId, std::uint64_t> most;
    for (const auto* plan : {&replica.record.serving, &replica.record.pending}) {
      if (!*plan) continue;
      for (const auto& [node, own] : bytes_of(**plan)) most[node] = std::max(most[node], own);
    }
    for (const auto& [node, own] : most) bytes[node] += own;
  }
  return bytes;
}

const std::map<NodeId, std::uint64_t>& CoordinatorState::bytes_of(const EpochPlan& plan) const {
  if (bytes_of_plans_.size() > 4 * replicas_.size() + 16) bytes_of_plans_.clear();  // mostly of epochs that are over
  const auto [entry, is_new] = bytes_of_plans_.try_emplace({plan.replica, plan.epoch});
  if (is_new) {
    for (const NodeId node : rank_nodes(plan)) entry->second[node] = plan_bytes(plan, node);
  }
  return entry->second;
}

std::uint64_t CoordinatorState::plan_bytes(const EpochPlan& plan, NodeId node) const {
  if (!has_rank(plan, node)) return 0;
  const ModelFacts& facts = deployments_.at(plan.deployment).facts;
  const EpochPlan::Place place = plan.place_of(plan.find(node)->value);
  const StagePlan& stage = plan.stages[place.stage];
  auto shards = ShardPlan::from(facts.geometry, stage.shards);
  if (!shards) return 0;  // a stored plan of another model; the replica is planned again
  ShardMemoryOptions options;
  options.kv_pages = plan.kv_pages;
  options.page_positions = kv_page_positions;
  options.rows_max = step_rows_max(facts.shape);
  options.threads = std::max(1u, nodes_.at(node).record.info.cores);
  return options_.memory(facts, {stage.layers, std::move(*shards), ShardRank{place.rank}}, options).total();
}

std::map<NodeId, double> CoordinatorState::node_speeds() const {
  // Of all that are known: a worker that leaves must not change what the others are worth.
  std::map<NodeId, double> by_node;
  std::vector<NodeId> ids;
  std::vector<double> measured;
  for (const auto& [id, node] : nodes_) {
    // A stored record, or a plan of another day, may name a node that has none.
    by_node[id] = 1;
    if (!node.record.info.computes || !(node.record.info.speed > 0)) continue;
    ids.push_back(id);
    measured.push_back(node.record.info.speed);
  }
  const std::vector<double> speeds = comparable_speeds(measured);
  for (std::size_t i = 0; i < ids.size(); ++i) by_node[ids[i]] = speeds[i];
  return by_node;
}

double CoordinatorState::cost_of(const EpochPlan& plan) const {
  const std::map<NodeId, double> by_node = node_speeds();
  std::vector<double> speeds;
  for (const NodeId node : rank_nodes(plan)) speeds.push_back(by_node.at(node));
  return placement_cost(deployments_.at(plan.deployment).facts, plan.stages, speeds);
}

std::vector<NodeId> CoordinatorState::lease_nodes(const Replica& replica, const EpochPlan& plan) const {
  std::set<NodeId> leases;
  for (const auto& [id, other] : replicas_) {
    if (id == replica.record.replica) continue;
    const auto add = [&](const std::optional<EpochPlan>& theirs) {
      if (!theirs) return;
      if (const auto node = lowest_shared(plan, *theirs)) leases.insert(*node);
    };
    add(other.record.serving);  // also when it is broken: its successor will mostly lie on the same nodes
    add(other.record.pending);
  }
  // Where the conductor's own node is the lowest, its lease costs no message: with it from the beginning, a deployment
  // that comes to the same workers later finds what it needs, and this one goes on without a new epoch.
  const std::vector<NodeId> ranks = rank_nodes(plan);
  const NodeId lowest = *std::min_element(ranks.begin(), ranks.end());
  if (lowest == plan.root_node()) leases.insert(lowest);
  return {leases.begin(), leases.end()};
}

bool CoordinatorState::lease_missing(const Replica& replica) const {
  const EpochPlan& plan = *replica.record.serving;
  return std::any_of(replicas_.begin(), replicas_.end(), [&](const auto& entry) {
    const Replica& other = entry.second;
    if (entry.first == replica.record.replica || !other.healthy()) return false;
    const auto node = lowest_shared(plan, *other.record.serving);
    return node && !std::binary_search(plan.lease_nodes.begin(), plan.lease_nodes.end(), *node);
  });
}

}  // namespace tessera
