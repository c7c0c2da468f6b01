// Steps and streams.
#include <algorithm>

#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

namespace {
constexpr Duration step_timeout = 1s;
constexpr Duration detached_time = 3s;
}  // namespace

void SimNode::try_step(ReplicaId replica) {
  Slot& slot = slots_[replica];
  if (!slot.conductor || !slot.conductor->running || slot.conductor->plan) return;
  Conductor& conductor = *slot.conductor;
  if (conductor.leaving) return transfer(replica);
  conductor.plan = conductor.core.plan_step();
  flush(conductor);
  if (!conductor.plan) return;
  const EpochPlan& plan = slot.shards.at(conductor.epoch).plan;
  conductor.ticket = ++tickets_;
  conductor.waits_for_lease = true;
  for (const NodeId node : plan.lease_nodes)
    conductor.keepers.push_back(plan.participants[plan.find(node)->value].name);
  ask_lease(replica);
}

void SimNode::start_step(ReplicaId replica) {
  Slot& slot = slots_[replica];
  Conductor& conductor = *slot.conductor;
  conductor.waits_for_lease = false;
  ++conductor.number;
  conductor.sums.assign(conductor.plan->logits.size(), 0);
  const EpochPlan plan = slot.shards.at(conductor.epoch).plan;
  const auto step = std::make_shared<const StepFrame>(
      StepFrame{replica, conductor.epoch, conductor.incarnation, conductor.number, host, *conductor.plan});
  for (std::uint32_t rank = 0; rank < plan.ranks(); ++rank) conductor.missing.insert(plan.participants[rank].name);
  cluster_.world.timer(*this, step_timeout, [this, replica, epoch = step->epoch, number = step->number] {
    const auto& waiting = slots_[replica].conductor;
    if (waiting && waiting->epoch == epoch && waiting->number == number && waiting->plan)
      broken(replica, epoch, "step " + std::to_string(number) + " takes too long");
  });
  for (std::uint32_t rank = 0; rank < plan.ranks(); ++rank) {
    if (plan.participants[rank].name != host)
      frame_to(plan.participants[rank].name, [step](SimNode& node) { node.on_step(*step); });
  }
  on_step(*step);
}

void SimNode::on_step(const StepFrame& frame) {
  if (const auto accepted = fence_.step(frame.replica, frame.epoch, frame.incarnation, frame.number); !accepted) {
    cluster_.world.trace(host + " refuses a step: " + accepted.error().message);
    return frame_to(frame.root, [frame, from = host](SimNode& node) {
      node.on_refused(frame.replica, frame.epoch, frame.number, from);
    });
  }
  cluster_.oracle.steps(info_.incarnation, frame.replica, frame.epoch, frame.number);
  Slot& slot = slots_[frame.replica];
  StepResult result{frame.replica, frame.epoch, frame.number, host, {}};
  const auto shard = slot.shards.find(frame.epoch);
  if (shard != slot.shards.end()) cluster_.oracle.pages(frame.plan, shard->second.hash, host);
  result.sums = shard == slot.shards.end() ? std::vector<std::uint64_t>(frame.plan.logits.size())
                                           : shard->second.hash.compute(cluster_.geometry, frame.plan);
  if (!result.sums.empty() && cluster_.flawed(Flaw::wrong_sum, 0.02)) result.sums[0] += 1;
  Random& random = cluster_.world.random();
  Duration time = random.chance(cluster_.mix.slow_step) ? random.between(20ms, Duration(400ms))
                                                        : random.between(1ms, Duration(6ms));
  if (cluster_.world.now() < slow_until_)
    time = std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::nano>(time) * slowness_);
  cluster_.world.timer(*this, time, [this, incarnation = frame.incarnation, root = frame.root, result] {
    if (const auto current = fence_.result(result.replica, result.epoch, incarnation); !current) {
      cluster_.world.trace(host + " drops a result: " + current.error().message);
      return;
    }
    cluster_.oracle.computes(info_.incarnation, result.replica, result.epoch);
    if (root == host) return on_result(result);
    frame_to(root, [result](SimNode& node) { node.on_result(result); });
  });
}

void SimNode::on_result(const StepResult& result) {
  auto& conductor = slots_[result.replica].conductor;
  if (!conductor || conductor->epoch != result.epoch || conductor->number != result.number || !conductor->plan) return;
  if (conductor->missing.erase(result.from) == 0) return;
  for (std::size_t i = 0; i < result.sums.size(); ++i) conductor->sums[i] += result.sums[i];
  if (conductor->missing.empty()) step_complete(result.replica);
}

