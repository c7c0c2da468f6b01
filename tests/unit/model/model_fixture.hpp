// Small models and the ways to run them, for the tests of runtime/model.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/model/local_replica.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/sanitizers.hpp"

namespace tessera {

/// For the names of data-driven tests.
inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << to_string(dtype); }

}  // namespace tessera

namespace tessera::test {

/// The awkward shape of the golden model: nine heads of width 8 in groups of three, FFN 172, two vocabulary slices.
ModelShape awkward_shape();

/// The awkward shape with blocks of other families: one plan for each block, and some together.
std::vector<ModelShape> planned_shapes();
/// One of them by its family.
ModelShape planned_shape(const std::string& family);

/// A seeded synthetic model, written to `folder` and opened.
std::shared_ptr<const Checkpoint> make_checkpoint(const TemporaryFolder& folder, const ModelShape& shape, DType dtype,
                                                  std::uint64_t seed = 1);
std::shared_ptr<const Checkpoint> open_checkpoint(const std::string& path);

/// A copy of a checkpoint's file with one flipped bit in a unit of a tensor.
void damage_copy(const Checkpoint& good, const std::string& tensor, std::uint32_t unit, const std::string& path);

/// The instruction sets that a model is run with. Under the sanitizers only the fastest beside the scalar one of
/// `Execution{}`: the kernels' own tests run them all.
inline std::vector<Isa> tried_isas() { return sanitized ? std::vector{available_isas().back()} : available_isas(); }

/// How a forward pass is carried out; none of this may change a bit.
struct Execution {
  Isa isa = Isa::scalar;
  std::uint32_t shards = 1;
  std::vector<double> shard_weights = {};
  std::uint32_t threads = 1;
  std::uint32_t chunk = 1;  ///< rows per step
  std::vector<StageOptions> stages = {};
  std::uint64_t scatter_bytes_min = local_scatter_bytes_min;
};

std::unique_ptr<LocalReplica> make_replica(const std::shared_ptr<const Checkpoint>& checkpoint,
                                           const Execution& execution, std::uint32_t positions,
                                           std::uint32_t sequences = 1);

/// Logits of every position of one sequence, [tokens][vocab].
std::vector<float> all_logits(const std::shared_ptr<const Checkpoint>& checkpoint, const Execution& execution,
                              std::span<const TokenId> tokens);

/// The last hidden states of one sequence, [tokens][dim]. The sequence of an encoder is one step, which another of
/// `chunk` tokens shares.
std::vector<float> all_hidden(const std::shared_ptr<const Checkpoint>& checkpoint, const Execution& execution,
                              std::span<const TokenId> tokens);

/// all_logits, or all_hidden of a model without a head.
std::vector<float> all_outputs(const std::shared_ptr<const Checkpoint>& checkpoint, const Execution& execution,
                               std::span<const TokenId> tokens);

/// Seeded tokens inside the vocabulary.
std::vector<TokenId> random_tokens(std::uint32_t count, std::uint32_t vocab_size, std::uint64_t seed);

/// Bit for bit; NaN compares by its bits too.
bool same_bits(std::span<const float> a, std::span<const float> b);

}  // namespace tessera::test
