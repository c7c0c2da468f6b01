// What a cluster of many nodes asks of its coordinator: the production core on simulated time, with nodes that exist as
// values and do at once what they are told. Prints, per number of nodes: inputs and stored bytes per simulated second,
// processor time per simulated second, the time to plan everything, and the time to plan again when a worker dies.
//
//   tessera_coordinator_bench [NODES...]          10, 100 and 1,000 when none is named
//
// The nodes hold replicas of one model on eight workers each, sixteen replicas to a deployment.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "cluster/control/coordinator_core.hpp"
#include "cluster/rpc/encoding.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/device/read_speed.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

constexpr std::uint32_t workers_per_replica = 8;
constexpr std::uint32_t gigabyte = 1u << 30;

/// As large as Llama 3 8B in q8.
ModelFacts model() {
  ModelFacts facts;
  facts.shape = {"llama", 4096, 32, 32, 8, 128, 14336, 128256, 8192, 1e-5f, 500000.0, false, {}};
  facts.geometry = SliceGeometry::of(facts.shape);
  facts.types = DType::q8;
  facts.name = "model";
  facts.uri = "file:///model.h5";
  facts.content_id = "content";
  return facts;
}

class ManyNodes {
 public:
  explicit ManyNodes(std::uint32_t nodes) : nodes_(nodes) {
    for (std::uint32_t i = 0; i < nodes; ++i) connect(i);
  }

  void deploy() {
    std::uint32_t left = nodes_.size() / workers_per_replica;
    for (std::uint32_t number = 0; left > 0; ++number) {
      DeploySpec spec;
      spec.name = "model-" + std::to_string(number);
      spec.workers = workers_per_replica;
      spec.replicas = std::min(left, replicas_max);
      spec.kv_positions = 65536;
      left -= spec.replicas;
      step(DeployRequested{RequestToken{++tokens_}, spec, model()});
    }
    settle();
  }

  /// Everybody's beats, and the coordinator's ticks.
  void pass(std::chrono::milliseconds time) {
    const TimePoint end = now_ + time;
    while (now_ < end) {
      now_ += 50ms;
      if ((now_.time_since_epoch() / 50ms) % 2 == 0) {
        for (const Process& process : nodes_)
          if (process.connection.value != 0) step(NodeBeat{process.connection, {}});
      }
      step(Tick{});
    }
  }

  /// A worker's connection ends; until every replica serves again.
  void lose_one() {
    const auto serving = core_.status(now_).deployments.at(0).replica.serving;
    TESSERA_ENSURE(serving.has_value());
    Process& lost = nodes_.at(serving->participants[1].node.value - 1);
    const ConnectionId connection = std::exchange(lost.connection, {});
    step(NodeDisconnected{connection});
    settle();
  }

  std::size_t unserved() const {
    std::size_t count = 0;
    for (const DeploymentStatus& deployment : core_.status(now_).deployments) {
      count += !deployment.replica.serves;
      for (const ReplicaStatus& other : deployment.others) count += !other.serves;
    }
    return count;
  }

  std::uint64_t inputs = 0, commands = 0, writes = 0, written = 0;

 private:
  struct Process {
    ConnectionId connection{};
  };

  void connect(std::uint32_t index) {
    NodeInfo info;
    info.name = "w" + std::to_string(index + 1);
    info.incarnation.value = index + 1;
    info.rpc = {info.name, 1};
    info.data = {info.name, 2};
    info.cores = 16;
    info.memory_bytes = 16ull * gigabyte;
    info.speed = 20e9;
    info.profile = CoordinatorOptions{}.profile;
    nodes_[index].connection = ConnectionId{++connections_};
    step(NodeRegistered{nodes_[index].connection, info, {}});
  }

