// A coordinator and two conductors as a client meets them: real TLS and RPC over loopback, played by the test.
//
// The "model" is a hash: token i of a stream depends on its prompt, its seed and i alone, so that every conductor
// computes the same and a test can say what a stream must deliver. Conductors compute as far as the test allows.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <tessera/client.hpp>

#include "cluster/auth/certificates.hpp"
#include "cluster/rpc/rpc_server.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::test {

/// How long a test waits for what must happen.
inline constexpr std::chrono::seconds patience{20};

/// For messages of checks.
template <typename R>
std::string why(const R& result) {
  return result ? std::string() : result.error().message;
}

inline constexpr std::uint32_t vocab_size = 300;
std::vector<TokenId> expected_tokens(const std::vector<TokenId>& prompt, std::uint64_t seed, std::uint32_t count);
float expected_log_probability(std::uint32_t index);
float expected_score(std::uint32_t index);

/// A deployment as the wire accepts it: its model has a valid shape.
DeploymentStatus deployment_of(const std::string& name, std::uint32_t context_length = 64);

/// Guards and announces the state of all fakes.
struct Stage {
  std::mutex mutex;
  std::condition_variable changed;
  /// Waits until `condition` (called with the lock held) is true; false after `patience`.
  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, patience, condition);
  }
};

class FakeConductor final : public ConductorHandler {
 public:
  FakeConductor(Stage& stage, ConductorIncarnation incarnation) : stage_(stage), incarnation_(incarnation) {}

  void open_stream(const Caller& caller, StreamRequest request, UpdateSink sink, Reply<void> reply) override;
  void cancel_stream(const Caller& caller, StreamId stream, Reply<void> reply) override;
  void read_tokenizer(const Caller& caller, TokenizerQuery query, Reply<TokenizerChunk> reply) override;
  void on_frontend_gone(StreamId stream, SinkId sink) override;

  /// Every stream may get up to `tokens` tokens in all; from now on.
  void allow(std::uint32_t tokens);
  /// Tells every open stream to go elsewhere, and forgets them.
  void move_away();

  // Under stage.mutex:
  std::vector<StreamRequest> opened;
  std::vector<StreamId> cancelled;
  std::vector<StreamId> gone;
  std::vector<std::uint8_t> tokenizer;
  std::string chat_template;
  std::uint32_t tokenizer_chunks = 0;
  std::uint32_t resend = 0;  ///< tokens before the first new one that are sent once more on opening
  std::optional<Error> refuse_open;

 private:
  struct Open {
    StreamRequest request;
    UpdateSink sink;
    std::uint32_t sent = 0;  ///< tokens that the frontend has or was sent
  };
  void compute(Open& open);

  Stage& stage_;
  const ConductorIncarnation incarnation_;
  std::uint32_t allowed_ = 0;
  std::map<StreamId, Open> streams_;
};

class FakeCoordinator final : public CoordinatorHandler {
 public:
  explicit FakeCoordinator(Stage& stage) : stage_(stage) {}

  void register_node(const Caller&, NodeInfo, std::vector<HeldEpoch>, NodeProxy, Reply<Registration>) override {}
  void heartbeat(const Caller&, NodeLoad, Reply<void>) override {}
  void epoch_activated(const Caller&, ReplicaId, Epoch, ConductorIncarnation, Reply<void>) override {}
  void epoch_broken(const Caller&, ReplicaId, Epoch, std::string, Reply<void>) override {}
  void copy_damaged(const Caller&, ReplicaId, Epoch, std::string, Reply<void>) override {}
  void report_metrics(const Caller&, std::vector<ReplicaMetrics>, Reply<void>) override {}

  void status(const Caller& caller, Reply<ClusterStatus> reply) override;
  void deploy(const Caller& caller, DeploySpec spec, ProgressSink<DeploymentStatus> progress,
              Reply<DeploymentStatus> reply) override;
  void undeploy(const Caller& caller, std::string deployment, Reply<void> reply) override;
  void drain(const Caller& caller, std::string node, Reply<void> reply) override;
  void stop_node(const Caller&, std::string, Reply<void>) override {}
  void create_token(const Caller& caller, JoinGrant grant, std::chrono::seconds lifetime,
                    Reply<std::string> reply) override;
  void locate(const Caller& caller, std::string deployment, Reply<std::vector<ConductorLocation>> reply) override;
  void submit_job(const Caller& caller, JobSpec spec, Reply<JobRecord> reply) override;
  void list_jobs(const Caller& caller, Reply<std::vector<JobRecord>> reply) override;
  void watch_job(const Caller& caller, JobId job, bool attach, ProgressSink<JobRecord> progress,
                 Reply<JobRecord> reply) override;
  void cancel_job(const Caller& caller, JobId job, Reply<JobRecord> reply) override;
  void report_job(const Caller& caller, JobId job, std::uint32_t attempt, Result<std::string> result,
                  Reply<JobRecord> reply) override;
  void read_log(const Caller& caller, LogQuery query, Reply<std::vector<LogLine>> reply) override;
  void on_disconnected(const Caller&) override {}

  /// Ends a job as a worker or another client would.
  void end_job(JobId job, JobState state, std::string result, std::optional<Error> error);

  // Under stage.mutex:
  Result<ConductorLocation> location = Error{ErrorCode::not_found, "nothing is deployed"};
  ClusterStatus cluster;
  std::map<std::uint64_t, JobRecord> jobs;
  std::uint32_t locates = 0, statuses = 0, deploys = 0, attached = 0;
  std::uint32_t statuses_per_term = 0;  ///< the term rises after so many; 0: never
  bool answer_drain = true;
  std::vector<LogLine> log;
  std::deque<Error> log_failures;  ///< of the next calls that follow
  std::optional<DeploySpec> deployed;

 private:
  struct Watch {
    JobId job;
    bool attach = false;
    ProgressSink<JobRecord> progress;
    Reply<JobRecord> reply;
  };
  void tell(const JobRecord& job);

  Stage& stage_;
  std::vector<Watch> watches_;
};

/// Everything on one RPC thread, with one authority. Nodes "a" and "b" conduct.
class FakeCluster {
 public:
  FakeCluster();
  ~FakeCluster();

  /// Options of a client of this role; deadlines are short enough for tests.
  client::Options options(Role role = Role::operator_) const;
  /// Connected, or the test fails.
  client::Client connect(Role role = Role::operator_) const;

  void start_coordinator();
  void stop_coordinator();
  /// Closes every connection of a node at once, as its death would.
  void kill(const std::string& node);
  /// Where streams find their conductor from now on.
  void conduct_at(const std::string& node);

  Stage stage;
  FakeCoordinator coordinator{stage};
  FakeConductor a{stage, ConductorIncarnation{1}}, b{stage, ConductorIncarnation{2}};

 private:
  TlsIdentity identity(Role role, const std::string& name) const;
  /// Destroys a server and waits until its connections are closed.
  void close(std::unique_ptr<RpcServer>& server);
  std::unique_ptr<RpcServer> serve(Role role, const std::string& name, Endpoint listen, ServerHandlers handlers);

  std::optional<CertificateAuthority> authority_;
  std::unique_ptr<RpcThread> thread_;
  Endpoint coordinator_endpoint_{"127.0.0.1", 0};
  std::unique_ptr<RpcServer> coordinator_server_, a_server_, b_server_;
};

}  // namespace tessera::test
