// Compute leases: what LeaseDesk, LeaseKeeper and the root's executor do together. A step takes the leases of its plan
// in order, and gives them back when it is over, however it ends.
#include <algorithm>

#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

namespace {

bool same_epoch(const LeasePlace& place, ReplicaId replica, Epoch epoch) {
  return place.replica == replica && place.epoch == epoch;
}

}  // namespace

void SimNode::sure_frame_to(const std::string& name, std::function<void(SimNode&)> event) {
  if (name == host) return event(*this);
  Cluster& cluster = cluster_;
  cluster_.world.sure_frame(
      host, name, [&cluster, name]() -> ProcessPtr { return cluster.node(name); },
      [event = std::move(event)](Process& process) { event(static_cast<SimNode&>(process)); });
}

void SimNode::ask_lease(ReplicaId replica) {
  Conductor& conductor = *slots_[replica].conductor;
  if (conductor.leases == conductor.keepers.size()) return start_step(replica);
  const LeasePlace place{replica, conductor.epoch, conductor.ticket, host};
  sure_frame_to(conductor.keepers[conductor.leases], [place](SimNode& node) { node.on_lease_wanted(place); });
}

void SimNode::on_lease_wanted(const LeasePlace& place) {
  // Where the epoch is not held (any more) there is no connection over which it could come.
  if (!slots_[place.replica].shards.contains(place.epoch)) return;
  leave_line(place.replica, place.epoch);
  line_.push_back(place);
  if (line_.size() == 1) grant_first();
}

void SimNode::on_lease_released(const LeasePlace& place) {
  const auto found = std::find_if(line_.begin(), line_.end(), [&](const LeasePlace& other) {
    return same_epoch(other, place.replica, place.epoch) && other.ticket == place.ticket;
  });
  if (found != line_.end()) leave_line(place.replica, place.epoch);
}

void SimNode::leave_line(ReplicaId replica, Epoch epoch) {
  const bool held = !line_.empty() && same_epoch(line_.front(), replica, epoch);
  std::erase_if(line_, [&](const LeasePlace& place) { return same_epoch(place, replica, epoch); });
  if (held && !line_.empty()) grant_first();
}

void SimNode::leave_line_of(const std::string& root) {
  const std::deque<LeasePlace> line = line_;
  for (const LeasePlace& place : line)
    if (place.root == root) leave_line(place.replica, place.epoch);
}

void SimNode::grant_first() {
  const LeasePlace place = line_.front();
  // Behind whatever this node is doing: a grant to itself must not begin a step inside another one's end.
  cluster_.world.timer(*this, 1us, [this, place] {
    sure_frame_to(place.root, [place, keeper = host](SimNode& node) { node.on_lease_granted(place, keeper); });
  });
}

void SimNode::on_lease_granted(const LeasePlace& place, const std::string& keeper) {
  auto& conductor = slots_[place.replica].conductor;
  if (!conductor || conductor->epoch != place.epoch || conductor->ticket != place.ticket ||
      !conductor->waits_for_lease || conductor->keepers[conductor->leases] != keeper)
    return;  // given up meanwhile, and given back
  ++conductor->leases;
  ask_lease(place.replica);
}

void SimNode::release_leases(ReplicaId replica, Conductor& conductor) {
  // Also the one that was asked for and not granted yet.
  const std::size_t asked = std::min(conductor.keepers.size(), conductor.leases + (conductor.waits_for_lease ? 1 : 0));
  const LeasePlace place{replica, conductor.epoch, conductor.ticket, host};
  for (std::size_t i = 0; i < asked; ++i)
    sure_frame_to(conductor.keepers[i], [place](SimNode& node) { node.on_lease_released(place); });
  conductor.keepers.clear();
  conductor.leases = 0;
  conductor.waits_for_lease = false;
}

void SimNode::abandon_step(ReplicaId replica, Conductor& conductor) {
  if (!conductor.waits_for_lease) return;
  release_leases(replica, conductor);
  conductor.core.step_abandoned();
  conductor.plan.reset();
}

}  // namespace tessera::sim
