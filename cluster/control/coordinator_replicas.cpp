#include <algorithm>
#include <utility>

#include "cluster/control/coordinator_state.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

namespace {

/// Failed switches whose members keep their shards until something newer is active; the oldest is retired at once.
constexpr std::size_t past_epochs_max = 3;
/// After so many failures in a row the next plan does without the old epoch's KV.
constexpr std::uint32_t hand_over_failures_max = 3;
constexpr std::chrono::nanoseconds exclusion_min = std::chrono::seconds(1);
constexpr std::uint32_t exclusion_doublings_max = 8;

std::vector<NodeId> participant_nodes(const EpochPlan& plan) {
  std::vector<NodeId> nodes;
  for (const Participant& participant : plan.participants) nodes.push_back(participant.node);
  return nodes;
}

}  // namespace

std::vector<NodeId> rank_nodes(const EpochPlan& plan) {
  std::vector<NodeId> nodes = participant_nodes(plan);
  nodes.resize(plan.ranks());
  return nodes;
}

bool has_rank(const EpochPlan& plan, NodeId node) {
  const auto index = plan.find(node);
  return index && index->value < plan.ranks();
}

std::string title(const ReplicaRecord& record, Epoch epoch) {
  return "'" + record.deployment + "' (replica " + std::to_string(record.replica.value) + ", epoch " +
         std::to_string(epoch.value) + ")";
}

void CoordinatorState::start_epoch(Replica& replica, const Placement& placement, const std::string& why) {
  ReplicaRecord& record = replica.record;
  TESSERA_ENSURE(!record.pending && !replica.recovering);
  const DeploymentRecord& deployment = deployments_.at(record.deployment);
  record.last_epoch.value += 1;
  EpochPlan plan;
  plan.term = term_;
  plan.replica = record.replica;
  plan.epoch = record.last_epoch;
  plan.deployment = record.deployment;
  plan.uri = deployment.facts.uri;
  plan.content_id = deployment.facts.content_id;
  plan.profile = options_.profile;
  plan.kv_pages = pages_for(kv_positions_for(deployment.spec, deployment.facts.shape));
  plan.stages = placement.stages;
  for (const NodeId node : placement.nodes) {
    plan.participants.push_back({node, name_of(node), nodes_.at(node).record.info.data});
  }
  plan.check_first = !record.damaged.empty();
  plan.speculation = deployment.spec.speculation;
  add_donors(replica, plan);
  plan.lease_nodes = lease_nodes(replica, plan);

  record.pending = plan;
  record.switching = false;
  replica.prepared.clear();
  replica.breaking.reset();
  replica.deadline = now_ + options_.prepare_timeout_of(plan);
  replica.failed = false;
  replica.message = why;
  log(EventLevel::info, title(record, plan.epoch) + " is being prepared on " + std::to_string(plan.ranks()) +
                            " workers: " + why + prediction(plan));
  persist(replica);
  std::vector<ConnectionId> to;
  for (const Participant& participant : plan.participants) to.push_back(*nodes_.at(participant.node).connection);
  emit(PrepareEpoch{std::move(plan), std::move(to)});
  // A frozen member closes nothing: without this its peers would wait for it inside a step, and begin nothing new.
  // Behind the prepare, so that a conductor that stays knows of its next epoch and keeps its streams.
  if (record.serving && record.broken)
    retire(record.replica, {record.serving->epoch, participant_nodes(*record.serving)});
}

void CoordinatorState::add_donors(const Replica& replica, EpochPlan& plan) const {
  if (!replica.healthy() || replica.failures >= hand_over_failures_max) return;
  const EpochPlan& old = *replica.record.serving;
  const std::vector<NodeId> holders = rank_nodes(old);
  if (!std::all_of(holders.begin(), holders.end(), [this](NodeId node) { return connected(node); })) return;
  const ModelFacts& facts = deployments_.at(replica.record.deployment).facts;
  plan.previous = old.epoch;
  for (std::uint32_t rank = 0; rank < holders.size(); ++rank) {
    const NodeId node = holders[rank];
    if (!plan.find(node)) plan.participants.push_back({node, name_of(node), nodes_.at(node).record.info.data});
    const EpochPlan::Place place = old.place_of(rank);
    const StagePlan& stage = old.stages[place.stage];
    const SliceRange heads = stage.shards[place.rank].kv_heads(facts.shape, facts.geometry);
    if (!heads.empty()) plan.previous_kv.push_back({*plan.find(node), stage.layers, heads});
  }
}

void CoordinatorState::switch_over(Replica& replica) {
  ReplicaRecord& record = replica.record;
  const EpochPlan& plan = *record.pending;
  const NodeId root = plan.root_node();
  const NodeIncarnation process = nodes_.at(root).record.info.incarnation;
  if (record.incarnation.value == 0 || record.conductor_node != root || record.conductor_process != process) {
    record.incarnation.value += 1;
    record.conductor_node = root;
    record.conductor_process = process;
  }
  record.switching = true;
  replica.deadline = now_ + options_.switch_timeout;
  persist(replica);
  if (plan.previous.value != 0) {
    TESSERA_ENSURE(replica.healthy() && record.serving->epoch == plan.previous);
    const NodeId old_root = record.serving->root_node();
    emit(HandOver{old_root, *nodes_.at(old_root).connection, term_, record.replica, plan.previous, plan.epoch,
                  record.incarnation});
  } else {
    emit(ActivateEpoch{root, *nodes_.at(root).connection, term_, record.replica, plan.epoch, record.incarnation});
  }
}

void CoordinatorState::activated(Replica& replica) {
  ReplicaRecord& record = replica.record;
  if (record.serving) replica.past.push_back({record.serving->epoch, participant_nodes(*record.serving)});
  record.serving = std::exchange(record.pending, std::nullopt);
  record.serving_incarnation = record.incarnation;
  record.broken = record.switching = false;
  replica.recovering = false;
  replica.held.clear();
  replica.prepared.clear();
  replica.activated_at = now_;
  const EpochPlan& plan = *record.serving;
  for (const Participant& participant : plan.participants) replica.excluded.erase(participant.node);
  log(EventLevel::info, title(record, plan.epoch) + " serves");
  persist(replica);
  std::vector<NodeId> donors = participant_nodes(plan);
  donors.erase(donors.begin(), donors.begin() + plan.ranks());
  neighbours_due(replica);
  retire_past(replica);
  retire(record.replica, {plan.epoch, std::move(donors)});
}

void CoordinatorState::serving_broke(Replica& replica) {
  ReplicaRecord& record = replica.record;
  if (!record.serving || record.broken) return;
  record.broken = true;
  replica.due = true;
  // A plan that hands over from what is broken cannot go on.
  if (record.pending && record.pending->previous.value != 0) drop_pending(replica);
  persist(replica);
}

void CoordinatorState::drop_pending(Replica& replica) {
  ReplicaRecord& record = replica.record;
  const EpochPlan plan = *std::exchange(record.pending, std::nullopt);
  const bool switching = std::exchange(record.switching, false);
  replica.prepared.clear();
  replica.breaking.reset();
  replica.due = true;
  PastEpoch past{plan.epoch, participant_nodes(plan)};
  if (switching) {
    // Its conductor may run and hold the sequences: it goes when its successor is active. The old one may have stopped.
    if (record.serving) record.broken = true;
    replica.past.push_back(std::move(past));
    if (replica.past.size() > past_epochs_max) {
      retire(record.replica, replica.past.front());
      replica.past.erase(replica.past.begin());
    }
  } else {
    retire(record.replica, past);
  }
  persist(replica);
}

void CoordinatorState::note_failure(Replica& replica) {
  const auto quiet = options_.stable_after;
  if (now_ - replica.activated_at >= quiet && now_ - replica.failed_at >= quiet) replica.failures = 0;
  ++replica.failures;
  replica.failed_at = now_;
}

std::chrono::nanoseconds CoordinatorState::retry_delay(const Replica& replica) const {
  auto delay = options_.retry_delay_min;
  for (std::uint32_t i = 1; i < replica.failures && delay < options_.retry_delay_max; ++i) delay *= 2;
  return std::min(delay, options_.retry_delay_max);
}

void CoordinatorState::pending_failed(Replica& replica, const std::vector<NodeId>& culprits, const std::string& why) {
  log(EventLevel::warning, title(replica.record, replica.record.pending->epoch) + " is given up: " + why);
  note_failure(replica);
  bool changes = false;  // the next plan does without somebody who was in this one
  for (const NodeId node : culprits) {
    Exclusion& exclusion = replica.excluded[node];
    changes = changes || exclusion.times == 0 || exclusion.over;
    exclusion.until = now_ + exclusion_min * (1u << std::min(exclusion.times, exclusion_doublings_max));
    exclusion.over = false;
    ++exclusion.times;
  }
  // Not so long that the exclusion is over by then.
  replica.not_before = now_ + (changes ? options_.retry_delay_min : retry_delay(replica));
  drop_pending(replica);
  replica.message = why;
}

void CoordinatorState::expire_pending(Replica& replica) {
  const EpochPlan& plan = *replica.record.pending;
  if (replica.breaking) return pending_failed(replica, {}, std::string(*replica.breaking));
  if (replica.record.switching) {
    // Who is stuck is not known; the second time in a row the new root is left out.
    std::vector<NodeId> culprits;
    if (replica.failures > 0) culprits.push_back(plan.root_node());
    pending_failed(replica, culprits, "the new conductor did not start in time");
    return;
  }
  std::vector<NodeId> silent;
  std::string names;
  for (const Participant& participant : plan.participants) {
    if (replica.prepared.contains(participant.node)) continue;
    silent.push_back(participant.node);
    names += (names.empty() ? "" : ", ") + participant.name;
  }
  pending_failed(replica, silent, "not prepared in time by " + names);
}

void CoordinatorState::member_lost(Replica& replica, NodeId node) {
  if (replica.recovering) {
    replica.held.erase(node);
    return;
  }
  const bool in_pending = replica.record.pending && replica.record.pending->find(node);
  // Also of a broken epoch: its loss is what the wait was for.
  const bool in_serving = replica.record.serving && has_rank(*replica.record.serving, node);
  if (!in_pending && !in_serving) return;
  log(EventLevel::warning, "'" + replica.record.deployment + "' loses " + name_of(node));
  if (in_pending) drop_pending(replica);
  if (in_serving) serving_broke(replica);
  replica.message = name_of(node) + " was lost";
  replica.due = true;
  replica.not_before = now_;
}

void CoordinatorState::retire(ReplicaId replica, const PastEpoch& past) {
  for (const NodeId node : past.nodes) {
    const auto entry = nodes_.find(node);
    if (entry == nodes_.end() || !entry->second.connection) continue;
    emit(RetireEpoch{node, *entry->second.connection, term_, replica, past.epoch});
  }
}

void CoordinatorState::retire_past(Replica& replica) {
  for (const PastEpoch& past : replica.past) retire(replica.record.replica, past);
  replica.past.clear();
}

void CoordinatorState::leave_all(Replica& replica) {
  for (auto* const plan : {&replica.record.pending, &replica.record.serving}) {
    if (!*plan) continue;
    replica.past.push_back({(*plan)->epoch, participant_nodes(**plan)});
    plan->reset();
  }
  replica.record.broken = replica.record.switching = false;
  replica.prepared.clear();
  replica.breaking.reset();
}

CoordinatorState::Replica* CoordinatorState::find_replica(ReplicaId replica) {
  const auto entry = replicas_.find(replica);
  return entry == replicas_.end() ? nullptr : &entry->second;
}

}  // namespace tessera
