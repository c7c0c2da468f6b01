#include "cluster/executor/epoch_shard.hpp"

#include <algorithm>
#include <utility>

#include "cluster/executor/kv_moves.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

Result<std::unique_ptr<EpochShard>> EpochShard::create(const ExecutorParts& parts, EpochPlan plan,
                                                       const EpochKeys& keys) {
  const auto refuse = [&](ErrorCode code, const std::string& what) {
    return Error{code, "epoch " + std::to_string(plan.epoch.value) + " of replica " +
                           std::to_string(plan.replica.value) + ": " + what};
  };
  if (plan.profile != executor_profile) {
    return refuse(ErrorCode::unsupported, "it computes profile '" + plan.profile + "', this node computes '" +
                                              executor_profile + "'; deploy it on nodes of its profile");
  }
  if (plan.stages.empty() || plan.ranks() > plan.participants.size())
    return refuse(ErrorCode::corrupt, "the plan has ranks without nodes");
  const std::optional<ParticipantIndex> self = plan.find(parts.node);
  if (!self) return refuse(ErrorCode::corrupt, "this node does not take part in it");
  if (keys.keys.size() != plan.participants.size())
    return refuse(ErrorCode::corrupt, "the plan needs one key per participant");
  return std::unique_ptr<EpochShard>(new EpochShard(parts, std::move(plan), *self, keys));
}

EpochShard::EpochShard(const ExecutorParts& parts, EpochPlan plan, ParticipantIndex self, const EpochKeys& keys)
    : parts_(parts),
      plan_(std::move(plan)),
      self_(self),
      mesh_(new Mesh(*parts.listener, plan_, self, keys, *parts.exchange)) {}

Result<void> EpochShard::open_checkpoint(std::shared_ptr<OpenCheckpoint> open_already) {
  if (open_already && open_already->checkpoint->content_id() == plan_.content_id) {
    open_ = std::move(open_already);
    return {};
  }
  TESSERA_TRY(auto source, open_source(plan_.uri));
  auto checkpoint = Checkpoint::open(std::move(source), plan_.content_id);
  if (!checkpoint) {
    // Another file than the one that was deployed, or one that cannot be right: this copy is of no use.
    if (checkpoint.error().code == ErrorCode::corrupt) report_damage(checkpoint.error());
    return checkpoint.error();
  }
  open_ = std::make_shared<OpenCheckpoint>();
  open_->checkpoint = *std::move(checkpoint);
  return {};
}

Result<void> EpochShard::prepare(std::shared_ptr<OpenCheckpoint> open_already, ComputeContext context,
                                 TimePoint deadline) {
  TESSERA_CHECK(open_checkpoint(std::move(open_already)));
  const Manifest& manifest = checkpoint().manifest();
  TESSERA_CHECK(validate(plan_, manifest.shape, manifest.geometry));
  if (!donor()) TESSERA_CHECK(make_shard(context));
  return mesh_->connect(deadline);
}

Result<void> EpochShard::make_shard(ComputeContext context) {
  const EpochPlan::Place place = plan_.place_of(self_.value);
  const StagePlan& stage = plan_.stages[place.stage];
  TESSERA_TRY(auto slices, ShardPlan::from(checkpoint().manifest().geometry, stage.shards));
  collective_ = std::make_unique<NetworkCollective>(*mesh_, plan_, self_.value);
  if (plan_.stages.size() > 1) stage_link_ = std::make_unique<NetworkStageLink>(*mesh_, plan_, self_.value);
  const ShardAssignment assignment{stage.layers, std::move(slices), ShardRank{place.rank}};
  auto shard = ModelShard::create(open_->checkpoint, assignment, ShardLinks{*collective_, stage_link_.get()}, context,
                                  plan_.kv_pages);
  if (!shard) {
    // The open file was cut since: no plan can map it any more.
    if (shard.error().code == ErrorCode::corrupt) report_damage(shard.error());
    return shard.error();
  }
  shard_ = *std::move(shard);
  TESSERA_CHECK(populate_arriving());
  weight_bytes_ = shard_->weights().bytes();
  kv_page_bytes_ = shard_->kv().bytes_of(1);
  return check_weights(assignment);
}

/// Pages of other nodes come at the step boundary, where everybody waits: their memory is better asked for now.
Result<void> EpochShard::populate_arriving() {
  if (plan_.previous_kv.empty()) return {};
  const Manifest& manifest = checkpoint().manifest();
  TESSERA_TRY(auto moves, kv_moves(plan_, manifest.shape, manifest.geometry));
  std::erase_if(moves, [&](const KvMove& move) { return move.to != self_ || move.from == self_; });
  std::size_t bytes = 0;  // of one page everywhere
  for (const KvMove& move : moves) bytes += move.layers.count() * move.kv_heads.count() * shard_->kv().export_bytes(1);
  if (bytes == 0) return {};
  const auto pages = static_cast<std::uint32_t>(std::min<std::size_t>(plan_.kv_pages, kv_populate_bytes_max / bytes));
  for (const KvMove& move : moves) {
    for (std::uint32_t layer = move.layers.begin; layer < move.layers.end; ++layer) {
      for (std::uint32_t head = move.kv_heads.begin; head < move.kv_heads.end; ++head) {
        if (!shard_->kv().populate(layer, head, pages)) return {};
      }
    }
  }
  return {};
}

Result<void> EpochShard::check_weights(const ShardAssignment& assignment) {
  std::vector<TensorUnits> units = shard_units(checkpoint().manifest(), assignment);
  if (plan_.check_first) {
    const Result<void> checked = check_units(*open_, units, [this] { return !mesh_->aborted(); });
    if (!checked && checked.error().code != ErrorCode::cancelled) report_damage(checked.error());
    if (!checked) return checked;
  }
  const std::lock_guard lock(check_mutex_);
  if (check_stopped_) return {};
  check_ = std::make_unique<WeightCheck>(
      open_, std::move(units), [this](const Error& error) { report_damage(error); }, parts_.limits.weight_check);
  return {};
}

void EpochShard::report_damage(const Error& error) {
  parts_.events->damaged(plan_.epoch, error);
  mesh_->abort(error.message);
}

void EpochShard::abort(const std::string& reason, bool retired) {
  if (retired) {
    retired_.store(true, std::memory_order_release);
    stop_check();
  }
  mesh_->abort(reason);
}

void EpochShard::stop_check() {
  const std::lock_guard lock(check_mutex_);
  check_stopped_ = true;
  if (check_) check_->stop();
}

CommandLimits EpochShard::command_limits() const {
  const ModelShape& model = shape();
  return {model.vocab_size, model.context_length, plan_.kv_pages, model.layers, model.kv_heads};
}

}  // namespace tessera
