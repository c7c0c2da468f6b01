// Two ends of the RPC in one process, over loopback: an authority, handlers that record what reaches them, and answers
// that a test can wait for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/certificates.hpp"
#include "cluster/rpc/conductor_client.hpp"
#include "cluster/rpc/coordinator_client.hpp"
#include "cluster/rpc/rpc_server.hpp"
#include "cluster/rpc/rpc_thread.hpp"

namespace tessera::test {

/// Long enough for any machine; reaching it fails the test.
inline constexpr std::chrono::seconds patience{20};
inline constexpr std::chrono::milliseconds long_deadline{15'000};

/// For assertions: shows the message of an error.
template <typename T>
boost::test_tools::assertion_result succeeded(const Result<T>& result) {
  boost::test_tools::assertion_result shown(static_cast<bool>(result));
  if (!result) shown.message() << to_string(result.error().code) << ": " << result.error().message;
  return shown;
}

/// One answer that the test's thread waits for.
template <typename T>
class Answer {
 public:
  /// To be passed once.
  Reply<T> reply() {
    return [state = state_](Result<T> result) { state->set_value(std::move(result)); };
  }
  Result<T> wait() {
    if (future_.wait_for(patience) != std::future_status::ready) {
      throw std::runtime_error("no answer came within the test's patience");
    }
    return future_.get();
  }

 private:
  std::shared_ptr<std::promise<Result<T>>> state_ = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> future_ = state_->get_future();
};

/// Values that threads put in and the test takes out, in order.
template <typename T>
class Inbox {
 public:
  void put(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  T take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [&] { return !values_.empty(); })) {
      throw std::runtime_error("nothing came within the test's patience");
    }
    T value = std::move(values_.front());
    values_.erase(values_.begin());
    return value;
  }
  bool empty() {
    const std::lock_guard lock(mutex_);
    return values_.empty();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> values_;
};

/// Makes a call, `call(reply)`, and waits for its answer.
template <typename T, typename Call>
Result<T> ask(Call call) {
  Answer<T> answer;
  call(answer.reply());
  return answer.wait();
}

/// Of a failure; of a success one that no test expects.
ErrorCode code_of(const auto& result) { return result ? ErrorCode::corrupt : result.error().code; }

/// A cluster's authority.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& cluster = "demo");
  TlsIdentity issue(Role role, const std::string& name) const;
  const CertificateAuthority& authority() const { return *authority_; }

 private:
  std::unique_ptr<CertificateAuthority> authority_;
};
std::chrono::sys_seconds test_time();

ProtocolFacts node_facts(std::uint64_t incarnation = 7);

/// Answers everything at once with something that shows what arrived; what a test changes is a function. Set functions
/// before the first call.
class FakeCoordinator final : public CoordinatorHandler {
 public:
  std::function<void(const Caller&, Reply<ClusterStatus>)> on_status;
  std::function<void(DeploySpec, ProgressSink<DeploymentStatus>, Reply<DeploymentStatus>)> on_deploy;
  std::function<void(JobId, bool, ProgressSink<JobRecord>, Reply<JobRecord>)> on_watch;
  Inbox<std::pair<NodeInfo, NodeProxy>> registered;
  Inbox<std::vector<HeldEpoch>> held;
  Inbox<std::string> called;  ///< "method argument …"
  Inbox<Caller> disconnected;
  NodeLoad last_load;
  std::vector<ReplicaMetrics> last_metrics;
  ClusterStatus cluster;
  JobRecord job;

  void register_node(const Caller&, NodeInfo info, std::vector<HeldEpoch> held, NodeProxy node,
                     Reply<Registration> reply) override;
  void heartbeat(const Caller&, NodeLoad load, Reply<void> reply) override;
  void epoch_activated(const Caller&, ReplicaId, Epoch, ConductorIncarnation, Reply<void> reply) override;
  void epoch_broken(const Caller&, ReplicaId, Epoch, std::string reason, Reply<void> reply) override;
  void copy_damaged(const Caller&, ReplicaId, Epoch, std::string reason, Reply<void> reply) override;
  void report_metrics(const Caller&, std::vector<ReplicaMetrics> metrics, Reply<void> reply) override;
  void status(const Caller& caller, Reply<ClusterStatus> reply) override;
  void deploy(const Caller&, DeploySpec spec, ProgressSink<DeploymentStatus> progress,
              Reply<DeploymentStatus> reply) override;
  void undeploy(const Caller&, std::string deployment, Reply<void> reply) override;
  void drain(const Caller&, std::string node, Reply<void> reply) override;
  void stop_node(const Caller&, std::string node, Reply<void> reply) override;
  void create_token(const Caller&, JoinGrant grant, std::chrono::seconds lifetime, Reply<std::string> reply) override;
  void locate(const Caller&, std::string deployment, Reply<std::vector<ConductorLocation>> reply) override;
  void submit_job(const Caller&, JobSpec spec, Reply<JobRecord> reply) override;
  void list_jobs(const Caller&, Reply<std::vector<JobRecord>> reply) override;
  void watch_job(const Caller&, JobId job, bool attach, ProgressSink<JobRecord> progress,
                 Reply<JobRecord> reply) override;
  void cancel_job(const Caller&, JobId job, Reply<JobRecord> reply) override;
  void report_job(const Caller&, JobId job, std::uint32_t attempt, Result<std::string> result,
                  Reply<JobRecord> reply) override;
  void read_log(const Caller&, LogQuery query, Reply<std::vector<LogLine>> reply) override;
  void on_disconnected(const Caller& caller) override { disconnected.put(caller); }
};

class FakeNode final : public NodeHandler {
 public:
  std::function<void(EpochPlan, EpochKeys, Reply<void>)> on_prepare;
  Inbox<std::string> called;

  void prepare(EpochPlan plan, EpochKeys keys, Reply<void> reply) override;
  void activate(Term, ReplicaId, Epoch, ConductorIncarnation, Reply<void> reply) override;
  void hand_over(Term, ReplicaId, Epoch from, Epoch into, ConductorIncarnation, Reply<void> reply) override;
  void retire(Term, ReplicaId, Epoch, Reply<void> reply) override;
  void run_job(JobId, std::uint32_t attempt, JobSpec spec, Reply<void> reply) override;
  void stop_job(JobId, std::uint32_t attempt, Reply<void> reply) override;
  void read_log(LogQuery query, Reply<std::vector<LogLine>> reply) override;
  void on_dropped(std::string reason, bool again) override;
};

class FakeConductor final : public ConductorHandler {
 public:
  std::function<Result<void>(const StreamRequest&)> on_open;
  Inbox<std::pair<StreamRequest, UpdateSink>> opened;
  Inbox<StreamId> cancelled;
  Inbox<std::pair<StreamId, SinkId>> gone;

  void open_stream(const Caller&, StreamRequest request, UpdateSink sink, Reply<void> reply) override;
  void cancel_stream(const Caller&, StreamId stream, Reply<void> reply) override;
  void read_tokenizer(const Caller&, TokenizerQuery query, Reply<TokenizerChunk> reply) override;
  void on_frontend_gone(StreamId stream, SinkId sink) override { gone.put({stream, sink}); }
};

/// A server with both services, and clients on a thread of their own.
class RpcFixture {
 public:
  RpcFixture();
  ~RpcFixture();

  DialOptions dial_options(Role role, const std::string& name) const;
  /// Fails the test where it cannot.
  CoordinatorClient connect(Role role, const std::string& name);
  ConductorClient connect_conductor(Role role, const std::string& name);
  /// Registers w1 with `node`.
  std::pair<CoordinatorClient, NodeProxy> connect_node(NodeHandler& node);

  TestAuthority authority;
  FakeCoordinator coordinator;
  FakeConductor conductor;
  Inbox<Error> lost;  ///< connections of the clients above
  std::unique_ptr<RpcThread> server_thread, client_thread;
  std::unique_ptr<RpcServer> server;
};

NodeInfo some_node(const std::string& name = "w1", std::uint64_t incarnation = 7);
EpochPlan some_plan();
ModelFacts some_facts();
JobRecord some_job();

}  // namespace tessera::test
