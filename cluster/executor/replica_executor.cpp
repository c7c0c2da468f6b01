#include "cluster/executor/replica_executor.hpp"

#include <string>
#include <thread>
#include <utility>

#include "cluster/executor/executor_loop.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

class ReplicaExecutor::Impl {
 public:
  Impl(const ExecutorParts& parts, std::unique_ptr<ThreadPool> pool)
      : parts_(parts),
        pool_(std::move(pool)),
        conductor_(*parts_.ops, *pool_, parts_.limits.detached_seconds_max, parts_.limits.waiting_seconds_max),
        preparer_(parts_, {parts_.ops, pool_.get()}, board_),
        loop_(parts_, board_, preparer_, conductor_, record_),
        thread_([this] {
          const ThreadBinding binding(pool_->caller_cpus());
          loop_.run();
        }) {}
  ~Impl() { shutdown(); }

  void prepare(EpochPlan plan, EpochKeys keys) {
    const Epoch epoch = plan.epoch;
    if (plan.replica != parts_.replica) {
      return preparer_.refuse(epoch, {ErrorCode::invalid_argument,
                                      "a plan of replica " + std::to_string(plan.replica.value) +
                                          " came to the executor of replica " + std::to_string(parts_.replica.value)});
    }
    const Result<void> allowed =
        parts_.fence->ask([&](WorkerFence& fence) { return fence.prepare(plan.term, plan.replica, epoch); });
    if (!allowed) return preparer_.refuse(epoch, allowed.error());
    preparer_.prepare(std::move(plan), std::move(keys));
  }

  Result<void> activate(Term term, Epoch epoch, ConductorIncarnation incarnation) {
    TESSERA_CHECK(board_.check_root(epoch));
    TESSERA_CHECK(parts_.fence->ask(
        [&](WorkerFence& fence) { return fence.activate(term, parts_.replica, epoch, incarnation); }));
    board_.post(ActivateOrder{epoch, incarnation});
    return {};
  }

  Result<void> hand_over(Term term, Epoch from, Epoch to, ConductorIncarnation incarnation) {
    if (board_.conducting() != from) {
      return Error{ErrorCode::conflict, "epoch " + std::to_string(from.value) +
                                            " is not conducted on this node; epoch " +
                                            std::to_string(board_.conducting().value) + " is (0: none)"};
    }
    TESSERA_CHECK(
        parts_.fence->ask([&](WorkerFence& fence) { return fence.hand_over(term, parts_.replica, from, to); }));
    board_.post(HandOverOrder{from, to, incarnation});
    return {};
  }

  Result<void> retire(Term term, Epoch epoch) {
    TESSERA_CHECK(parts_.fence->ask([&](WorkerFence& fence) { return fence.retire(term, parts_.replica, epoch); }));
    preparer_.cancel(epoch);
    board_.abort(epoch, "the epoch was retired", true);
    board_.post(RetireOrder{epoch});
    return {};
  }

  Result<void> submit(StreamRequest request) {
    TESSERA_CHECK(conductor_.submit(std::move(request), parts_.clock->now()));
    board_.wake();
    return {};
  }
  void cancel(StreamId id) {
    conductor_.cancel(id);
    board_.wake();
  }
  void detach(StreamId id) { conductor_.detach(id, parts_.clock->now()); }

  std::vector<HeldEpoch> held() const {
    std::vector<HeldEpoch> held = parts_.fence->ask([](WorkerFence& fence) { return fence.held(); });
    std::erase_if(held, [&](const HeldEpoch& one) { return one.replica != parts_.replica; });
    for (HeldEpoch& one : held) {
      one.conducts = one.active && one.epoch == board_.conducting();
      if (!one.conducts) one.incarnation = {};
    }
    return held;
  }

  ExecutorLoad load() const {
    ExecutorLoad load;
    load.weight_bytes = board_.weight_bytes();
    load.shards = board_.shards();
    const ConductorLoad streams = conductor_.load();
    load.streams_running = streams.running;
    load.streams_waiting = streams.waiting;
    load.pages_used = streams.pages_used;
    load.pages = streams.pages;
    load.pages_cached = streams.pages_cached;
    load.prefix_tokens_queried = streams.prefix.queried;
    load.prefix_tokens_hit = streams.prefix.hit;
    load.preempted = streams.preempted;
    load.kv_bytes = board_.kv_bytes();
    load.draft_tokens = streams.speculation.drafted;
    load.draft_tokens_accepted = streams.speculation.accepted;
    const TimePoint now = parts_.clock->now();
    record_.read([&](const StepMeter& meter, std::uint64_t kv_bytes, const StepRows& step_rows) {
      load.kv_bytes_used = kv_bytes;
      load.step_rows = step_rows;
      load.step_seconds_median = meter.median_seconds();
      load.wait_share = meter.wait_share();
      load.tokens_per_second = meter.tokens_per_second(now);
    });
    return load;
  }

  std::shared_ptr<const Checkpoint> open_checkpoint(const std::string& content_id) const {
    const std::shared_ptr<OpenCheckpoint> open = board_.open_checkpoint(content_id);
    return open ? open->checkpoint : nullptr;
  }

  void shutdown() {
    if (!thread_.joinable()) return;
    board_.stop();
    board_.abort_all("the executor shuts down");
    preparer_.stop();
    thread_.join();
  }

 private:
  const ExecutorParts parts_;
  std::unique_ptr<ThreadPool> pool_;
  ExecutorBoard board_;
  StepRecord record_;
  Conductor conductor_;
  EpochPreparer preparer_;
  ExecutorLoop loop_;
  std::thread thread_;
};

Result<std::unique_ptr<ReplicaExecutor>> ReplicaExecutor::create(const ExecutorParts& parts) {
  TESSERA_ENSURE(parts.ops && parts.listener && parts.exchange && parts.fence && parts.leases && parts.clock &&
                 parts.events);
  TESSERA_TRY(auto pool, ThreadPool::create(parts.threads));
  return std::unique_ptr<ReplicaExecutor>(new ReplicaExecutor(std::make_unique<Impl>(parts, std::move(pool))));
}

ReplicaExecutor::ReplicaExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReplicaExecutor::~ReplicaExecutor() = default;

void ReplicaExecutor::prepare(EpochPlan plan, EpochKeys keys) { impl_->prepare(std::move(plan), std::move(keys)); }
Result<void> ReplicaExecutor::activate(Term term, Epoch epoch, ConductorIncarnation incarnation) {
  return impl_->activate(term, epoch, incarnation);
}
Result<void> ReplicaExecutor::hand_over(Term term, Epoch from, Epoch to, ConductorIncarnation incarnation) {
  return impl_->hand_over(term, from, to, incarnation);
}
Result<void> ReplicaExecutor::retire(Term term, Epoch epoch) { return impl_->retire(term, epoch); }
Result<void> ReplicaExecutor::submit(StreamRequest request) { return impl_->submit(std::move(request)); }
void ReplicaExecutor::cancel(StreamId id) { impl_->cancel(id); }
void ReplicaExecutor::detach(StreamId id) { impl_->detach(id); }
std::vector<HeldEpoch> ReplicaExecutor::held() const { return impl_->held(); }
ExecutorLoad ReplicaExecutor::load() const { return impl_->load(); }
std::shared_ptr<const Checkpoint> ReplicaExecutor::open_checkpoint(const std::string& content_id) const {
  return impl_->open_checkpoint(content_id);
}
void ReplicaExecutor::shutdown() { impl_->shutdown(); }

}  // namespace tessera
