#include "actors/node_replica.hpp"

#include <mutex>
#include <utility>

#include <caf/exit_reason.hpp>
#include <caf/send.hpp>

#include "actors/messages.hpp"
#include "cluster/executor/step_report.hpp"

namespace tessera {

/// From the executor's threads to the actors. The handles are set before the executor is told anything.
class NodeReplica::Events final : public ReplicaEvents {
 public:
  Events(ReplicaId id, const Clock& clock) : replica(id), clock_(clock), report_(id, clock.now()) {}

  void prepared(Epoch epoch, Result<void> result) override {
    caf::anon_send(shard, ShardPrepared{epoch, std::move(result)});
  }
  void activated(Epoch epoch, ConductorIncarnation incarnation, Result<void> result) override {
    caf::anon_send(worker, ShardActivated{replica, epoch, incarnation, std::move(result)});
  }
  void broken(Epoch epoch, Error error) override {
    caf::anon_send(worker, ShardBroken{replica, epoch, std::move(error)});
  }
  void damaged(Epoch epoch, Error error) override {
    caf::anon_send(worker, ShardDamaged{replica, epoch, std::move(error)});
  }
  void updates(std::vector<StreamUpdate> updates) override {
    caf::anon_send(conductor, StreamUpdates{std::move(updates)});
  }

  void stepped(const StepStatistics& step) override {
    const std::lock_guard lock(mutex_);
    report_.add(clock_.now(), step);
  }
  std::optional<ReplicaMetrics> take_metrics() {
    const std::lock_guard lock(mutex_);
    return report_.take(clock_.now());
  }

  const ReplicaId replica;
  caf::actor shard, conductor, worker;

 private:
  const Clock& clock_;
  std::mutex mutex_;  ///< guards report_
  StepReport report_;
};

NodeReplica::NodeReplica(ReplicaId id, const Clock& clock, std::string deployment, BlockingWorker& blocking)
    : id_(id), deployment_(std::move(deployment)), blocking_(blocking), events_(std::make_unique<Events>(id, clock)) {}

std::optional<ReplicaMetrics> NodeReplica::take_metrics() { return events_->take_metrics(); }

Result<std::shared_ptr<NodeReplica>> NodeReplica::start(caf::actor_system& system, ExecutorParts parts,
                                                        std::string deployment, BlockingWorker& blocking,
                                                        caf::actor worker) {
  std::shared_ptr<NodeReplica> replica(new NodeReplica(parts.replica, *parts.clock, std::move(deployment), blocking));
  parts.events = replica->events_.get();
  TESSERA_TRY(replica->executor_, ReplicaExecutor::create(parts));
  replica->shard_ = spawn_shard(system, replica);
  replica->conductor_ = spawn_conductor(system, replica);
  replica->events_->shard = replica->shard_;
  replica->events_->conductor = replica->conductor_;
  replica->events_->worker = std::move(worker);
  return replica;
}

NodeReplica::~NodeReplica() {
  if (!executor_) return;
  // A box, since tasks are copyable functions. Events outlive the executor that calls them.
  struct Ending {
    std::unique_ptr<Events> events;
    std::unique_ptr<ReplicaExecutor> executor;
  };
  auto ending = std::make_shared<Ending>(Ending{std::move(events_), std::move(executor_)});
  blocking_.post([ending]() mutable { ending->executor.reset(); });
}

void NodeReplica::close() {
  caf::anon_send_exit(shard_, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(conductor_, caf::exit_reason::user_shutdown);
}

}  // namespace tessera
