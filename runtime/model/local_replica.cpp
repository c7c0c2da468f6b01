#include "runtime/model/local_replica.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/model/llama_shard.hpp"
#include "runtime/model/local_collective.hpp"

namespace tessera {

namespace {

/// A shard with its pool and, except for rank 0, the thread that runs its steps.
class ShardExecutor {
 public:
  ShardExecutor(std::unique_ptr<ThreadPool> pool, std::unique_ptr<LlamaShard> shard)
      : pool_(std::move(pool)), shard_(std::move(shard)) {}
  ~ShardExecutor() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  LlamaShard& shard() { return *shard_; }

  void start_thread(LocalExchange& exchange) {
    thread_ = std::thread([this, &exchange] { loop(exchange); });
  }

  /// Starts a step on the executor's thread; wait() collects its result.
  void submit(const Step& step) {
    const std::lock_guard lock(mutex_);
    step_ = &step;
    changed_.notify_all();
  }
  Result<void> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return step_ == nullptr; });
    return result_;
  }

 private:
  void loop(LocalExchange& exchange) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || step_ != nullptr; });
      if (stopping_) return;
      const Step& step = *step_;
      lock.unlock();
      Result<void> result = shard_->run(step, {});
      if (!result) exchange.abort(result.error().message);
      lock.lock();
      result_ = std::move(result);
      step_ = nullptr;
      changed_.notify_all();
    }
  }

  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<LlamaShard> shard_;
  std::mutex mutex_;
  std::condition_variable changed_;
  const Step* step_ = nullptr;
  Result<void> result_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

struct LocalReplica::State {
  State(std::shared_ptr<const Checkpoint> opened, const ReplicaOptions& options, std::uint32_t pages)
      : checkpoint(std::move(opened)), ops(options.ops), allocator(pages), exchange(options.shards) {}
  std::shared_ptr<const Checkpoint> checkpoint;
  const tessera_op_table* ops;
  PageAllocator allocator;
  LocalExchange exchange;
  std::vector<std::unique_ptr<ShardExecutor>> executors;
  std::optional<Error> broken;
};

Result<std::unique_ptr<LocalReplica>> LocalReplica::create(std::shared_ptr<const Checkpoint> checkpoint,
                                                           const ReplicaOptions& options) {
  TESSERA_ENSURE(options.ops != nullptr);
  const SliceGeometry& geometry = checkpoint->manifest().geometry;
  Result<ShardPlan> plan = options.shard_weights.empty() ? ShardPlan::even(geometry, options.shards)
                                                         : ShardPlan::weighted(geometry, options.shard_weights);
  if (!plan) return plan.error();
  TESSERA_ENSURE(plan->shards() == options.shards);
  const std::uint32_t pages = pages_for(options.kv_positions) + options.sequences_max;
  auto state = std::make_unique<State>(std::move(checkpoint), options, pages);
  for (std::uint32_t rank = 0; rank < options.shards; ++rank) {
    TESSERA_TRY(auto pool, ThreadPool::create(std::max(1u, options.threads / options.shards)));
    TESSERA_TRY(auto shard, LlamaShard::create(state->checkpoint, *plan, state->exchange.endpoint(ShardRank{rank}),
                                               {options.ops, pool.get()}, pages));
    state->executors.push_back(std::make_unique<ShardExecutor>(std::move(pool), std::move(shard)));
    if (rank > 0) state->executors.back()->start_thread(state->exchange);
  }
  return std::unique_ptr<LocalReplica>(new LocalReplica(std::move(state)));
}

LocalReplica::LocalReplica(std::unique_ptr<State> state) : state_(std::move(state)) {}
LocalReplica::~LocalReplica() = default;

const Manifest& LocalReplica::manifest() const { return state_->checkpoint->manifest(); }
const tessera_op_table& LocalReplica::ops() const { return *state_->ops; }
PageAllocator& LocalReplica::pages() { return state_->allocator; }
std::uint32_t LocalReplica::shards() const { return static_cast<std::uint32_t>(state_->executors.size()); }

Result<void> LocalReplica::forward(const Step& step, std::span<float> logits) {
  if (state_->broken) return *state_->broken;
  for (std::size_t rank = 1; rank < state_->executors.size(); ++rank) state_->executors[rank]->submit(step);
  Result<void> result = state_->executors[0]->shard().run(step, logits);
  if (!result) state_->exchange.abort(result.error().message);
  for (std::size_t rank = 1; rank < state_->executors.size(); ++rank) {
    Result<void> other = state_->executors[rank]->wait();
    // The first cause counts, not the "another shard stopped" of those that waited for it.
    if (!other && (result || result.error().code == ErrorCode::cancelled)) result = std::move(other);
  }
  if (!result) state_->broken = result.error();
  return result;
}

}  // namespace tessera
