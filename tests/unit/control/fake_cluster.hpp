// A coordinator's core with a store and nodes around it that exist only as values: what tests and scripts drive. Every
// output is checked against the rules of coordinator_core.hpp as it comes.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/control/coordinator_core.hpp"

namespace tessera::test {

/// A process of a node, as the coordinator can see it.
struct FakeNode {
  NodeInfo info;
  ConnectionId connection{};  ///< 0: not connected
  bool alive = false;
  bool frozen = false;  ///< sends no beats
  std::map<std::pair<ReplicaId, Epoch>, HeldEpoch> held;
};

/// 8 slices: 4 attention, 8 FFN, 2 vocabulary; 4 layers, 4 KV heads.
ModelFacts small_model();
/// Ten bytes a layer and slice of attention, the same for FFN, one a page, layer and KV head, five of buffers.
ShardMemory small_memory(const ModelFacts& facts, const ShardAssignment& assignment, const ShardMemoryOptions& options);
CoordinatorOptions small_options();

class FakeCluster {
 public:
  explicit FakeCluster(CoordinatorOptions options = small_options());

  /// Steps the core; checks and keeps the outputs.
  void send(const CoordinatorInput& input);
  /// Time passes in steps of 50 ms, with the beats of all living nodes.
  void pass(std::chrono::milliseconds time);
  /// A new coordinator with the next term takes over the store.
  void restart();

  /// A new process; its registration is sent.
  FakeNode& start(const std::string& name, double speed = 1, std::uint64_t memory = 1'000'000);
  /// The same process registers again, with what it holds.
  void reconnect(const std::string& name);
  void kill(const std::string& name);
  /// The connection breaks; the process lives and keeps what it holds.
  void cut(const std::string& name);
  FakeNode& node(const std::string& name) { return nodes.at(name); }
  NodeId id_of(const std::string& name) const;

  RequestToken deploy(DeploySpec spec, ModelFacts facts = small_model());
  RequestToken undeploy(const std::string& name);
  RequestToken drain(const std::string& name);
  /// "chat" or "chat/1" is the first replica of chat, "chat/2" the second; so in all that follows.
  ReplicaStatus replica(const std::string& deployment) const;

  void prepared(const std::string& node, const std::string& deployment, Result<void> result = {});
  /// The answer of one node, as it is.
  void reply(NodeId node, const EpochPrepared& answer);
  /// Every participant of the pending epoch answers.
  void all_prepared(const std::string& deployment);
  /// The new root reports.
  void activate(const std::string& deployment);
  /// All ranks of the plan have begun it; older epochs are over there.
  void begin(const EpochPlan& plan, ConductorIncarnation incarnation);
  FakeNode* by_id(NodeId node);
  void broken(const std::string& node, const std::string& deployment, Epoch epoch, const std::string& reason);
  void damaged(const std::string& node, const std::string& deployment, Epoch epoch, const std::string& reason);
  /// Answers for all nodes until nothing is pending any more.
  void settle();

  CoordinatorOptions options;
  Term term{1};
  TimePoint now{};
  CoordinatorCore core;
  std::map<std::string, FakeNode> nodes;
  std::map<std::string, StoredRecord> store;
  CoordinatorOutputs last;  ///< outputs of the last send(), pass() or restart()
  std::function<void(const CoordinatorOutput&)> observe = [](const CoordinatorOutput&) {};
  std::set<RequestToken> asked, answered;
  std::map<RequestToken, std::optional<Error>> answers;  ///< the error, or nothing for a success

  template <typename T>
  std::vector<T> all_of() const {
    std::vector<T> found;
    for (const auto& output : last) {
      if (const T* one = std::get_if<T>(&output)) found.push_back(*one);
    }
    return found;
  }
  template <typename T>
  std::size_t count() const {
    return all_of<T>().size();
  }
  RequestToken ask();

 private:
  void carry_out(CoordinatorOutputs outputs);
  void check(const CoordinatorOutput& output);
  void check_prepare(const PrepareEpoch& prepare);
  void check_switch(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation, NodeId to, ConnectionId over);
  void apply(const CoordinatorOutput& output);
  void expect_reachable(ConnectionId to) const;
  const ReplicaRecord& stored(ReplicaId replica) const;

  std::uint64_t last_connection_ = 0, last_process_ = 0, last_token_ = 0;
  std::set<ConnectionId> told_;  // connections that the core may use
  std::map<ReplicaId, Epoch> last_epoch_;
  std::map<ReplicaId, std::set<std::pair<Epoch, NodeId>>> prepared_;
  struct Conductor {
    ConductorIncarnation incarnation;
    NodeId node;
    NodeIncarnation process;
  };
  std::map<ReplicaId, Conductor> conductors_;
};

/// One line that says everything that matters of an output.
std::string describe(const CoordinatorOutput& output);
/// "w1[0-2 0-4 0-1] w2[2-4 4-8 1-2]", stages separated by "|", donors behind "donors".
std::string describe(const EpochPlan& plan);

}  // namespace tessera::test
