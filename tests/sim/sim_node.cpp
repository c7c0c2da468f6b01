// Links to coordinators, commands and jobs.
#include "tests/sim/sim_node.hpp"

#include <algorithm>

#include "tests/sim/sim_coordinator.hpp"

namespace tessera::sim {

namespace {
constexpr Duration answer_timeout = 1s;
}  // namespace

SimNode::SimNode(Cluster& cluster, const std::string& name, NodeIncarnation incarnation)
    : Process(name), cluster_(cluster), fence_(cluster.rules) {
  info_.name = name;
  info_.incarnation = incarnation;
  info_.rpc = {name, 1};
  info_.data = {name, 2};
  const auto budget = cluster.budgets.find(name);
  info_.memory_bytes = budget == cluster.budgets.end() ? 1u << 30 : budget->second;
  info_.speed = 1.0 + static_cast<double>(cluster.world.random().between(std::uint64_t{0}, std::uint64_t{3}));
  info_.profile = cluster.coordinator_options.profile;
}

void SimNode::start() {
  connect();
  beat();
  signs_of_life();
}

bool SimNode::idle() const {
  for (const auto& [replica, slot] : slots_) {
    if (!slot.conductor) continue;
    if (!slot.conductor->core.keys().empty() || slot.conductor->core.load().pages_used > 0) return false;
  }
  return true;
}

bool SimNode::conducts(bool in_step) const {
  return std::any_of(slots_.begin(), slots_.end(), [in_step](const auto& entry) {
    const auto& conductor = entry.second.conductor;
    return conductor && conductor->running && (!in_step || (conductor->plan && !conductor->waits_for_lease));
  });
}

void SimNode::slow_down(double factor, Duration time) {
  slowness_ = factor;
  slow_until_ = cluster_.world.now() + time;
}

void SimNode::stop_beats(Duration time) { silent_until_ = cluster_.world.now() + time; }

void SimNode::damage_copy() {
  damaged_ = true;
  for (const auto& [replica, slot] : slots_) {
    const Epoch begun = fence_.begun(replica);
    const auto shard = slot.shards.find(begun);
    if (shard == slot.shards.end() || shard->second.hash.kv().empty()) continue;
    report_damage(replica, begun);
    report_broken(replica, begun, "its copy of the checkpoint is damaged");
  }
}

void SimNode::report_damage(ReplicaId replica, Epoch epoch) {
  report(current_, [&](ConnectionId from) {
    return CopyDamaged{from, replica, epoch, "model.h5: dataset 'layers.0.w1' is not what its checksum says"};
  });
}

std::vector<std::pair<ReplicaId, Epoch>> SimNode::shards() const {
  std::vector<std::pair<ReplicaId, Epoch>> here;
  for (const auto& [replica, slot] : slots_)
    for (const auto& [epoch, shard] : slot.shards) here.emplace_back(replica, epoch);
  return here;
}

void SimNode::connect() {
  current_ = 0;
  const auto coordinator = cluster_.dial();
  if (!coordinator) {
    cluster_.world.timer(*this, cluster_.world.random().between(20ms, Duration(100ms)), [this] {
      if (current_ == 0) connect();
    });
    return;
  }
  const LinkId link = current_ = next_link_++;
  const auto id = std::make_shared<ConnectionId>();
  const std::weak_ptr<SimCoordinator> peer = coordinator;
  const std::uint64_t connection = cluster_.world.connect(
      *this, *coordinator, [this, link] { give_up(link); },
      [peer, id] {
        if (const auto living = peer.lock()) living->closed(*id);
      });
  *id = coordinator->accept({connection, 1}, std::static_pointer_cast<SimNode>(shared_from_this()), link);
  links_[link] = {{connection, 0}, peer, *id, false, cluster_.world.now()};
  report(link, [this](ConnectionId from) { return NodeRegistered{from, info_, held()}; });
}

/// Closed, or its coordinator does not answer. A connection that is given up may be read a little longer.
void SimNode::give_up(LinkId link) {
  if (!links_.contains(link)) return;
  const ConnectionEnd mine = links_.at(link).mine;
  links_.erase(link);
  const Duration linger = cluster_.world.random().between(0ns, cluster_.mix.linger);
  cluster_.world.timer(*this, linger, [this, mine] { cluster_.world.close(mine); });
  if (link != current_) return;
  current_ = 0;
  if (cluster_.flawed(Flaw::lost_coordinator, 0.1)) return;
  cluster_.world.timer(*this, cluster_.world.random().between(5ms, Duration(100ms)), [this] {
    if (current_ == 0) connect();
  });
}

void SimNode::beat() {
  const auto it = links_.find(current_);
  if (it != links_.end()) {
    const LinkId link = current_;
    if (cluster_.world.now() - it->second.last_answer > answer_timeout) {
      give_up(link);
    } else if (it->second.registered && cluster_.world.now() >= silent_until_) {
      cluster_.world.send(it->second.mine, [coordinator = it->second.coordinator, id = it->second.id] {
        if (const auto living = coordinator.lock()) living->on_beat(id);
      });
    }
  }
  cluster_.world.timer(*this, 100ms, [this] { beat(); });
}

void SimNode::report(LinkId link, const std::function<CoordinatorInput(ConnectionId)>& input) {
  const auto it = links_.find(link);
  if (it == links_.end()) return;
  cluster_.world.send(it->second.mine, [coordinator = it->second.coordinator, input = input(it->second.id)] {
    if (const auto living = coordinator.lock()) living->input(input);
  });
}

void SimNode::report_broken(ReplicaId replica, Epoch epoch, const std::string& reason) {
  cluster_.world.trace(host + ": epoch " + std::to_string(epoch.value) + " is broken: " + reason);
  report(current_, [&](ConnectionId from) { return EpochBroken{from, replica, epoch, reason}; });
}

std::vector<HeldEpoch> SimNode::held() const {
  std::vector<HeldEpoch> held = fence_.held();
  for (HeldEpoch& each : held) {
    const auto it = slots_.find(each.replica);
    if (it == slots_.end() || !it->second.conductor) continue;
    each.conducts = each.active && it->second.conductor->epoch == each.epoch;
    // A conductor that still waits for its members has not activated anything yet.
    if (each.conducts && !it->second.conductor->running) each.active = false;
  }
  return held;
}

void SimNode::on_registered(LinkId link, const Result<Registration>& result) {
  const auto it = links_.find(link);
  if (it == links_.end()) return;
  if (!result || !fence_.observe(result->term)) return give_up(link);
  cluster_.oracle.obeyed(info_.incarnation, result->term, "a registration");
  id_ = result->node;
  it->second.registered = true;
  it->second.last_answer = cluster_.world.now();
}

void SimNode::on_beat_answered(LinkId link) {
  if (const auto it = links_.find(link); it != links_.end()) it->second.last_answer = cluster_.world.now();
}

/// What a connection brings goes through a mailbox: it can wait there, also until the connection is long closed.
void SimNode::command(Action action, double lateness) {
  Random& random = cluster_.world.random();
  const int copies = random.chance(cluster_.mix.doubled_command) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    const bool late = random.chance(lateness * cluster_.mix.late_command) || copy > 0;
    cluster_.world.timer(*this, late ? random.between(100ms, Duration(3s)) : random.between(1us, Duration(50us)),
                         action);
  }
}