void SimNode::step_complete(ReplicaId replica) {
  Conductor& conductor = *slots_[replica].conductor;
  if (const auto current = fence_.result(replica, conductor.epoch, conductor.incarnation); !current)
    return broken(replica, conductor.epoch, current.error().message);
  cluster_.oracle.computes(info_.incarnation, replica, conductor.epoch);
  std::vector<LogitsResult> results;
  for (std::size_t i = 0; i < conductor.sums.size(); ++i) {
    const PlannedLogits& wanted = conductor.plan->logits[i];
    results.push_back(sample(cluster_.geometry, conductor.sums[i], conductor.plan->rows[wanted.row].token, wanted));
  }
  conductor.plan.reset();
  release_leases(replica, conductor);
  conductor.core.step_done(results);
  flush(conductor);
  cluster_.world.timer(*this, 20us, [this, replica] { try_step(replica); });
}

void SimNode::flush(Conductor& conductor) {
  for (SequenceUpdate& update : conductor.core.take_updates()) {
    const StreamId id{update.key.high, update.key.low};
    StreamUpdate out;
    out.id = id;
    out.incarnation = conductor.incarnation;
    for (const SequenceToken& token : update.tokens) {
      out.tokens.push_back({token.index, token.token, token.log_probability});
      cluster_.oracle.token(id, out.tokens.back(), host);
    }
    for (const SequenceScore& score : update.scores) {
      out.scores.push_back({score.index, score.log_probability});
      cluster_.oracle.score(id, out.scores.back(), host);
    }
    out.finished = update.finished;
    out.failed = update.failed;
    const auto sink = conductor.sinks.find(id);
    if (sink == conductor.sinks.end()) continue;
    sink->second.send(out);
    if (out.finished || out.failed) conductor.sinks.erase(sink);
  }
}

void SimNode::move_away(Conductor& conductor) {
  for (const auto& [id, sink] : conductor.sinks) {
    StreamUpdate out;
    out.id = id;
    out.incarnation = conductor.incarnation;
    out.moved = true;
    sink.send(out);
  }
  conductor.sinks.clear();
}

void SimNode::signs_of_life() {
  for (auto& [replica, slot] : slots_) {
    // One that does not step is silent, so that its streams look for another.
    if (!slot.conductor || !slot.conductor->running) continue;
    for (const auto& [id, sink] : slot.conductor->sinks) {
      StreamUpdate out;
      out.id = id;
      out.incarnation = slot.conductor->incarnation;
      sink.send(out);
    }
  }
  cluster_.world.timer(*this, 500ms, [this] { signs_of_life(); });
}

void SimNode::on_open(ConnectionEnd mine, const StreamLocation& location, const StreamRequest& request,
                      const std::function<void(Result<void>)>& answer, std::function<void(StreamUpdate)> sink) {
  auto& conductor = slots_[location.replica].conductor;
  if (!conductor || conductor->incarnation != location.incarnation)
    return answer(Error{ErrorCode::unavailable, host + " does not conduct this replica (any more); locate it again"});
  if (const auto submitted = conductor->core.submit(spec_of(request)); !submitted) return answer(submitted);
  answer({});
  conductor->sinks[request.id] = {mine, std::move(sink)};
  flush(*conductor);
  try_step(location.replica);
}

void SimNode::on_close(ConnectionEnd mine, const StreamId& stream, ReplicaId replica, bool cancel) {
  auto& conductor = slots_[replica].conductor;
  if (!conductor) return;
  if (cancel) {
    conductor->core.cancel(key_of(stream));
    try_step(replica);
  }
  if (!conductor) return;  // it was handing over
  const auto sink = conductor->sinks.find(stream);
  if (sink == conductor->sinks.end() || sink->second.mine != mine) return;
  conductor->sinks.erase(sink);
  conductor->core.detach(key_of(stream));
  drop_detached_later(replica);
}

void SimNode::drop_detached_later(ReplicaId replica) {
  if (slots_[replica].conductor->core.detached().empty()) return;
  cluster_.world.timer(*this, detached_time, [this, replica] {
    auto& conductor = slots_[replica].conductor;
    if (!conductor) return;
    for (const SequenceKey key : conductor->core.detached()) conductor->core.cancel(key);
    try_step(replica);  // their pages may be what others wait for
  });
}

}  // namespace tessera::sim
