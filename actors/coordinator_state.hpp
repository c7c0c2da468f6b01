// CoordinatorActorState: what the Coordinator actor holds, and how messages become core steps and outputs become deeds.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include <caf/event_based_actor.hpp>

#include "actors/coordinator.hpp"
#include "actors/messages.hpp"
#include "runtime/base/log_limit.hpp"
#include "runtime/base/rng.hpp"

namespace tessera {

/// Confined to the Coordinator actor.
class CoordinatorActorState {
 public:
  void start(caf::event_based_actor* self, CoordinatorParts parts, StoredState stored);
  std::chrono::milliseconds tick_interval() const { return std::chrono::milliseconds(50); }

  // Nodes
  void register_node(const RegisterNode& message);
  void heartbeat(const Heartbeat& message);
  void step(const CoordinatorInput& input);
  void committed(const Result<std::uint64_t>& result);
  void time_passes();

  // Requests (coordinator_requests.cpp)
  void status(const AskStatus& message);
  void locate(const AskLocation& message);
  void deploy(const AskDeploy& message);
  void deploy_facts(const DeployFacts& message);
  void undeploy(const AskUndeploy& message);
  void drain(const AskDrain& message);
  void stop_node(const AskStop& message);
  void create_token(const AskToken& message);
  void join(const AskJoin& message);
  void read_log(const AskLog& message);
  void submit_job(const AskJob& message);
  void list_jobs(const AskJobs& message);
  void watch_job(const AskJobWatch& message);
  void cancel_job(const AskJobCancel& message);
  void report_job(const AskJobReport& message);

 private:
  /// Somebody who is told every change of a deployment until it serves.
  struct DeployWaiter {
    std::string name;
    ProgressSink<DeploymentStatus> progress;
    ReplyBox<DeploymentStatus> reply;
    std::uint64_t last_epoch = 0;
    ReplicaState last_state = ReplicaState::waiting;
    bool told = false;
  };
  struct JobWatcher {
    JobId job;
    bool attach = false;
    ProgressSink<JobRecord> progress;
    ReplyBox<JobRecord> reply;
  };
  using PendingReply = std::variant<AskDeploy, ReplyBox<void>, ReplyBox<JobRecord>>;

  void take(CoordinatorOutputs outputs);
  /// Carries out the outbox up to the next commit.
  void pump();
  void commit_front();
  /// Everybody who waits for an answer learns that what was asked is not durable yet.
  void store_refused(const Error& why);
  void deposed(const Error& why);

  // One deed per kind of output (coordinator_outputs.cpp)
  void carry_out(RegistrationAnswered& output);
  void carry_out(PrepareEpoch& output);
  void carry_out(const ActivateEpoch& output);
  void carry_out(const HandOver& output);
  void carry_out(const RetireEpoch& output);
  void carry_out(const DropNode& output);
  void carry_out(const RunJob& output);
  void carry_out(const StopJob& output);
  void carry_out(const Persist&) {}
  void carry_out(const Erase&) {}
  void carry_out(DeployAnswered& output);
  void carry_out(const Answered& output);
  void carry_out(JobAnswered& output);
  void carry_out(const JobChanged& output);
  void carry_out(const Event& output);

  NodeProxy* proxy(ConnectionId connection);
  RequestToken pending(PendingReply reply);
  /// Answers a request that would have to be remembered while the store takes nothing; false where it does.
  template <typename T>
  bool refused_by_store(const ReplyBox<T>& reply);
  template <typename T>
  std::optional<T> take_pending(RequestToken token);
  void tell_deploy_waiters();
  void tell_job_watchers(const JobRecord& job);
  /// A reply that turns a node's failed answer into an input of the core.
  Reply<void> broken_if_refused(ConnectionId from, ReplicaId replica, Epoch epoch);

  caf::event_based_actor* self_ = nullptr;
  CoordinatorParts parts_;
  std::optional<CoordinatorCore> core_;
  std::map<ConnectionId, NodeProxy> nodes_;
  std::map<ConnectionId, ReplyBox<Registration>> registrations_;
  std::uint64_t last_token_ = 0;
  std::map<RequestToken, PendingReply> pending_;
  std::deque<CoordinatorOutput> outbox_;
  bool committing_ = false;
  std::size_t committing_outputs_ = 0;  ///< that the commit in flight covers, at the front of the outbox
  bool deposed_ = false;
  bool retry_due_ = false;              ///< the last commit failed for another reason; tried again at the next tick
  std::optional<Error> store_refuses_;  ///< that failure, until a commit succeeds
  LogLimit store_lines_{std::chrono::seconds(5)};
  std::vector<DeployWaiter> deploy_waiters_;
  std::vector<JobWatcher> job_watchers_;
};

template <typename T>
bool CoordinatorActorState::refused_by_store(const ReplyBox<T>& reply) {
  if (!store_refuses_) return false;
  (*reply)(Error{ErrorCode::exhausted, "the coordinator can remember nothing new: " + store_refuses_->message});
  return true;
}

}  // namespace tessera