  void step(const CoordinatorInput& input) {
    ++inputs;
    for (const CoordinatorOutput& output : core_.step(now_, input)) {
      if (const auto* persist = std::get_if<Persist>(&output)) {
        ++writes;
        written += encode_record(persist->record).size();
      } else if (const auto* prepare = std::get_if<PrepareEpoch>(&output)) {
        commands += prepare->to.size();
        for (std::size_t i = 0; i < prepare->to.size(); ++i)
          answers_.push_back(EpochPrepared{prepare->to[i], prepare->plan.replica, prepare->plan.epoch, {}});
        roots_[prepare->plan.replica] = prepare->to[prepare->plan.root()];
      } else if (const auto* activate = std::get_if<ActivateEpoch>(&output)) {
        ++commands;
        answers_.push_back(EpochActivated{activate->to, activate->replica, activate->epoch, activate->incarnation});
      } else if (const auto* hand_over = std::get_if<HandOver>(&output)) {
        ++commands;
        answers_.push_back(
            EpochActivated{roots_.at(hand_over->replica), hand_over->replica, hand_over->into, hand_over->incarnation});
      } else if (std::holds_alternative<RetireEpoch>(output)) {
        ++commands;
      }
    }
  }

  void settle() {
    while (!answers_.empty()) {
      const std::vector<CoordinatorInput> answers = std::exchange(answers_, {});
      for (const CoordinatorInput& answer : answers) step(answer);
      now_ += 1ms;
      step(Tick{});
    }
  }

  CoordinatorCore core_{CoordinatorOptions{}, Term{1}};
  TimePoint now_{};
  std::vector<Process> nodes_;
  std::vector<CoordinatorInput> answers_;
  std::map<ReplicaId, ConnectionId> roots_;
  std::uint64_t connections_ = 0, tokens_ = 0;
};

void measure(std::uint32_t nodes) {
  double before = thread_cpu_seconds();
  ManyNodes cluster(nodes);
  const double registering = thread_cpu_seconds() - before;
  before = thread_cpu_seconds();
  cluster.deploy();
  const double deploying = thread_cpu_seconds() - before;
  const std::uint64_t plan_writes = cluster.writes, plan_written = cluster.written;
  std::fprintf(stderr, "%u nodes: %zu replicas do not serve\n", nodes, cluster.unserved());

  cluster.inputs = cluster.writes = 0;
  before = thread_cpu_seconds();
  constexpr int seconds = 5;
  cluster.pass(std::chrono::seconds(seconds));
  const double beating = (thread_cpu_seconds() - before) / seconds;
  const double inputs = static_cast<double>(cluster.inputs) / seconds;
  const std::uint64_t quiet_writes = cluster.writes;

  std::vector<double> losses;
  for (int i = 0; i < 5; ++i) {
    cluster.commands = cluster.writes = cluster.written = 0;
    before = thread_cpu_seconds();
    cluster.lose_one();
    losses.push_back(thread_cpu_seconds() - before);
  }
  std::sort(losses.begin(), losses.end());
  std::printf("| %u | %.0f | %.2f ms | %.2f ms | %.2f ms | %llu, %.1f KB | %llu | %.2f ms | %llu, %llu, %.1f KB |\n",
              nodes, inputs, beating * 1e3, registering * 1e3, deploying * 1e3,
              static_cast<unsigned long long>(plan_writes), static_cast<double>(plan_written) / 1e3,
              static_cast<unsigned long long>(quiet_writes), losses[2] * 1e3,
              static_cast<unsigned long long>(cluster.commands), static_cast<unsigned long long>(cluster.writes),
              static_cast<double>(cluster.written) / 1e3);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::uint32_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(static_cast<std::uint32_t>(std::strtoul(argv[i], nullptr, 10)));
  if (sizes.empty()) sizes = {10, 100, 1000};
  std::printf(
      "| nodes | inputs / s | CPU / s, quiet | all register | all is planned | stored by then | writes, quiet | one "
      "dies: CPU until served | commands, writes, stored |\n"
      "|---|---|---|---|---|---|---|---|---|\n");
  for (const std::uint32_t nodes : sizes) measure(nodes);
  return 0;
}
