// ShardWeights: the mapped tensors that one shard reads. Only the units of its slices are mapped, so nothing else can
// be touched.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/tensor/shard_assignment.hpp"

namespace tessera {

struct ExpertWeights {
  MappedTensor gate, up, down;
};

struct LayerWeights {
  std::array<MappedTensor, layer_tensor_count> tensors;
  std::vector<ExpertWeights> experts;

  const MappedTensor& operator[](LayerTensor tensor) const { return tensors[static_cast<std::size_t>(tensor)]; }
  bool failed() const;
};

/// Immutable after load; any thread may read. Tensors of which the shard has no unit stay empty.
struct ShardWeights {
  MappedTensor embedding;                            ///< what embedding_units() says
  MappedTensor positions;                            ///< of models with learned positions, in the first stage
  MappedTensor embedding_norm, embedding_norm_bias;  ///< of models that have them, in the first stage
  std::vector<LayerWeights> layers;                  ///< of the shard's run, its first layer first
  MappedTensor final_norm, final_norm_bias;
  MappedTensor head;  ///< the shard's vocabulary slices; empty when tied: then the embedding is the head

  const MappedTensor& head_or_embedding() const { return head.bytes() == 0 ? embedding : head; }
  /// Bytes mapped in all.
  std::size_t bytes() const;
  /// True once a page of any of them could not be read (mapped_range.hpp): results since then are worthless.
  bool failed() const;
};

/// A run of units of one tensor.
struct TensorUnits {
  std::string tensor;
  SliceRange units;
};
/// What map_shard_weights maps for an assignment; no empty runs.
std::vector<TensorUnits> shard_units(const Manifest& manifest, const ShardAssignment& assignment);

/// Maps what the assignment (validated) needs. Touches no page of a matrix.
Result<ShardWeights> map_shard_weights(const Checkpoint& checkpoint, const ShardAssignment& assignment);
/// The same for all layers, embedding and head included.
Result<ShardWeights> map_shard_weights(const Checkpoint& checkpoint, const ShardSlices& slices);

}  // namespace tessera
