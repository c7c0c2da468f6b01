// LocalReplica: a whole model in this process, as one shard or as several that exchange partial sums, in one or more
// pipeline stages. The bits are the same either way.
//
//   TESSERA_TRY(auto replica, LocalReplica::create(checkpoint, {.shards = 3, .threads = 2, .kv_positions = 512}));
//   TESSERA_CHECK(replica->forward(step, logits));
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/abi/device_abi.h"
#include "kernels/abi/kernel_abi.h"
#include "runtime/base/result.hpp"
#include "runtime/model/kv_cache.hpp"
#include "runtime/model/local_collective.hpp"
#include "runtime/model/model_shard.hpp"
#include "runtime/model/shard_weights.hpp"
#include "runtime/model/step.hpp"

namespace tessera {

/// One pipeline stage: how many layers it has, and how their slices are dealt.
struct StageOptions {
  std::uint32_t layers = 0;
  std::uint32_t shards = 1;
  std::vector<double> shard_weights = {};  ///< uneven shares, one per shard; empty: even
};

struct ReplicaOptions {
  std::uint32_t shards = 1;
  std::vector<double> shard_weights;  ///< uneven shares, one per shard; empty: even
  /// Several stages, together all layers of the model; empty: one stage as above.
  std::vector<StageOptions> stages = {};
  std::uint32_t threads = 1;  ///< in all; every shard gets at least one
  const tessera_op_table* ops = nullptr;
  std::uint32_t kv_positions = 0;   ///< token positions that all sequences together may occupy (rounded up to pages)
  std::uint32_t sequences_max = 1;  ///< each may leave its last page partly empty
  /// Not null: the model runs on GPU `device` instead, as one shard (device_model.hpp says which models can).
  const tessera_device_table* gpu = nullptr;
  std::uint32_t device = 0;
  /// Partial sums of at least so many bytes are exchanged by token rows.
  std::uint64_t scatter_bytes_min = local_scatter_bytes_min;
};

/// Owned and called by one thread, which drives the GPU or runs the root (rank 0 of the last stage); the other shards
/// have a thread each.
class LocalReplica {
 public:
  static Result<std::unique_ptr<LocalReplica>> create(std::shared_ptr<const Checkpoint> checkpoint,
                                                      const ReplicaOptions& options);
  ~LocalReplica();
  LocalReplica(const LocalReplica&) = delete;
  LocalReplica& operator=(const LocalReplica&) = delete;

  const Manifest& manifest() const;
  const tessera_op_table& ops() const;
  PageAllocator& pages();
  std::uint32_t shards() const;
  /// Stage by stage, in rank order. For looking at, and for KV pages between steps. None on a GPU.
  ModelShard& shard(std::uint32_t index);

  /// One step on all shards; `logits` and `sink` as at the root in ModelShard::run. After an error the replica is
  /// broken: later calls fail too. A GPU gives no hidden states: `unsupported`.
  Result<void> forward(const Step& step, std::span<float> logits);
  Result<void> forward(const Step& step, StepSink& sink);

 private:
  struct State;
  static Result<std::unique_ptr<LocalReplica>> create_on_gpu(std::shared_ptr<const Checkpoint> checkpoint,
                                                             const ReplicaOptions& options);
  Result<void> forward_on_gpu(const Step& step, std::span<float> logits);
  template <typename Out>
  Result<void> forward_to(const Step& step, Out&& out);
  explicit LocalReplica(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera
