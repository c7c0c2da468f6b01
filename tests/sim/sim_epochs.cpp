// Shards and epochs: prepare, activate, hand over, retire, and the frames by which an epoch begins.
#include <algorithm>

#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

namespace {

constexpr Duration begin_timeout = 700ms;

bool holds(const KvHolding& holding, const KvPlace& place) {
  return holding.layers.contains(place.first) && holding.kv_heads.contains(place.second);
}

}  // namespace

void SimNode::frame_to(const std::string& name, std::function<void(SimNode&)> event, std::size_t bytes) {
  Cluster& cluster = cluster_;
  cluster_.world.frame(
      host, name, [&cluster, name]() -> ProcessPtr { return cluster.node(name); },
      [event = std::move(event)](Process& process) { event(static_cast<SimNode&>(process)); }, bytes);
}

void SimNode::prepare(LinkId link, const EpochPlan& plan) {
  const auto answer = [this, link, replica = plan.replica, epoch = plan.epoch](const Result<void>& result) {
    report(link, [&](ConnectionId from) { return EpochPrepared{from, replica, epoch, result}; });
  };
  if (const auto accepted = fence_.prepare(plan.term, plan.replica, plan.epoch); !accepted) return answer(accepted);
  cluster_.oracle.obeyed(info_.incarnation, plan.term, "a prepare");
  const auto index = plan.find(id_);
  if (!index || cluster_.world.random().chance(cluster_.mix.prepare_fails)) {
    fence_.forget(plan.replica, plan.epoch);
    return answer(Error{ErrorCode::io, "the checkpoint cannot be read"});
  }
  if (damaged_ && index->value < plan.ranks()) {
    fence_.forget(plan.replica, plan.epoch);
    report_damage(plan.replica, plan.epoch);
    return answer(Error{ErrorCode::corrupt, "the checkpoint is damaged"});
  }
  Shard shard{plan, {}, {}, {}};
  if (index->value < plan.ranks()) {
    const EpochPlan::Place place = plan.place_of(index->value);
    const StagePlan& stage = plan.stages[place.stage];
    shard.hash = HashShard(cluster_.geometry, stage.layers, stage.shards[place.rank], plan.kv_pages);
    for (const auto& [kv_place, cells] : shard.hash.kv()) shard.missing.insert(kv_place);
  }
  slots_[plan.replica].shards[plan.epoch] = std::move(shard);
  const Duration mapping = cluster_.world.random().between(1ms, Duration(80ms));
  cluster_.world.timer(*this, mapping, [this, answer, link, replica = plan.replica, epoch = plan.epoch] {
    if (links_.contains(link)) return answer({});
    // Its coordinator has given it up, and cannot know that it must be retired.
    if (fence_.begun(replica) == epoch) return;
    fence_.forget(replica, epoch);
    slots_[replica].shards.erase(epoch);
    leave_line(replica, epoch);
  });
}

void SimNode::activate(const ActivateEpoch& command) {
  const auto accepted = fence_.activate(command.term, command.replica, command.epoch, command.incarnation);
  if (!accepted) return report_broken(command.replica, command.epoch, accepted.error().message);
  cluster_.oracle.obeyed(info_.incarnation, command.term, "an activate");
  Slot& slot = slots_[command.replica];
  const auto shard = slot.shards.find(command.epoch);
  cluster_.oracle.began(info_.incarnation, command.replica, command.epoch, shard != slot.shards.end());
  if (shard == slot.shards.end()) return;
  std::vector<SequenceState> sequences;
  if (slot.conductor) release_leases(command.replica, *slot.conductor);
  if (slot.conductor && slot.conductor->incarnation == command.incarnation) {
    slot.conductor->core.step_abandoned();
    flush(*slot.conductor);
    sequences = slot.conductor->core.export_sequences();
  }
  Conductor& conductor =
      new_conductor(command.replica, shard->second, command.incarnation, std::move(sequences), false);
  for (std::uint32_t rank = 0; rank < shard->second.plan.ranks(); ++rank)
    conductor.missing.insert(shard->second.plan.participants[rank].name);
  const std::set<std::string> members = conductor.missing;
  for (const std::string& name : members) {
    if (name == host) continue;
    const BeginFrame frame{command.replica, command.epoch, command.incarnation, host};
    frame_to(name, [frame](SimNode& node) { node.on_begin(frame); });
  }
  on_ready(command.replica, command.epoch, host);
}