void SimNode::on_prepare(LinkId link, const EpochPlan& plan) {
  command([this, link, plan] { prepare(link, plan); });
}
void SimNode::on_activate(const ActivateEpoch& activation) {
  command([this, activation] { activate(activation); }, 3);
}
void SimNode::on_hand_over(const HandOver& handing) {
  command([this, handing] { hand_over(handing); }, 3);
}
void SimNode::on_retire(const RetireEpoch& retirement) {
  command([this, retirement] { retire(retirement); });
}

void SimNode::on_run_job(JobId job, std::uint32_t attempt) {
  if (!jobs_.emplace(std::pair(job, attempt), false).second) return;
  cluster_.world.timer(*this, cluster_.world.random().between(10ms, Duration(400ms)),
                       [this, job, attempt] { report_job(job, attempt); });
}

/// Until it is answered.
void SimNode::report_job(JobId job, std::uint32_t attempt) {
  if (jobs_.at({job, attempt})) return;
  cluster_.world.timer(*this, 300ms, [this, job, attempt] { report_job(job, attempt); });
  const auto it = links_.find(current_);
  if (it == links_.end()) return;
  const std::weak_ptr<SimNode> self = std::static_pointer_cast<SimNode>(shared_from_this());
  const std::string result = "attempt " + std::to_string(attempt) + " by " + std::to_string(info_.incarnation.value);
  cluster_.world.send(
      it->second.mine, [coordinator = it->second.coordinator, id = it->second.id, self, job, attempt, result] {
        const auto living = coordinator.lock();
        if (!living) return;
        const RequestToken token =
            living->expect([living = living.get(), id, self, job, attempt](const CoordinatorOutput&) {
              living->to_node(id, [job, attempt](SimNode& node, LinkId) { node.jobs_[{job, attempt}] = true; });
            });
        living->input(JobReported{token, job, attempt, result});
      });
}

}  // namespace tessera::sim
