// LocalReplica: a whole model in this process, as one shard or as several that exchange partial sums. The bits are the
// same either way.
//
//   TESSERA_TRY(auto replica, LocalReplica::create(checkpoint, {.shards = 3, .threads = 2, .kv_positions = 512}));
//   TESSERA_CHECK(replica->forward(step, logits));
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/abi/kernel_abi.h"
#include "runtime/base/result.hpp"
#include "runtime/model/kv_cache.hpp"
#include "runtime/model/shard_weights.hpp"
#include "runtime/model/step.hpp"

namespace tessera {

struct ReplicaOptions {
  std::uint32_t shards = 1;
  std::vector<double> shard_weights;  ///< uneven shares, one per shard; empty: even
  std::uint32_t threads = 1;          ///< in all; every shard gets at least one
  const tessera_op_table* ops = nullptr;
  std::uint32_t kv_positions = 0;   ///< token positions that all sequences together may occupy (rounded up to pages)
  std::uint32_t sequences_max = 1;  ///< each may leave its last page partly empty
};

/// Owned and called by one thread, which runs rank 0; the other ranks have a thread each.
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

  /// One step on all shards; `logits` as in LlamaShard::run. After an error the replica is broken: later calls fail
  /// too.
  Result<void> forward(const Step& step, std::span<float> logits);

 private:
  struct State;
  explicit LocalReplica(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera
