// Cluster: who takes part in a run, the store that survives coordinators, and the oracle that watches the invariants.
// The oracle sees effects (a command that was obeyed, a result that left a node, a token that was sent); it shares no
// state with the fences that it checks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/control/coordinator_core.hpp"
#include "cluster/control/stream_frontend.hpp"
#include "cluster/control/worker_fence.hpp"
#include "tests/sim/flaw.hpp"
#include "tests/sim/hash_shard.hpp"
#include "tests/sim/world.hpp"

namespace tessera::sim {

class SimNode;
class SimCoordinator;
class SimClient;

SequenceKey key_of(const StreamId& id);
SequenceSpec spec_of(const StreamRequest& request);

class Oracle {
 public:
  explicit Oracle(World& world) : world_(world) {}
  /// A node carried out a command of this term, or registered with its coordinator. `process` is its incarnation.
  void obeyed(NodeIncarnation process, Term term, const std::string& what);
  /// A node acknowledged an epoch.
  void began(NodeIncarnation process, ReplicaId replica, Epoch epoch, bool has_shard);
  /// A step writes its KV pages.
  void steps(NodeIncarnation process, ReplicaId replica, Epoch epoch, std::uint64_t number);
  /// A step writes, its result leaves the node, or the node's conductor hands the epoch over.
  void computes(NodeIncarnation process, ReplicaId replica, Epoch epoch);
  void expect(const StreamId& stream, std::vector<TokenId> prompt, HashReference expected) {
    prompts_[stream] = std::move(prompt);
    expected_[stream] = std::move(expected);
  }
  const HashReference& expected(const StreamId& stream) const { return expected_.at(stream); }
  /// The pages that a step names hold what its sequences believe, on this shard: everything before their first rows.
  void pages(const StepPlan& plan, const HashShard& shard, const std::string& who);
  /// A conductor sends, or a frontend delivers.
  void token(const StreamId& stream, const StreamToken& token, const std::string& who);
  void score(const StreamId& stream, const PromptScore& score, const std::string& who);
  void job(const JobRecord& record);
  /// After every write: what the stored plans ask of a node is within its budget.
  void memory(const std::map<std::string, StoredRecord>& records);

 private:
  World& world_;
  std::map<NodeIncarnation, Term> terms_;
  std::map<std::pair<NodeIncarnation, ReplicaId>, Epoch> begun_;
  std::map<std::pair<NodeIncarnation, ReplicaId>, std::uint64_t> steps_;  ///< of the epoch that has begun
  std::map<StreamId, std::vector<TokenId>> prompts_;
  std::map<StreamId, HashReference> expected_;
  std::map<JobId, JobRecord> ended_;
};

/// Bytes of a shard of the hash model, as placement counts them.
ShardMemory hash_memory(const ModelFacts& facts, const ShardAssignment& assignment, const ShardMemoryOptions& options);
/// Of a whole replica on one worker.
std::uint64_t replica_bytes(const HashGeometry& geometry, std::uint32_t kv_positions);

/// What was written and synced. Writes of a coordinator whose term is over are refused.
struct SimStore {
  Term term;
  bool without_terms = false;  ///< Flaw::store_without_terms
  std::map<std::string, StoredRecord> records;
  bool put(Term writer, const StoredRecord& record);
  bool erase(Term writer, const std::string& key);
  StoredState read() const;
};

/// Rates of the small disturbances of one run; the large ones are in scenario.cpp.
struct NodeMix {
  double slow_step = 0.01;     ///< a step takes 20 to 400 ms
  double late_command = 0;     ///< a command waits 0.1 to 3 s in the node before it is carried out
  double doubled_command = 0;  ///< a command is carried out twice
  double prepare_fails = 0;
  Duration linger{0};        ///< a connection that the node gives up is still read for up to this long
  Duration slow_sync{30ms};  ///< of one write in a hundred of the coordinator's
};

class Cluster {
 public:
  Cluster(std::uint64_t seed, bool trace, FenceRules rules, Flaw flaw);
  ~Cluster();

  World world;
  HashGeometry geometry = HashGeometry::small();
  Oracle oracle{world};
  SimStore store;
  FenceRules rules;
  Flaw flaw;
  NodeMix mix;
  std::map<std::string, std::uint64_t> budgets;  ///< bytes of memory by node name; others have plenty
  CoordinatorOptions coordinator_options;

  std::map<std::string, std::shared_ptr<SimNode>> nodes;      ///< by name; dead ones too until they start again
  std::vector<std::shared_ptr<SimCoordinator>> coordinators;  ///< in order of their terms, living ones
  std::vector<std::shared_ptr<SimClient>> clients;

  void start_node(const std::string& name);
  void start_coordinator();
  /// Once in a while, where the run has this flaw.
  bool flawed(Flaw which, double rate = 1) { return flaw == which && world.random().chance(rate); }
  /// Whom somebody reaches that dials the coordinator; null: nobody answers.
  std::shared_ptr<SimCoordinator> dial();
  std::shared_ptr<SimNode> node(const std::string& name);  ///< null when no process of the name lives

 private:
  std::uint64_t processes_ = 0;
  std::uint64_t coordinators_started_ = 0;
};

}  // namespace tessera::sim
