#include "tests/sim/scenario.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include "tests/sim/faults.hpp"
#include "tests/sim/sim_client.hpp"
#include "tests/sim/sim_coordinator.hpp"
#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

namespace {

/// The bound on progress: after the last fault everything that was asked for ends within it.
constexpr Duration settle_time = 30s;
constexpr std::size_t shared_tokens = 2 * kv_page_positions + 4;

class Scenario {
 public:
  explicit Scenario(const RunOptions& options)
      : cluster_(options.seed, options.trace, options.rules, options.flaw),
        world_(cluster_.world),
        random_(world_.random()),
        rough_(options.rough || random_.chance(0.25)),
        faults_(cluster_, [this](bool deployed) { want("n", deployed); }) {}

  RunReport run() {
    draw_mix();
    draw_deployments();
    if (random_.chance(0.3)) draw_budgets();
    cluster_.start_coordinator();
    for (std::uint64_t i = random_.between(std::uint64_t{2}, std::uint64_t{5}); i > 0; --i) faults_.join();
    deploy();
    ask();
    schedule_fault();
    world_.run(TimePoint(faults_end_), [] { return false; });
    if (world_.violation().empty()) settle();
    RunReport report;
    report.violation = world_.violation();
    report.events = world_.events();
    report.faults = caused_;
    report.simulated_seconds = seconds_between(TimePoint{}, world_.now());
    report.healing_seconds = seconds_between(TimePoint{}, TimePoint(healed_));
    for (const auto& client : cluster_.clients) report.resumptions += client->resumptions();
    return report;
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_.between(std::uint64_t{0}, bound - 1); }

  void draw_mix() {
    faults_end_ = random_.between(2s, Duration(6s));
    fault_pause_ = random_.between(30ms, Duration(600ms));
    if (random_.chance(0.05)) {
      // Long enough for somebody to be away for ten seconds.
      faults_end_ = random_.between(10s, Duration(25s));
      fault_pause_ *= 3;
      faults_.freeze_max = 10s;
    }
    two_ = random_.chance(0.5);
    const double share = 0.1 + 0.1 * static_cast<double>(below(5));
    for (const Faults::Named& fault : Faults::all())
      if (random_.chance(share) && (two_ || std::string(fault.name) != "redeploy")) mix_.push_back(fault);
    NodeMix& mix = cluster_.mix;
    if (random_.chance(0.3)) mix.slow_step = 0.1;
    if (random_.chance(0.4)) mix.late_command = 0.1;
    if (random_.chance(0.3)) mix.doubled_command = 0.05;
    if (random_.chance(0.2)) mix.prepare_fails = 0.2;
    if (random_.chance(0.5)) mix.linger = 3s;
    if (random_.chance(0.3)) world_.frames.lost = 0.002;
    if (random_.chance(0.4)) world_.frames.doubled = 0.01;
    if (random_.chance(0.4)) world_.frames.late = 0.005;
    if (random_.chance(0.2)) world_.packets_lost = 0.01;
    if (random_.chance(0.2)) mix.slow_sync = 2s;
    if (!rough_) return;
    fault_pause_ = random_.between(20ms, Duration(200ms));
    for (const Faults::Named& fault : Faults::all()) {
      const std::string name = fault.name;
      if (name == "second coordinator" || name == "freeze the coordinator" || name == "cut one way")
        mix_.push_back(fault);
    }
    mix.late_command = mix.doubled_command = 0.1;
    mix.linger = 3s;
    world_.frames.doubled = world_.frames.late = 0.03;
  }

  void draw_deployments() {
    draw_deployment("m");
    if (two_) draw_deployment("n");
  }
  /// Memory for a part of a replica up to some of them.
  void draw_budgets() {
    const auto bytes = static_cast<double>(replica_bytes(cluster_.geometry, specs_.at("m").kv_positions));
    for (int i = 1; i <= 9; ++i)
      cluster_.budgets["w" + std::to_string(i)] =
          static_cast<std::uint64_t>(bytes * (0.4 + 0.1 * static_cast<double>(below(20))));
  }
  void deploy() {
    for (int i = 0; i < 2; ++i)
      cluster_.clients.push_back(std::make_shared<SimClient>(cluster_, "k" + std::to_string(i)));
    want("m", true);
    if (!two_) return;
    world_.after(random_.between(0ns, faults_end_), [this] { want("n", true); });
  }

  void draw_deployment(const std::string& name) {
    DeploySpec& spec = specs_[name];
    spec.name = name;
    spec.uri = "file:///" + name + ".h5";
    spec.idempotency_key = "deploy " + name;
    spec.stages = random_.chance(0.3) ? 2 : 0;
    spec.replicas = random_.chance(0.4) ? static_cast<std::uint32_t>(2 + below(2)) : 1;
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
    if (mix_.empty()) return;
    world_.after(random_.between(1ms, 2 * fault_pause_), [this] {
      if (settling_ || world_.now() >= TimePoint(faults_end_)) return;
      const Faults::Named& fault = mix_[below(mix_.size())];
      ++caused_[fault.name];
      faults_.cause(fault);
      schedule_fault();
    });
  }

  // The end.

  /// All faults end; what was asked for must too.
  void settle() {
    settling_ = true;
    faults_.end();
    world_.trace("the faults end");
    world_.heal();
    world_.frames = {};
    cluster_.mix = {};
    for (auto& [name, node] : cluster_.nodes) faults_.thaw(*node);
    for (const auto& client : cluster_.clients) faults_.thaw(*client);
    std::vector<std::string> dead;
    for (const auto& [name, node] : cluster_.nodes) {
      // A damaged copy is put right, and the worker started again.
      if (node->alive && node->damaged()) world_.kill(*node);
      if (!node->alive) dead.push_back(name);
    }
    for (const std::string& name : dead) faults_.restart(name);
    // Where memory is short the operator adds some.
    if (!cluster_.budgets.empty())
      for (const char* name : {"big1", "big2"}) cluster_.start_node(name);
    for (const auto& coordinator : cluster_.coordinators)
      if (coordinator->alive && coordinator->term() < cluster_.store.term) world_.kill(*coordinator);
    if (!cluster_.dial()) cluster_.start_coordinator();
    faults_.thaw(*cluster_.coordinators.back());
    for (const auto& [name, spec] : specs_) want(name, true);
    const TimePoint end = world_.now() + settle_time;
    const TimePoint healed = world_.now();
    if (!world_.run(end, [this] { return done(); })) world_.violated("does not end: " + unfinished());
    healed_ = world_.now() - healed;
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
    if (coordinator->unanswered() > 0) return "a request without an answer";
    for (const NodeStatus& node : coordinator->core().status(world_.now()).nodes)
      if (node.state == NodeState::draining) return "the drain of " + node.info.name;
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
  Faults faults_;
  std::vector<Faults::Named> mix_;
  std::map<std::string, std::uint64_t> caused_;
  Duration faults_end_{}, fault_pause_{}, healed_{};
  bool settling_ = false;
};

}  // namespace

RunReport run_seed(const RunOptions& options) { return Scenario(options).run(); }

}  // namespace tessera::sim
