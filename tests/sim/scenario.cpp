#include "tests/sim/scenario.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include "tests/sim/sim_client.hpp"
#include "tests/sim/sim_coordinator.hpp"
#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

namespace {

constexpr Duration settle_time = 60s;
constexpr std::size_t nodes_max = 7;
constexpr std::size_t shared_tokens = 2 * kv_page_positions + 4;

class Scenario {
 public:
  explicit Scenario(const RunOptions& options)
      : cluster_(options.seed, options.trace, options.rules),
        world_(cluster_.world),
        random_(world_.random()),
        rough_(options.rough || random_.chance(0.25)) {}

  RunReport run() {
    draw_mix();
    cluster_.start_coordinator();
    for (std::uint64_t i = random_.between(std::uint64_t{2}, std::uint64_t{5}); i > 0; --i) join();
    deploy();
    ask();
    schedule_fault();
    world_.run(TimePoint(faults_end_), [] { return false; });
    if (world_.violation().empty()) settle();
    RunReport report{world_.violation(), world_.events(), 0, seconds_between(TimePoint{}, world_.now())};
    for (const auto& client : cluster_.clients) report.resumptions += client->resumptions();
    return report;
  }

 private:
  using Fault = void (Scenario::*)();
  std::uint64_t below(std::uint64_t bound) { return random_.between(std::uint64_t{0}, bound - 1); }

  void draw_mix() {
    faults_end_ = random_.between(2s, Duration(6s));
    fault_pause_ = random_.between(30ms, Duration(600ms));
    two_ = random_.chance(0.5);
    const std::vector<Fault> all = {&Scenario::kill_node,
                                    &Scenario::freeze_node,
                                    &Scenario::cut_link,
                                    &Scenario::slow_link,
                                    &Scenario::join,
                                    &Scenario::drain,
                                    &Scenario::break_connection,
                                    &Scenario::restart_coordinator,
                                    &Scenario::freeze_coordinator,
                                    &Scenario::second_coordinator};
    for (const Fault fault : all)
      if (random_.chance(0.45)) faults_.push_back(fault);
    if (two_ && random_.chance(0.5)) faults_.push_back(&Scenario::redeploy);
    NodeMix& mix = cluster_.mix;
    if (random_.chance(0.3)) mix.slow_step = 0.1;
    if (random_.chance(0.4)) mix.late_command = 0.1;
    if (random_.chance(0.3)) mix.doubled_command = 0.05;
    if (random_.chance(0.2)) mix.prepare_fails = 0.2;
    if (random_.chance(0.5)) mix.linger = 3s;
    if (random_.chance(0.3)) world_.frames.lost = 0.002;
    if (random_.chance(0.4)) world_.frames.doubled = 0.01;
    if (random_.chance(0.4)) world_.frames.late = 0.005;
    if (!rough_) return;
    fault_pause_ = random_.between(20ms, Duration(200ms));
    faults_.push_back(&Scenario::second_coordinator);
    faults_.push_back(&Scenario::freeze_coordinator);
    faults_.push_back(&Scenario::cut_link);
    mix.late_command = mix.doubled_command = 0.1;
    mix.linger = 3s;
    world_.frames.doubled = world_.frames.late = 0.03;
  }

  void deploy() {
    for (int i = 0; i < 2; ++i)
      cluster_.clients.push_back(std::make_shared<SimClient>(cluster_, "k" + std::to_string(i)));
    draw_deployment("m");
    want("m", true);
    if (!two_) return;
    draw_deployment("n");
    world_.after(random_.between(0ns, faults_end_), [this] { want("n", true); });
  }

  void draw_deployment(const std::string& name) {
    DeploySpec& spec = specs_[name];
    spec.name = name;
    spec.uri = "file:///" + name + ".h5";
    spec.idempotency_key = "deploy " + name;
    spec.stages = random_.chance(0.3) ? 2 : 0;
    spec.replicas = random_.chance(0.4) ? 2 : 1;
    spec.kv_positions =
        static_cast<std::uint32_t>(random_.between(std::uint64_t{6}, std::uint64_t{14})) * kv_page_positions;
  }
  void want(const std::string& name, bool deployed) {
    const DeploySpec& spec = specs_.at(name);
    const ModelFacts facts{cluster_.geometry.shape, cluster_.geometry.slices, DType::f32, name, spec.uri,
                           "content " + name};
    world_.trace(name + (deployed ? " is to be deployed" : " is to be undeployed"));
    cluster_.clients[0]->want(spec, facts, deployed);
  }

