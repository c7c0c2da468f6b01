// WorkerState: what the Worker actor holds.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <caf/event_based_actor.hpp>

#include "actors/messages.hpp"
#include "actors/monitor.hpp"
#include "actors/node_jobs.hpp"
#include "actors/node_replica.hpp"
#include "actors/worker.hpp"
#include "cluster/executor/step_meter.hpp"

namespace tessera {

/// To the Worker: dial, with what it is and the handler that the coordinator commands.
struct StartWorker {
  NodeInfo info;
  NodeHandler* commands = nullptr;
};
/// To the Worker: dial again.
struct DialCoordinator {
  std::uint64_t attempt = 0;
};

/// Confined to the Worker actor.
class WorkerState {
 public:
  void start(caf::event_based_actor* self, WorkerParts parts);
  void begin(const StartWorker& message);
  WorkerState() = default;
  ~WorkerState();
  WorkerState(const WorkerState&) = delete;
  WorkerState& operator=(const WorkerState&) = delete;

  // The coordinator's connection (worker_link.cpp)
  void dial();
  void dial_again(const DialCoordinator& message);
  void connected(const CoordinatorConnected& message);
  void registered(const CoordinatorRegistered& message);
  void lost(const CoordinatorLost& message);
  void dropped(const CoordinatorDropped& message);
  void beat(const LoadSampled& message);
  void beat_answered(const HeartbeatAnswered& message);
  void report_metrics(const MetricsTaken& message);

  // Commands and reports
  void prepare(const PrepareShard& message);
  template <typename Command>
  void command(const Command& message);
  void activated(const ShardActivated& message);
  void broken(const ShardBroken& message);
  void damaged(const ShardDamaged& message);
  void end_idle_replicas();

  // Streams
  void open_stream(const OpenStream& message);
  void cancel_stream(const CancelStream& message);
  void frontend_gone(const FrontendGone& message);
  void read_tokenizer(const ReadTokenizer& message);

  // Jobs
  void start_job(const StartJob& message);
  void stop_job(const StopJobAttempt& message);
  void job_ended(const JobAttemptEnded& message);
  void job_reported(const JobReportAnswered& message);

 private:
  struct Held {
    std::shared_ptr<NodeReplica> replica;
    std::string uri, content_id;  ///< of the newest plan
    TimePoint idle_since;
    bool idle = false;
  };

  void give_up_connection(const std::string& why);
  void report(const ShardDamaged& damage);
  /// `replica` 0: any of the deployment, one that conducts first.
  Held* conducting(const std::string& deployment, ReplicaId replica = {});

  caf::event_based_actor* self_ = nullptr;
  WorkerParts parts_;
  NodeInfo info_;
  NodeHandler* commands_ = nullptr;
  caf::actor monitor_;
  NodeId node_;
  std::uint64_t attempt_ = 0;  ///< of dialling; what comes from older ones is ignored
  std::optional<CoordinatorClient> client_;
  bool registered_ = false;
  bool ever_registered_ = false;
  std::uint32_t failures_ = 0;  ///< of dialling in a row
  std::uint32_t missed_beats_ = 0;
  StepMeter requests_;  ///< heartbeats, from here to the Coordinator and back
  std::map<ReplicaId, Held> replicas_;
  /// That came before the answer to the registration: only that one says which participant this node is. No more than
  /// the coordinator may have unanswered.
  std::vector<PrepareShard> early_;
  /// In this life of the process, the newest of each replica: told again to every coordinator. Beyond damages_max the
  /// oldest replica's is forgotten, and found again when its bytes are.
  std::map<ReplicaId, ShardDamaged> damages_;
  static constexpr std::size_t damages_max = 64;
  std::unique_ptr<NodeJobs> jobs_;
};

}  // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::StartWorker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::DialCoordinator)
