// A cluster in one process for the tests of cluster/executor: nodes with real executors, listeners and connections over
// loopback, a coordinator that makes plans as the tests ask for them, and frontends that keep their streams.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cluster/exchange/data_listener.hpp"
#include "cluster/executor/lease_desk.hpp"
#include "cluster/executor/node_fence.hpp"
#include "cluster/executor/replica_executor.hpp"
#include "runtime/base/clock.hpp"
#include "tests/unit/model/model_fixture.hpp"

namespace tessera::test {

/// What a stream gave, or should give.
struct StreamRecord {
  std::vector<TokenId> tokens;
  std::vector<float> log_probabilities;
  std::vector<float> scores;
  std::vector<TokenAlternatives> alternatives, score_alternatives;
  std::vector<float> vector;
  std::optional<FinishReason> finished;
  std::optional<Error> failed;
  bool moved = false;  ///< and not opened again since
  std::uint32_t moves = 0;
  std::uint32_t signs_of_life = 0;
  bool gap = false;      ///< a token came whose predecessor did not
  bool changed = false;  ///< a token came twice, with different bits
  std::uint32_t cached_tokens = 0;
  std::optional<StreamPhases> phases;  ///< as told last
  bool ended() const { return finished || failed; }
};
bool same(const StreamRecord& a, const StreamRecord& b);

/// What generate() gives for a request on one shard.
StreamRecord undisturbed(const std::shared_ptr<const Checkpoint>& checkpoint, const StreamRequest& request);

/// A request with everything on: sampling, penalties, a seed of its own.
StreamRequest make_request(std::uint64_t id, std::uint32_t prompt_tokens, std::uint32_t tokens_max,
                           std::uint32_t vocab_size);

/// Keeps what executors report, and lets tests wait for it. Any thread.
class Frontends {
 public:
  void open(const StreamRequest& request);
  void take(const std::vector<StreamUpdate>& updates);
  /// The request with all tokens that were delivered so far.
  StreamRequest resumed(StreamId id);
  StreamRecord record(StreamId id);
  /// Waits until `enough(record)` for every stream of `ids`; false after the deadline.
  bool wait(const std::vector<StreamId>& ids, const std::function<bool(const StreamRecord&)>& enough);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<StreamId, StreamRequest> requests_;
  std::map<StreamId, StreamRecord> records_;
};

/// Of one executor.
class EventLog final : public ReplicaEvents {
 public:
  explicit EventLog(Frontends& frontends) : frontends_(frontends) {}
  void prepared(Epoch epoch, Result<void> result) override;
  void activated(Epoch epoch, ConductorIncarnation incarnation, Result<void> result) override;
  void broken(Epoch epoch, Error error) override;
  void damaged(Epoch epoch, Error error) override;
  void updates(std::vector<StreamUpdate> updates) override { frontends_.take(updates); }
  void stepped(const StepStatistics& statistics) override;

  Result<void> wait_prepared(Epoch epoch) { return wait(prepared_, epoch, "prepared"); }
  Result<void> wait_activated(Epoch epoch) { return wait(activated_, epoch, "activated"); }
  /// The error that it broke with.
  Error wait_broken(Epoch epoch) { return wait(broken_, epoch, "broken").error(); }
  bool is_broken(Epoch epoch);
  /// The error that names what is damaged.
  Error wait_damaged(Epoch epoch) { return wait(damaged_, epoch, "damaged").error(); }
  bool is_damaged(Epoch epoch);
  std::uint32_t steps();
  std::uint32_t rows();

 private:
  using Answers = std::map<Epoch, Result<void>>;
  Result<void> wait(Answers& answers, Epoch epoch, const char* what);
  void put(Answers& answers, Epoch epoch, Result<void> result);

  Frontends& frontends_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Answers prepared_, activated_, broken_, damaged_;
  std::uint32_t steps_ = 0, rows_ = 0;
};

struct TestReplica {
  explicit TestReplica(Frontends& frontends) : events(frontends) {}
  EventLog events;
  std::unique_ptr<ReplicaExecutor> executor;
};
struct TestNode {
  NodeId id;
  ExchangeOptions exchange;
  NodeFence fence;
  LeaseDesk leases;
  std::unique_ptr<DataListener> listener;
  std::map<ReplicaId, std::unique_ptr<TestReplica>> replicas;
};

/// A rank of a plan.
struct Member {
  std::uint32_t node;
  double share = 1;
};
using Stages = std::vector<std::vector<Member>>;

class TestCluster {
 public:
  explicit TestCluster(std::shared_ptr<const Checkpoint> checkpoint, WaitMode wait = WaitMode::block,
                       ExecutorLimits limits = {});

  /// Adds the node at first use.
  TestNode& node(std::uint32_t id);
  /// The replica's executor there, made at first use.
  TestReplica& at(std::uint32_t node, ReplicaId replica = ReplicaId{1});
  /// Destroys all executors of the node: its connections close as if its process had died.
  void kill(std::uint32_t node);

  /// The next epoch. `from`: its pages are handed over; nodes that left become donors.
  EpochPlan plan(const Stages& stages, const EpochPlan* from = nullptr, ReplicaId replica = ReplicaId{1});
  /// On all participants; the first error.
  Result<void> prepare(const EpochPlan& plan);
  /// prepare, activate; waits for both.
  Result<void> start(const EpochPlan& plan);
  /// prepare, hand_over, retire the old; waits.
  Result<void> replace(const EpochPlan& from, const EpochPlan& to);
  void retire(const EpochPlan& plan);
  TestReplica& root(const EpochPlan& plan) { return at(plan.root_node().value, plan.replica); }
  /// Opens it for the frontends too.
  Result<void> submit(const EpochPlan& plan, const StreamRequest& request);
  /// Opens streams that were told to move, or all, behind what was delivered.
  Result<void> resume(const EpochPlan& plan, const std::vector<StreamRequest>& requests);

  Frontends& frontends() { return frontends_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const Clock& node_clock() const { return clock_; }
  static EpochKeys keys_for(const EpochPlan& plan, ParticipantIndex participant);

  Term term{1};
  ConductorIncarnation incarnation{1};
  std::uint32_t kv_pages = 64;
  std::vector<NodeId> lease_nodes;

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  WaitMode wait_;
  ExecutorLimits limits_;
  const tessera_op_table* ops_;
  SystemClock clock_;
  Frontends frontends_;
  std::map<std::uint32_t, std::unique_ptr<TestNode>> nodes_;
  std::uint64_t last_epoch_ = 0;
};

std::vector<StreamId> ids_of(const std::vector<StreamRequest>& requests);

}  // namespace tessera::test