  void ask() {
    for (std::size_t i = 0; i < shared_tokens; ++i) common_.push_back(static_cast<TokenId>(below(128)));
    const std::uint64_t streams = random_.between(std::uint64_t{3}, std::uint64_t{12});
    for (std::uint64_t i = 0; i < streams; ++i) {
      const auto client = cluster_.clients[below(cluster_.clients.size())];
      StreamRequest request;
      request.id = {random_.bits(), i};
      request.deployment = two_ && random_.chance(0.5) ? "n" : "m";
      if (random_.chance(0.5)) {
        const auto shared = static_cast<std::ptrdiff_t>(below(common_.size()));
        request.prompt.assign(common_.begin(), common_.begin() + shared);
      }
      for (std::uint64_t n = random_.between(std::uint64_t{1}, std::uint64_t{60}); n > 0; --n)
        request.prompt.push_back(static_cast<TokenId>(below(128)));
      request.tokens_max = static_cast<std::uint32_t>(random_.between(std::uint64_t{0}, std::uint64_t{90}));
      request.score_prompt = random_.chance(0.2);
      if (random_.chance(0.2)) request.end_tokens.push_back(static_cast<TokenId>(below(128)));
      const Duration start = random_.between(0ns, faults_end_);
      world_.timer(*client, start, [raw = client.get(), request] { raw->open(request); });
      if (random_.chance(0.1)) {
        world_.timer(*client, start + random_.between(1ms, Duration(1s)),
                     [raw = client.get(), id = request.id] { raw->cancel(id); });
      }
    }
    for (std::uint64_t i = below(4); i > 0; --i) {
      const auto client = cluster_.clients[1];
      world_.timer(*client, random_.between(0ns, faults_end_),
                   [raw = client.get(), i] { raw->submit_job("job " + std::to_string(i)); });
    }
  }

  void schedule_fault() {
    if (faults_.empty()) return;
    world_.after(random_.between(1ms, 2 * fault_pause_), [this] {
      if (settling_ || world_.now() >= TimePoint(faults_end_)) return;
      (this->*faults_[below(faults_.size())])();
      schedule_fault();
    });
  }

  std::shared_ptr<SimNode> some_node() {
    std::vector<std::shared_ptr<SimNode>> living;
    for (const auto& [name, node] : cluster_.nodes)
      if (node->alive) living.push_back(node);
    return living.empty() ? nullptr : living[below(living.size())];
  }
  std::string some_host() {
    const std::uint64_t kind = below(4);
    if (kind == 0 && !cluster_.coordinators.empty()) return cluster_.coordinators.back()->host;
    if (kind == 1) return cluster_.clients[below(cluster_.clients.size())]->host;
    const auto node = some_node();
    return node ? node->host : "nobody";
  }

  // Faults.

  void kill_node() {
    const auto node = some_node();
    if (!node) return;
    world_.trace(node->host + " is killed");
    world_.kill(*node);
    for (const auto& [name, other] : cluster_.nodes) {
      if (!other->alive) continue;
      world_.timer(*other, random_.between(100us, Duration(20ms)),
                   [raw = other.get(), lost = node->host] { raw->on_peer_lost(lost); });
    }
    if (random_.chance(0.8)) {
      world_.after(random_.between(5ms, Duration(1500ms)), [this, name = node->host] { restart(name); });
    }
  }
  void restart(const std::string& name) {
    if (!cluster_.node(name)) cluster_.start_node(name);
  }
  void freeze_node() {
    const auto node = some_node();
    if (!node || node->frozen) return;
    world_.trace(node->host + " is frozen");
    world_.freeze(*node);
    world_.after(random_.between(5ms, Duration(2500ms)), [this, node] { thaw(*node); });
  }
  void thaw(Process& process) {
    if (!process.frozen || !process.alive) return;
    world_.trace(process.host + " thaws");
    world_.thaw(process);
  }
  void cut_link() {
    const std::string from = some_host(), to = some_host();
    if (from == to) return;
    world_.trace("the link from " + from + " to " + to + " is cut");
    world_.cut(from, to, world_.now() + random_.between(10ms, Duration(3s)));
  }
  void slow_link() {
    const std::string from = some_host(), to = some_host();
    if (from == to) return;
    world_.slow_down(from, to, random_.between(1ms, Duration(200ms)));
  }
  void join() {
    if (joined_ >= nodes_max) return;
    cluster_.start_node("w" + std::to_string(++joined_));
  }
  void drain() {
    if (drained_ + 2 > joined_) return;
    ++drained_;  // w1 … are drained in order, so that some stay
    world_.trace("w" + std::to_string(drained_) + " is to be drained");
    cluster_.clients[0]->drain("w" + std::to_string(drained_));
  }
  /// Streams of the second deployment wait, or begin again on its next replica.
  void redeploy() {
    want("n", false);
    world_.after(random_.between(1ms, Duration(1s)), [this] { want("n", true); });
  }
  void break_connection() { world_.break_some_connection(); }

