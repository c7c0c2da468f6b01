#include "tests/sim/faults.hpp"

#include <algorithm>
#include <set>

#include "tests/sim/sim_client.hpp"
#include "tests/sim/sim_coordinator.hpp"
#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

namespace {
constexpr std::size_t nodes_max = 7;
}  // namespace

Faults::Faults(Cluster& cluster, std::function<void(bool)> deploy)
    : cluster_(cluster), world_(cluster.world), random_(cluster.world.random()), deploy_(std::move(deploy)) {}

const std::vector<Faults::Named>& Faults::all() {
  static const std::vector<Named> named = {
      {"kill", &Faults::kill_node},
      {"kill two", &Faults::kill_two},
      {"kill the conductor's node", &Faults::kill_conductor},
      {"kill during a plan", &Faults::kill_during_plan},
      {"kill during a recovery", &Faults::kill_during_recovery},
      {"kill all", &Faults::kill_all},
      {"freeze", &Faults::freeze_node},
      {"freeze in a step", &Faults::freeze_in_step},
      {"freeze a client", &Faults::freeze_client},
      {"slow worker", &Faults::slow_worker},
      {"no beats", &Faults::stop_beats},
      {"damaged copy", &Faults::damage_copy},
      {"cut one way", &Faults::cut_link},
      {"cut both ways", &Faults::cut_both_ways},
      {"isolate", &Faults::isolate},
      {"split", &Faults::split},
      {"slow link", &Faults::slow_link},
      {"narrow link", &Faults::narrow_link},
      {"break a connection", &Faults::break_connection},
      {"break connections", &Faults::break_connections},
      {"join", &Faults::join},
      {"drain", &Faults::drain},
      {"restart the coordinator", &Faults::restart_coordinator},
      {"freeze the coordinator", &Faults::freeze_coordinator},
      {"second coordinator", &Faults::second_coordinator},
      {"redeploy", &Faults::redeploy},
  };
  return named;
}

// Whom it hits.

std::vector<std::shared_ptr<SimNode>> Faults::living() const {
  std::vector<std::shared_ptr<SimNode>> some;
  for (const auto& [name, node] : cluster_.nodes)
    if (node->alive) some.push_back(node);
  return some;
}

std::shared_ptr<SimNode> Faults::some_conductor(bool in_step) {
  std::vector<std::shared_ptr<SimNode>> some = living();
  std::erase_if(some, [in_step](const auto& node) { return !node->conducts(in_step); });
  return one_of(some);
}

std::shared_ptr<SimNode> Faults::some_planned() {
  if (cluster_.coordinators.empty()) return nullptr;
  std::set<std::string> names;
  for (const DeploymentStatus& deployment : cluster_.coordinators.back()->core().status(world_.now()).deployments) {
    std::vector<ReplicaStatus> replicas = deployment.others;
    replicas.push_back(deployment.replica);
    for (const ReplicaStatus& replica : replicas) {
      if (!replica.pending) continue;
      for (const Participant& participant : replica.pending->participants) names.insert(participant.name);
    }
  }
  std::vector<std::shared_ptr<SimNode>> some = living();
  std::erase_if(some, [&names](const auto& node) { return !names.contains(node->host); });
  return one_of(some);
}

std::vector<std::string> Faults::hosts() const {
  std::vector<std::string> names;
  for (const auto& [name, node] : cluster_.nodes) names.push_back(name);
  for (const auto& coordinator : cluster_.coordinators) names.push_back(coordinator->host);
  for (const auto& client : cluster_.clients) names.push_back(client->host);
  return names;
}

std::string Faults::some_host() {
  const std::uint64_t kind = below(4);
  if (kind == 0 && !cluster_.coordinators.empty()) return cluster_.coordinators.back()->host;
  if (kind == 1) return cluster_.clients[below(cluster_.clients.size())]->host;
  const auto node = some_node();
  return node ? node->host : "nobody";
}

void Faults::when_found(std::function<std::shared_ptr<SimNode>()> find, std::function<void(SimNode&)> then, int tries) {
  if (over_ || tries == 0) return;
  if (const auto node = find()) return then(*node);
  world_.after(5ms,
               [this, find = std::move(find), then = std::move(then), tries] { when_found(find, then, tries - 1); });
}

// Processes.

void Faults::kill(SimNode& node, double comes_back) {
  if (over_ || !node.alive) return;
  world_.trace(node.host + " is killed");
  const std::string lost = node.host;
  world_.kill(node);
  for (const auto& [name, other] : cluster_.nodes) {
    if (!other->alive) continue;
    world_.timer(*other, random_.between(100us, Duration(20ms)),
                 [raw = other.get(), lost] { raw->on_peer_lost(lost); });
  }
  if (random_.chance(comes_back)) {
    world_.after(random_.between(5ms, Duration(1500ms)), [this, lost] { restart(lost); });
  }
}

void Faults::restart(const std::string& name) {
  if (!cluster_.node(name)) cluster_.start_node(name);
}

void Faults::kill_node() {
  if (const auto node = some_node()) kill(*node);
}

void Faults::kill_two() {
  for (int i = 0; i < 2; ++i) kill_node();
}

void Faults::kill_conductor() {
  const bool in_step = random_.chance(0.5);
  when_found([this, in_step] { return some_conductor(in_step); }, [this](SimNode& node) { kill(node); });
}

void Faults::kill_during_plan() {
  when_found([this] { return some_planned(); },
             [this](SimNode& node) {
               // At any moment of its preparation and of the switch to it.
               world_.timer(node, random_.between(0ns, Duration(150ms)), [this, &node] { kill(node); });
             });
}

void Faults::kill_during_recovery() {
  kill_node();
  world_.after(random_.between(1ms, Duration(900ms)), [this] { kill_during_plan(); });
}