/// Takes the place of what conducted before; streams stay only with the same incarnation.
SimNode::Conductor& SimNode::new_conductor(ReplicaId replica, const Shard& shard, ConductorIncarnation incarnation,
                                           std::vector<SequenceState> sequences, bool kv_valid) {
  Slot& slot = slots_[replica];
  ConductorLimits limits;
  limits.context_length = cluster_.geometry.shape.context_length;
  limits.vocab_size = cluster_.geometry.shape.vocab_size;
  limits.pages = shard.plan.kv_pages;
  limits.rows_max = 24;
  limits.logits_rows_max = 12;
  limits.running_max = 6;
  limits.drafts_max = 5;
  const bool stays = slot.conductor && slot.conductor->incarnation == incarnation;
  if (slot.conductor) release_leases(replica, *slot.conductor);
  std::map<StreamId, Sink> sinks;
  if (stays) sinks = std::move(slot.conductor->sinks);
  if (slot.conductor && !stays) move_away(*slot.conductor);
  slot.conductor.emplace(limits);
  Conductor& conductor = *slot.conductor;
  conductor.epoch = shard.plan.epoch;
  conductor.incarnation = incarnation;
  conductor.sinks = std::move(sinks);
  if (const auto imported = conductor.core.import_sequences(std::move(sequences), kv_valid, stays); !imported)
    cluster_.world.violated(host + ": " + imported.error().message);
  drop_detached_later(replica);
  cluster_.world.timer(*this, begin_timeout, [this, replica, epoch = conductor.epoch] {
    const auto& waiting = slots_[replica].conductor;
    if (waiting && waiting->epoch == epoch && !waiting->running && !waiting->missing.empty())
      broken(replica, epoch, "not every member is ready");
  });
  return conductor;
}

void SimNode::on_begin(const BeginFrame& frame) {
  if (const auto accepted = fence_.begin(frame.replica, frame.epoch, frame.incarnation); !accepted) {
    cluster_.world.trace(host + " refuses a begin: " + accepted.error().message);
    return frame_to(frame.root,
                    [frame, from = host](SimNode& node) { node.on_refused(frame.replica, frame.epoch, 0, from); });
  }
  cluster_.oracle.began(info_.incarnation, frame.replica, frame.epoch,
                        slots_[frame.replica].shards.contains(frame.epoch));
  end_conductor(frame.replica);
  frame_to(frame.root, [frame, from = host](SimNode& node) { node.on_ready(frame.replica, frame.epoch, from); });
}

void SimNode::on_ready(ReplicaId replica, Epoch epoch, const std::string& from) {
  auto& conductor = slots_[replica].conductor;
  if (!conductor || conductor->epoch != epoch || conductor->running || conductor->missing.erase(from) == 0) return;
  if (!conductor->missing.empty()) return;
  conductor->running = true;
  cluster_.world.trace(host + ": conducts epoch " + std::to_string(epoch.value) + " as incarnation " +
                       std::to_string(conductor->incarnation.value));
  report(current_, [&](ConnectionId connection) {
    return EpochActivated{connection, replica, epoch, conductor->incarnation};
  });
  try_step(replica);
}

void SimNode::on_refused(ReplicaId replica, Epoch epoch, std::uint64_t step, const std::string& from) {
  const auto& conductor = slots_[replica].conductor;
  if (!conductor || conductor->epoch != epoch || (conductor->running && conductor->number != step)) return;
  broken(replica, epoch, from + " refuses");
}

void SimNode::hand_over(const HandOver& command) {
  const auto accepted = fence_.hand_over(command.term, command.replica, command.from, command.into);
  if (!accepted) return report_broken(command.replica, command.into, accepted.error().message);
  cluster_.oracle.obeyed(info_.incarnation, command.term, "a hand_over");
  cluster_.oracle.computes(info_.incarnation, command.replica, command.from);
  auto& conductor = slots_[command.replica].conductor;
  if (!conductor) return report_broken(command.replica, command.into, "nothing is conducted here");
  conductor->leaving = command;
  abandon_step(command.replica, *conductor);
  if (!conductor->plan) transfer(command.replica);
}

/// At a step boundary: everybody gets the sequences and sends its pages.
void SimNode::transfer(ReplicaId replica) {
  Slot& slot = slots_[replica];
  const HandOver command = *slot.conductor->leaving;
  slot.conductor->leaving.reset();
  slot.conductor->running = false;
  slot.conductor->missing.clear();
  const auto begun = fence_.begin(replica, command.into, command.incarnation);
  if (!begun) return report_broken(replica, command.into, begun.error().message);
  const auto shard = slot.shards.find(command.into);
  cluster_.oracle.began(info_.incarnation, replica, command.into, shard != slot.shards.end());
  if (shard == slot.shards.end()) return;
  const EpochPlan plan = shard->second.plan;
  TransferFrame frame{replica, command.from, command.into, command.incarnation, host, {}, {}};
  frame.root = plan.participants[plan.root()].name;
  flush(*slot.conductor);
  frame.sequences = slot.conductor->core.export_sequences();
  cluster_.world.trace(host + ": hands " + std::to_string(frame.sequences.size()) + " sequences of epoch " +
                       std::to_string(command.from.value) + " to epoch " + std::to_string(command.into.value));
  if (frame.root != host) end_conductor(replica);
  for (const Participant& participant : plan.participants) {
    if (participant.name == host) {
      on_transfer(frame);
    } else {
      frame_to(participant.name, [frame](SimNode& node) { node.on_transfer(frame); });
    }
  }
}

void SimNode::on_transfer(const TransferFrame& frame) {
  if (frame.sender != host) {
    if (const auto accepted = fence_.begin(frame.replica, frame.into, frame.incarnation); !accepted) {
      cluster_.world.trace(host + " refuses a transfer: " + accepted.error().message);
      return frame_to(frame.root,
                      [frame, from = host](SimNode& node) { node.on_refused(frame.replica, frame.into, 0, from); });
    }
    cluster_.oracle.began(info_.incarnation, frame.replica, frame.into,
                          slots_[frame.replica].shards.contains(frame.into));
  }
  Slot& slot = slots_[frame.replica];
  const auto shard = slot.shards.find(frame.into);
  if (shard == slot.shards.end()) return;
  shard->second.transfer_root = frame.root;
  if (frame.root != host) end_conductor(frame.replica);
  if (frame.root == host) {
    Conductor& conductor = new_conductor(frame.replica, shard->second, frame.incarnation, frame.sequences, true);
    for (const Participant& participant : shard->second.plan.participants) conductor.missing.insert(participant.name);
  }
  send_pages(frame.replica, shard->second, frame.from);
  say_ready(frame.replica, frame.into);
}

/// Each (layer, KV head) comes from the lowest participant that has it.
void SimNode::send_pages(ReplicaId replica, Shard& into, Epoch from) {
  Slot& slot = slots_[replica];
  const auto old = slot.shards.find(from);
  if (old == slot.shards.end()) return;
  const EpochPlan& plan = into.plan;
  for (const auto& [place, cells] : old->second.hash.kv()) {
    const auto owner = std::find_if(plan.previous_kv.begin(), plan.previous_kv.end(),
                                    [&place = place](const KvHolding& holding) { return holds(holding, place); });
    if (owner == plan.previous_kv.end() || plan.participants[owner->participant.value].name != host) continue;
    for (std::uint32_t rank = 0; rank < plan.ranks(); ++rank) {
      const EpochPlan::Place at = plan.place_of(rank);
      const StagePlan& stage = plan.stages[at.stage];
      const SliceRange heads = stage.shards[at.rank].kv_heads(cluster_.geometry.shape, cluster_.geometry.slices);
      if (!stage.layers.contains(place.first) || !heads.contains(place.second)) continue;
      KvFrame frame{replica, plan.epoch, place, cells};
      frame.cells.resize(std::size_t{plan.kv_pages} * kv_page_positions);
      if (cluster_.flawed(Flaw::lost_pages)) std::fill(frame.cells.begin(), frame.cells.end(), 0);
      if (plan.participants[rank].name == host) {
        on_kv(frame);
      } else {
        frame_to(
            plan.participants[rank].name, [frame](SimNode& node) { node.on_kv(frame); },
            frame.cells.size() * sizeof(std::uint64_t));
      }
    }
  }
}

void SimNode::on_kv(const KvFrame& frame) {
  Slot& slot = slots_[frame.replica];
  const auto shard = slot.shards.find(frame.epoch);
  if (shard == slot.shards.end() || shard->second.missing.erase(frame.place) == 0) return;
  shard->second.hash.kv()[frame.place] = frame.cells;
  say_ready(frame.replica, frame.epoch);
}

void SimNode::say_ready(ReplicaId replica, Epoch epoch) {
  Shard& shard = slots_[replica].shards.at(epoch);
  if (shard.transfer_root.empty() || !shard.missing.empty()) return;
  const std::string root = std::exchange(shard.transfer_root, {});
  if (root == host) return on_ready(replica, epoch, host);
  frame_to(root, [replica, epoch, from = host](SimNode& node) { node.on_ready(replica, epoch, from); });
}

void SimNode::retire(const RetireEpoch& command) {
  if (cluster_.flawed(Flaw::deaf_to_retirement)) return;
  if (!fence_.retire(command.term, command.replica, command.epoch)) return;
  cluster_.oracle.obeyed(info_.incarnation, command.term, "a retire");
  Slot& slot = slots_[command.replica];
  slot.shards.erase(command.epoch);
  leave_line(command.replica, command.epoch);
  if (slot.conductor && slot.conductor->epoch == command.epoch) end_conductor(command.replica);
}

/// Another node conducts now: its streams find it there.
void SimNode::end_conductor(ReplicaId replica) {
  auto& conductor = slots_[replica].conductor;
  if (!conductor) return;
  release_leases(replica, *conductor);
  move_away(*conductor);
  conductor.reset();
}

/// The conductor stays, with its sequences: it may be told to go on in the next epoch.
void SimNode::broken(ReplicaId replica, Epoch epoch, const std::string& reason) {
  Slot& slot = slots_[replica];
  leave_line(replica, epoch);
  if (slot.conductor && slot.conductor->epoch == epoch) {
    release_leases(replica, *slot.conductor);
    slot.conductor->core.step_abandoned();
    slot.conductor->plan.reset();
    slot.conductor->running = false;
    slot.conductor->missing.clear();
    slot.conductor->leaving.reset();
    fence_.forget(replica, epoch);
    slot.shards.erase(epoch);
  }
  report_broken(replica, epoch, reason);
}

void SimNode::on_peer_lost(const std::string& name) {
  leave_line_of(name);
  for (auto& [replica, slot] : slots_) {
    const auto shard = slot.shards.find(fence_.begun(replica));
    if (shard == slot.shards.end()) continue;
    const std::vector<Participant>& participants = shard->second.plan.participants;
    if (std::any_of(participants.begin(), participants.begin() + shard->second.plan.ranks(),
                    [&](const Participant& participant) { return participant.name == name; }))
      broken(replica, shard->first, "the connection to " + name + " ended");
  }
}

}  // namespace tessera::sim