  void restart_coordinator() {
    if (cluster_.coordinators.empty()) return;
    const auto coordinator = cluster_.coordinators.back();
    world_.trace(coordinator->host + " is killed");
    world_.kill(*coordinator);
    world_.after(random_.between(1ms, Duration(1s)), [this] {
      if (!cluster_.dial()) cluster_.start_coordinator();
    });
  }
  void freeze_coordinator() {
    const auto coordinator = cluster_.dial();
    if (!coordinator || coordinator->frozen) return;
    world_.trace(coordinator->host + " is frozen");
    world_.freeze(*coordinator);
    world_.after(random_.between(5ms, Duration(2500ms)), [this, coordinator] { thaw(*coordinator); });
  }
  void second_coordinator() {
    if (cluster_.dial() && cluster_.coordinators.size() < 3) cluster_.start_coordinator();
  }

  // The end.

  /// All faults end; what was asked for must too.
  void settle() {
    settling_ = true;
    world_.trace("the faults end");
    world_.heal();
    world_.frames = {};
    cluster_.mix = {};
    for (auto& [name, node] : cluster_.nodes) thaw(*node);
    std::vector<std::string> dead;
    for (const auto& [name, node] : cluster_.nodes)
      if (!node->alive) dead.push_back(name);
    for (const std::string& name : dead) restart(name);
    for (const auto& coordinator : cluster_.coordinators)
      if (coordinator->alive && coordinator->term() < cluster_.store.term) world_.kill(*coordinator);
    if (!cluster_.dial()) cluster_.start_coordinator();
    thaw(*cluster_.coordinators.back());
    for (const auto& [name, spec] : specs_) want(name, true);
    const TimePoint end = world_.now() + settle_time;
    if (!world_.run(end, [this] { return done(); })) world_.violated("does not end: " + unfinished());
    if (world_.violation().empty()) leave_nothing();
  }

  bool done() const {
    return std::all_of(cluster_.clients.begin(), cluster_.clients.end(), [](const auto& each) { return each->done(); });
  }
  std::string unfinished() const {
    for (const auto& client : cluster_.clients)
      if (const std::string what = client->unfinished(); !what.empty()) return client->host + ": " + what;
    return {};
  }

  /// Pages and epochs that nobody needs any more are given back.
  void leave_nothing() {
    const auto clean = [this] { return left_over().empty(); };
    if (!world_.run(world_.now() + 20s, clean)) world_.violated("left over: " + left_over());
  }
  std::string left_over() {
    const auto coordinator = cluster_.coordinators.back();
    std::map<ReplicaId, Epoch> serving;
    for (const auto& [name, spec] : specs_) {
      const auto deployment = coordinator->core().deployment(name);
      if (!deployment) return "no deployment " + name;
      std::vector<ReplicaStatus> replicas = deployment->others;
      replicas.push_back(deployment->replica);
      for (const ReplicaStatus& replica : replicas) {
        if (!replica.serving || replica.pending) return "a replica of " + name + " changes";
        serving[replica.replica] = replica.serving->epoch;
      }
    }
    for (const auto& [name, node] : cluster_.nodes) {
      if (!node->idle()) return "sequences at " + name;
      for (const auto& [id, epoch] : node->shards()) {
        const auto served = serving.find(id);
        if (served == serving.end() || served->second != epoch)
          return "epoch " + std::to_string(epoch.value) + " of replica " + std::to_string(id.value) + " at " + name;
      }
    }
    return {};
  }

  Cluster cluster_;
  World& world_;
  Random& random_;
  bool rough_;
  bool two_ = false;                         ///< deployments
  std::map<std::string, DeploySpec> specs_;  ///< by name
  std::vector<TokenId> common_;              ///< what half of the prompts begin with some of
  std::vector<Fault> faults_;
  Duration faults_end_{}, fault_pause_{};
  std::size_t joined_ = 0, drained_ = 0;
  bool settling_ = false;
};

}  // namespace

RunReport run_seed(const RunOptions& options) { return Scenario(options).run(); }

}  // namespace tessera::sim
