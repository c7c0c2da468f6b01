#include "runtime/model/local_replica.hpp"

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/model/device_model.hpp"
#include "runtime/model/local_stage_link.hpp"

namespace tessera {

namespace {

/// A shard with its pool and, except for the root, the thread that runs its steps.
class ShardExecutor {
 public:
  ShardExecutor(std::unique_ptr<ThreadPool> pool, std::unique_ptr<ModelShard> shard)
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

  ModelShard& shard() { return *shard_; }

  /// `on_failure` is called on that thread, with the message, when a step fails.
  void start_thread(std::function<void(const std::string&)> on_failure) {
    thread_ = std::thread([this, on_failure = std::move(on_failure)] { loop(on_failure); });
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
  void loop(const std::function<void(const std::string&)>& on_failure) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || step_ != nullptr; });
      if (stopping_) return;
      const Step& step = *step_;
      lock.unlock();
      Result<void> result = shard_->run(step, std::span<float>{});
      if (!result) on_failure(result.error().message);
      lock.lock();
      result_ = std::move(result);
      step_ = nullptr;
      changed_.notify_all();
    }
  }

  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<ModelShard> shard_;
  std::mutex mutex_;
  std::condition_variable changed_;
  const Step* step_ = nullptr;
  Result<void> result_;
  bool stopping_ = false;
  std::thread thread_;
};

/// One stage with the shares of its shards.
struct StageOfPlan {
  SliceRange layers;
  ShardPlan shards;
};

Result<std::vector<StageOfPlan>> plan_stages(const Manifest& manifest, const ReplicaOptions& options) {
  std::vector<StageOptions> stages = options.stages;
  if (stages.empty()) stages = {{manifest.shape.layers, options.shards, options.shard_weights}};
  std::vector<StageOfPlan> plan;
  std::uint32_t next = 0;
  for (const StageOptions& stage : stages) {
    if (stage.layers == 0 || stage.layers > manifest.shape.layers - next) break;
    auto shards = stage.shard_weights.empty() ? ShardPlan::even(manifest.geometry, stage.shards)
                                              : ShardPlan::weighted(manifest.geometry, stage.shard_weights);
    if (!shards) return shards.error();
    TESSERA_ENSURE(shards->shards() == stage.shards);
    plan.push_back({{next, next + stage.layers}, std::move(*shards)});
    next += stage.layers;
  }
  if (plan.size() < stages.size() || next != manifest.shape.layers) {
    return Error{ErrorCode::invalid_argument,
                 "the pipeline stages must have at least one layer each and together the " +
                     std::to_string(manifest.shape.layers) + " layers of the model"};
  }
  return plan;
}

std::vector<std::uint32_t> shard_counts(const std::vector<StageOfPlan>& plan) {
  std::vector<std::uint32_t> counts;
  for (const StageOfPlan& stage : plan) counts.push_back(stage.shards.shards());
  return counts;
}

}  // namespace

struct LocalReplica::State {
  State(std::shared_ptr<const Checkpoint> opened, const ReplicaOptions& options, const std::vector<StageOfPlan>& plan,
        std::uint32_t pages)
      : checkpoint(std::move(opened)), ops(options.ops), allocator(pages), links(shard_counts(plan)) {
    for (const StageOfPlan& stage : plan) {
      exchanges.push_back(std::make_unique<LocalExchange>(stage.shards.shards(), options.scatter_bytes_min));
    }
  }
  void abort(const std::string& reason) {
    for (const auto& exchange : exchanges) exchange->abort(reason);
    links.abort(reason);
  }

  std::shared_ptr<const Checkpoint> checkpoint;
  const tessera_op_table* ops;
  PageAllocator allocator;
  std::vector<std::unique_ptr<LocalExchange>> exchanges;  ///< one per stage
  LocalStageLinks links;
  std::vector<std::unique_ptr<ShardExecutor>> executors;  ///< stage by stage; none on a GPU
  std::unique_ptr<DeviceModel> on_gpu;
  std::size_t root = 0;
  std::optional<Error> broken;
};

