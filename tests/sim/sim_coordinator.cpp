#include "tests/sim/sim_coordinator.hpp"

#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

SimCoordinator::SimCoordinator(Cluster& cluster, std::string host_name, Term term)
    : Process(std::move(host_name)), cluster_(cluster), term_(term), core_(cluster.coordinator_options, term) {}

void SimCoordinator::start() {
  queue(core_.recover(cluster_.world.now(), cluster_.store.read()));
  tick();
}

void SimCoordinator::tick() {
  input(Tick{});
  cluster_.world.timer(*this, 20ms, [this] { tick(); });
}

void SimCoordinator::input(const CoordinatorInput& input) { queue(core_.step(cluster_.world.now(), input)); }

ConnectionId SimCoordinator::accept(ConnectionEnd mine, std::weak_ptr<SimNode> node, std::uint64_t link) {
  const ConnectionId id{next_++};
  peers_[id] = {mine, std::move(node), link};
  return id;
}

void SimCoordinator::closed(ConnectionId connection) {
  peers_.erase(connection);
  input(NodeDisconnected{connection});
}

void SimCoordinator::on_beat(ConnectionId connection) {
  input(NodeBeat{connection, {}});
  to_node(connection, [](SimNode& node, std::uint64_t link) { node.on_beat_answered(link); });
}

RequestToken SimCoordinator::expect(std::function<void(const CoordinatorOutput&)> answer) {
  const RequestToken token{next_++};
  requests_[token] = std::move(answer);
  return token;
}

void SimCoordinator::queue(CoordinatorOutputs outputs) {
  for (CoordinatorOutput& output : outputs) outputs_.push_back(std::move(output));
  pump();
}

/// In order; what follows a write waits until it is synced.
void SimCoordinator::pump() {
  while (!syncing_ && !outputs_.empty() && alive) {
    const CoordinatorOutput output = std::move(outputs_.front());
    outputs_.pop_front();
    if (!std::holds_alternative<Persist>(output) && !std::holds_alternative<Erase>(output)) {
      carry_out(output);
      continue;
    }
    // The disk works on while the process is frozen or dies: only the answer comes to the process.
    syncing_ = true;
    const bool slow = cluster_.world.random().chance(0.01);
    const Duration sync = cluster_.world.random().between(Duration(10us), slow ? cluster_.mix.slow_sync : 300us);
    cluster_.world.after(sync, [this, self = shared_from_this(), output] {
      const bool accepted = (alive || cluster_.world.random().chance(0.5)) && write(output);
      cluster_.world.timer(*this, 0ns, [this, accepted] {
        syncing_ = false;
        if (accepted) return pump();
        cluster_.world.trace(host + " learns that its term is over and ends");
        cluster_.world.kill(*this);
      });
    });
  }
}

bool SimCoordinator::write(const CoordinatorOutput& output) {
  if (const auto* persist = std::get_if<Persist>(&output)) {
    if (!cluster_.store.put(term_, persist->record)) return false;
    cluster_.oracle.memory(cluster_.store.records);
    return true;
  }
  return cluster_.store.erase(term_, std::get<Erase>(output).key);
}

void SimCoordinator::to_node(ConnectionId to, std::function<void(SimNode&, std::uint64_t)> event) {
  const auto it = peers_.find(to);
  if (it == peers_.end()) return;
  cluster_.world.send(it->second.mine, [node = it->second.node, link = it->second.link, event = std::move(event)] {
    if (const auto living = node.lock()) event(*living, link);
  });
}

void SimCoordinator::answer(RequestToken token, const CoordinatorOutput& output) {
  if (cluster_.flawed(Flaw::lost_answer, 0.02)) return;
  answer_once(token, output);
  if (cluster_.flawed(Flaw::doubled_answer, 0.02)) answer_once(token, output);
}

void SimCoordinator::answer_once(RequestToken token, const CoordinatorOutput& output) {
  if (!answered_.insert(token).second) return cluster_.world.violated(host + ": a request was answered twice");
  const auto it = requests_.find(token);
  if (it == requests_.end()) return cluster_.world.violated(host + ": an answer that nobody asked for");
  const auto answer = it->second;
  requests_.erase(it);
  answer(output);
}

void SimCoordinator::carry_out(const CoordinatorOutput& output) {
  World& world = cluster_.world;
  if (const auto* each = std::get_if<RegistrationAnswered>(&output)) {
    to_node(each->to, [result = each->result](SimNode& node, std::uint64_t link) { node.on_registered(link, result); });
  } else if (const auto* each = std::get_if<PrepareEpoch>(&output)) {
    if (world.tracing()) {
      std::string names;
      for (const Participant& participant : each->plan.participants) names += " " + participant.name;
      world.trace(host + ": prepare " + each->plan.deployment + " epoch " + std::to_string(each->plan.epoch.value) +
                  " root " + each->plan.participants[each->plan.root()].name + " of" + names);
    }
    for (const ConnectionId to : each->to)
      to_node(to, [plan = each->plan](SimNode& node, std::uint64_t link) { node.on_prepare(link, plan); });
  } else if (const auto* each = std::get_if<ActivateEpoch>(&output)) {
    to_node(each->to, [command = *each](SimNode& node, std::uint64_t) { node.on_activate(command); });
  } else if (const auto* each = std::get_if<HandOver>(&output)) {
    to_node(each->to, [command = *each](SimNode& node, std::uint64_t) { node.on_hand_over(command); });
  } else if (const auto* each = std::get_if<RetireEpoch>(&output)) {
    to_node(each->to, [command = *each](SimNode& node, std::uint64_t) { node.on_retire(command); });
  } else if (const auto* each = std::get_if<DropNode>(&output)) {
    const auto it = peers_.find(each->to);
    if (it == peers_.end()) return;
    world.trace(host + ": drops a node: " + each->reason);
    // The core has given the connection up; the node finds it closed.
    world.close(it->second.mine);
    peers_.erase(it);
  } else if (const auto* each = std::get_if<RunJob>(&output)) {
    to_node(each->to, [job = each->job, attempt = each->attempt](SimNode& node, std::uint64_t) {
      node.on_run_job(job, attempt);
    });
  } else if (const auto* each = std::get_if<DeployAnswered>(&output)) {
    answer(each->token, output);
  } else if (const auto* each = std::get_if<Answered>(&output)) {
    answer(each->token, output);
  } else if (const auto* each = std::get_if<JobAnswered>(&output)) {
    if (each->result) cluster_.oracle.job(*each->result);
    answer(each->token, output);
  } else if (const auto* each = std::get_if<JobChanged>(&output)) {
    cluster_.oracle.job(each->job);
  } else if (const auto* each = std::get_if<tessera::Event>(&output)) {
    world.trace(host + ": " + each->text);
  }
}

}  // namespace tessera::sim