void Faults::kill_all() {
  world_.trace("no worker is left");
  for (const auto& node : living()) {
    kill(*node, 0);
    world_.after(random_.between(200ms, Duration(3s)), [this, name = node->host] { restart(name); });
  }
}

void Faults::freeze(Process& process, Duration longest) {
  if (process.frozen || !process.alive) return;
  world_.trace(process.host + " is frozen");
  world_.freeze(process);
  world_.after(random_.between(5ms, longest), [this, living = process.shared_from_this()] { thaw(*living); });
}

void Faults::thaw(Process& process) {
  if (!process.frozen || !process.alive) return;
  world_.trace(process.host + " thaws");
  world_.thaw(process);
}

void Faults::freeze_node() {
  if (const auto node = some_node()) freeze(*node, freeze_max);
}

/// What it has sent to one of the others is still under way, and arrives long after the epoch is over.
void Faults::freeze_in_step() {
  const auto conductor = some_conductor(false), other = some_node();
  if (!conductor || conductor == other) return;
  const TimePoint end = world_.now() + random_.between(300ms, freeze_max);
  world_.cut(conductor->host, other->host, end);
  when_found(
      [conductor]() -> std::shared_ptr<SimNode> {
        return conductor->alive && conductor->conducts(true) ? conductor : nullptr;
      },
      [this](SimNode& node) { freeze(node, freeze_max); });
}

void Faults::freeze_client() { freeze(*cluster_.clients[below(cluster_.clients.size())], 2 * freeze_max); }

void Faults::slow_worker() {
  const auto node = some_node();
  if (!node) return;
  world_.trace(node->host + " is slow");
  node->slow_down(2.0 + static_cast<double>(below(60)), random_.between(100ms, Duration(4s)));
}

void Faults::stop_beats() {
  const auto node = some_node();
  if (!node) return;
  world_.trace(node->host + " sends no beats");
  node->stop_beats(random_.between(100ms, Duration(2s)));
}

void Faults::damage_copy() {
  const std::vector<std::shared_ptr<SimNode>> some = living();
  if (std::any_of(some.begin(), some.end(), [](const auto& node) { return node->damaged(); })) return;
  const auto node = one_of(some);
  if (!node) return;
  world_.trace("the copy of " + node->host + " is damaged");
  node->damage_copy();
}

// Networks.

void Faults::cut_link() {
  const std::string from = some_host(), to = some_host();
  if (from == to) return;
  world_.trace("the link from " + from + " to " + to + " is cut");
  world_.cut(from, to, world_.now() + random_.between(10ms, Duration(3s)));
}

void Faults::cut_both_ways() {
  const std::string one = some_host(), other = some_host();
  if (one == other) return;
  world_.trace(one + " and " + other + " do not reach each other");
  const TimePoint end = world_.now() + random_.between(10ms, Duration(3s));
  world_.cut(one, other, end);
  world_.cut(other, one, end);
}

void Faults::isolate() {
  const std::string alone = some_host();
  world_.trace(alone + " is cut off");
  const TimePoint end = world_.now() + random_.between(10ms, Duration(3s));
  for (const std::string& other : hosts()) {
    if (other == alone) continue;
    world_.cut(alone, other, end);
    world_.cut(other, alone, end);
  }
}

void Faults::split() {
  std::vector<std::string> sides[2];
  for (const std::string& host : hosts()) sides[below(2)].push_back(host);
  world_.trace("the network is split");
  const TimePoint end = world_.now() + random_.between(50ms, Duration(3s));
  for (const std::string& one : sides[0]) {
    for (const std::string& other : sides[1]) {
      world_.cut(one, other, end);
      world_.cut(other, one, end);
    }
  }
}

void Faults::slow_link() {
  const std::string from = some_host(), to = some_host();
  if (from != to) world_.slow_down(from, to, random_.between(1ms, Duration(200ms)));
}

void Faults::narrow_link() {
  const std::string from = some_host(), to = some_host();
  constexpr std::uint64_t megabit = 125'000;
  if (from != to) world_.narrow(from, to, megabit * (1 + below(10)));
}

void Faults::break_connection() { world_.break_some_connection(); }

void Faults::break_connections() {
  if (random_.chance(0.5)) {
    world_.break_connections_of(*cluster_.clients[below(cluster_.clients.size())]);
  } else if (const auto node = some_node()) {
    world_.break_connections_of(*node);
  }
}

// Coordinators.

void Faults::restart_coordinator() {
  if (cluster_.coordinators.empty()) return;
  const auto coordinator = cluster_.coordinators.back();
  world_.trace(coordinator->host + " is killed");
  world_.kill(*coordinator);
  world_.after(random_.between(1ms, Duration(1s)), [this] {
    if (!cluster_.dial()) cluster_.start_coordinator();
  });
}

void Faults::freeze_coordinator() {
  if (const auto coordinator = cluster_.dial()) freeze(*coordinator, freeze_max);
}

void Faults::second_coordinator() {
  if (cluster_.dial() && cluster_.coordinators.size() < 3) cluster_.start_coordinator();
}

// Operators.

void Faults::join() {
  if (joined_ < nodes_max) cluster_.start_node("w" + std::to_string(++joined_));
}

void Faults::drain() {
  if (drained_ + 2 > joined_) return;
  ++drained_;  // w1 … are drained in order, so that some stay
  world_.trace("w" + std::to_string(drained_) + " is to be drained");
  cluster_.clients[0]->drain("w" + std::to_string(drained_));
}

/// Streams of the second deployment wait, or begin again on its next replica.
void Faults::redeploy() {
  deploy_(false);
  world_.after(random_.between(1ms, Duration(1s)), [this] { deploy_(true); });
}

}  // namespace tessera::sim
