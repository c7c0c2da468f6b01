// From RPC calls to messages of the Worker actor. On the RPC thread; keeps nothing.
#include <algorithm>
#include <utility>

#include <caf/send.hpp>

#include "actors/log_reader.hpp"
#include "actors/messages.hpp"
#include "actors/worker.hpp"

namespace tessera {

namespace {

class NodeBridge final : public NodeHandler {
 public:
  NodeBridge(caf::actor worker, caf::actor log_reader)
      : worker_(std::move(worker)), log_reader_(std::move(log_reader)) {}

  void prepare(EpochPlan plan, EpochKeys keys, Reply<void> reply) override {
    caf::anon_send(worker_, PrepareShard{std::move(plan), std::move(keys), box(std::move(reply))});
  }
  void activate(Term term, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation,
                Reply<void> reply) override {
    caf::anon_send(worker_, ActivateShard{term, replica, epoch, incarnation, box(std::move(reply))});
  }
  void hand_over(Term term, ReplicaId replica, Epoch from, Epoch into, ConductorIncarnation incarnation,
                 Reply<void> reply) override {
    caf::anon_send(worker_, HandOverShard{term, replica, from, into, incarnation, box(std::move(reply))});
  }
  void retire(Term term, ReplicaId replica, Epoch epoch, Reply<void> reply) override {
    caf::anon_send(worker_, RetireShard{term, replica, epoch, box(std::move(reply))});
  }
  void run_job(JobId job, std::uint32_t attempt, JobSpec spec, Reply<void> reply) override {
    caf::anon_send(worker_, StartJob{job, attempt, std::move(spec), box(std::move(reply))});
  }
  void stop_job(JobId job, std::uint32_t attempt, Reply<void> reply) override {
    caf::anon_send(worker_, StopJobAttempt{job, attempt, box(std::move(reply))});
  }
  void read_log(LogQuery query, Reply<std::vector<LogLine>> reply) override {
    caf::anon_send(log_reader_, AskLog{std::move(query), box(std::move(reply))});
  }
  void on_dropped(std::string reason, bool again) override {
    caf::anon_send(worker_, CoordinatorDropped{std::move(reason), again});
  }

 private:
  caf::actor worker_, log_reader_;
};

class ConductorBridge final : public ConductorHandler {
 public:
  explicit ConductorBridge(caf::actor worker) : worker_(std::move(worker)) {}
  void open_stream(const Caller&, StreamRequest request, UpdateSink sink, Reply<void> reply) override {
    caf::anon_send(worker_, OpenStream{std::move(request), std::move(sink), box(std::move(reply))});
  }
  void cancel_stream(const Caller&, StreamId stream, Reply<void> reply) override {
    caf::anon_send(worker_, CancelStream{stream, box(std::move(reply))});
  }
  void read_tokenizer(const Caller&, TokenizerQuery query, Reply<TokenizerChunk> reply) override {
    caf::anon_send(worker_, ReadTokenizer{std::move(query), box(std::move(reply))});
  }
  void on_frontend_gone(StreamId stream, SinkId sink) override { caf::anon_send(worker_, FrontendGone{stream, sink}); }

 private:
  caf::actor worker_;
};

}  // namespace

std::unique_ptr<NodeHandler> make_node_bridge(caf::actor worker, caf::actor log_reader) {
  return std::make_unique<NodeBridge>(std::move(worker), std::move(log_reader));
}

std::unique_ptr<ConductorHandler> make_conductor_bridge(caf::actor worker) {
  return std::make_unique<ConductorBridge>(std::move(worker));
}

}  // namespace tessera