Result<std::unique_ptr<LocalReplica>> LocalReplica::create(std::shared_ptr<const Checkpoint> checkpoint,
                                                           const ReplicaOptions& options) {
  TESSERA_ENSURE(options.ops != nullptr);
  if (options.gpu != nullptr) return create_on_gpu(std::move(checkpoint), options);
  TESSERA_TRY(const std::vector<StageOfPlan> plan, plan_stages(checkpoint->manifest(), options));
  const std::vector<std::uint32_t> counts = shard_counts(plan);
  const std::uint32_t shards = std::accumulate(counts.begin(), counts.end(), 0u);
  const std::uint32_t pages = pages_for(options.kv_positions) + options.sequences_max;
  auto owned = std::make_unique<State>(std::move(checkpoint), options, plan, pages);
  State& state = *owned;
  state.root = shards - counts.back();
  for (std::uint32_t stage = 0; stage < plan.size(); ++stage) {
    for (std::uint32_t rank = 0; rank < counts[stage]; ++rank) {
      const ShardAssignment assignment{plan[stage].layers, plan[stage].shards, ShardRank{rank}};
      const ShardLinks links{state.exchanges[stage]->endpoint(ShardRank{rank}),
                             &state.links.link(stage, ShardRank{rank})};
      TESSERA_TRY(auto pool, ThreadPool::create(std::max(1u, options.threads / shards)));
      TESSERA_TRY(auto shard,
                  ModelShard::create(state.checkpoint, assignment, links, {options.ops, pool.get()}, pages));
      state.executors.push_back(std::make_unique<ShardExecutor>(std::move(pool), std::move(shard)));
    }
  }
  for (std::size_t i = 0; i < state.executors.size(); ++i) {
    if (i == state.root) continue;
    state.executors[i]->start_thread([&state](const std::string& reason) { state.abort(reason); });
  }
  return std::unique_ptr<LocalReplica>(new LocalReplica(std::move(owned)));
}

Result<std::unique_ptr<LocalReplica>> LocalReplica::create_on_gpu(std::shared_ptr<const Checkpoint> checkpoint,
                                                                  const ReplicaOptions& options) {
  if (options.shards != 1 || !options.stages.empty()) {
    return Error{ErrorCode::invalid_argument, "on a GPU a model runs as one shard; leave out --shards"};
  }
  TESSERA_TRY(const std::vector<StageOfPlan> plan, plan_stages(checkpoint->manifest(), options));
  DeviceModelOptions device;
  device.kv_pages = pages_for(options.kv_positions) + options.sequences_max;
  device.rows_max = limits::step_rows_max;
  device.sequences_max = options.sequences_max;
  auto state = std::make_unique<State>(std::move(checkpoint), options, plan, device.kv_pages);
  TESSERA_TRY(state->on_gpu, DeviceModel::create(*options.gpu, options.device, *state->checkpoint, device));
  return std::unique_ptr<LocalReplica>(new LocalReplica(std::move(state)));
}

Result<void> LocalReplica::forward_on_gpu(const Step& step, std::span<float> logits) {
  if (state_->broken) return *state_->broken;
  Result<void> result = state_->on_gpu->run(step, logits);
  if (!result) state_->broken = result.error();
  return result;
}

LocalReplica::LocalReplica(std::unique_ptr<State> state) : state_(std::move(state)) {}
LocalReplica::~LocalReplica() = default;

const Manifest& LocalReplica::manifest() const { return state_->checkpoint->manifest(); }
const tessera_op_table& LocalReplica::ops() const { return *state_->ops; }
PageAllocator& LocalReplica::pages() { return state_->allocator; }
std::uint32_t LocalReplica::shards() const {
  return state_->on_gpu ? 1 : static_cast<std::uint32_t>(state_->executors.size());
}
ModelShard& LocalReplica::shard(std::uint32_t index) { return state_->executors[index]->shard(); }

template <typename Out>
Result<void> LocalReplica::forward_to(const Step& step, Out&& out) {
  if (state_->broken) return *state_->broken;
  const auto others = [this](const auto& visit) {
    for (std::size_t i = 0; i < state_->executors.size(); ++i) {
      if (i != state_->root) visit(*state_->executors[i]);
    }
  };
  others([&](ShardExecutor& executor) { executor.submit(step); });
  Result<void> result = state_->executors[state_->root]->shard().run(step, out);
  if (!result) state_->abort(result.error().message);
  others([&](ShardExecutor& executor) {
    Result<void> other = executor.wait();
    // The first cause counts, not the "another shard stopped" of those that waited for it.
    if (!other && (result || result.error().code == ErrorCode::cancelled)) result = std::move(other);
  });
  if (!result) state_->broken = result.error();
  return result;
}

Result<void> LocalReplica::forward(const Step& step, std::span<float> logits) {
  return state_->on_gpu ? forward_on_gpu(step, logits) : forward_to(step, logits);
}

Result<void> LocalReplica::forward(const Step& step, StepSink& sink) {
  if (!state_->on_gpu) return forward_to(step, sink);
  if (std::any_of(step.rows.begin(), step.rows.end(), [](const StepRow& row) { return row.wants_hidden; })) {
    return Error{ErrorCode::unsupported, "a GPU gives no hidden states yet; leave out --device gpu"};
  }
  std::vector<float> logits(std::size_t{step.logits_rows()} * manifest().shape.vocab_size);
  TESSERA_CHECK(forward_on_gpu(step, logits));
  if (!logits.empty()) sink.take_logits(0, logits);
  return {};
}

}  // namespace tessera
