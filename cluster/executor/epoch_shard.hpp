// EpochShard: what one node has of one epoch: the plan, the mesh of connections, and, unless it is a donor, the shard
// with its weights and pages.
//
//   made and prepared on the preparing thread ──► used by the executor's thread ──► destroyed on the preparing thread
//                          └ abort() from any thread, at any time
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cluster/exchange/commands.hpp"
#include "cluster/exchange/mesh.hpp"
#include "cluster/exchange/network_collective.hpp"
#include "cluster/executor/replica_executor.hpp"
#include "runtime/model/model_shard.hpp"
#include "runtime/model/weight_check.hpp"

namespace tessera {

/// Of the KV pages that come from other nodes when an epoch takes over from the one before, what is backed by memory
/// before they come (milliseconds; a step boundary with more pages in use waits for the rest).
inline constexpr std::size_t kv_populate_bytes_max = 32u << 20;

class EpochShard {
 public:
  /// Checks what can be checked without the model: this node takes part, one key per participant, the profile.
  static Result<std::unique_ptr<EpochShard>> create(const ExecutorParts& parts, EpochPlan plan, const EpochKeys& keys);

  /// Opens the checkpoint (or takes `open_already`, when it has the plan's content id), checks the plan against it,
  /// maps the shard's slices, reserves its pages, and connects the mesh until `deadline`. Called once. The bytes of the
  /// slices are compared with their checksums in the background, or, where the plan says so, before it returns: a
  /// mismatch is told to events.damaged() and breaks the mesh.
  Result<void> prepare(std::shared_ptr<OpenCheckpoint> open_already, ComputeContext context, TimePoint deadline);

  /// Any thread: whoever waits in the mesh wakes with an error. `retired`: on the coordinator's word, so nobody is
  /// told.
  void abort(const std::string& reason, bool retired);
  bool retired() const { return retired_.load(std::memory_order_acquire); }
  /// Nobody needs to know of these weights any more. Any thread.
  void stop_check();

  const EpochPlan& plan() const { return plan_; }
  Epoch epoch() const { return plan_.epoch; }
  ParticipantIndex self() const { return self_; }
  bool donor() const { return self_.value >= plan_.ranks(); }
  bool root() const { return self_.value == plan_.root(); }
  ParticipantIndex root_participant() const { return {plan_.root()}; }
  Mesh& mesh() { return *mesh_; }

  // After prepare().
  const std::shared_ptr<OpenCheckpoint>& open() const { return open_; }
  const Checkpoint& checkpoint() const { return *open_->checkpoint; }
  const ModelShape& shape() const { return checkpoint().manifest().shape; }
  /// The mismatch that was found in its weights: nothing that was computed since then may leave this node.
  std::optional<Error> damage() const { return check_ ? check_->failure() : std::nullopt; }
  /// Null for a donor.
  ModelShard* shard() { return shard_.get(); }
  std::uint64_t weight_bytes() const { return weight_bytes_; }
  std::uint64_t kv_page_bytes() const { return kv_page_bytes_; }  ///< of one page in all layers and heads here
  CommandLimits command_limits() const;

 private:
  EpochShard(const ExecutorParts& parts, EpochPlan plan, ParticipantIndex self, const EpochKeys& keys);
  Result<void> open_checkpoint(std::shared_ptr<OpenCheckpoint> open_already);
  Result<void> make_shard(ComputeContext context);
  Result<void> populate_arriving();
  Result<void> check_weights(const ShardAssignment& assignment);
  void report_damage(const Error& error);

  const ExecutorParts& parts_;
  EpochPlan plan_;
  ParticipantIndex self_;
  std::atomic<bool> retired_{false};
  std::unique_ptr<Mesh> mesh_;
  std::shared_ptr<OpenCheckpoint> open_;
  std::unique_ptr<NetworkCollective> collective_;
  std::unique_ptr<NetworkStageLink> stage_link_;
  std::unique_ptr<ModelShard> shard_;
  std::uint64_t weight_bytes_ = 0;
  std::uint64_t kv_page_bytes_ = 0;
  std::mutex check_mutex_;  ///< guards check_ as it is made, against stop_check()
  bool check_stopped_ = false;
  std::unique_ptr<WeightCheck> check_;  ///< last: it reports to the members above
};

}  // namespace tessera
