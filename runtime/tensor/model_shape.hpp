// ModelShape: the hyperparameters of a model. A value; validated once where it enters (importer, manifest).
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/limits.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/block_plan.hpp"

namespace tessera {

struct ModelShape {
  /// A label for people. "llama" is the plain plan and no other, so that builds that know no plans refuse the others.
  std::string family = "llama";
  std::uint32_t dim = 0;  ///< width of the residual stream
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;     ///< query heads
  std::uint32_t kv_heads = 0;  ///< divides heads
  std::uint32_t head_dim = 0;  ///< even; heads * head_dim need not equal dim
  std::uint32_t ffn_dim = 0;   ///< columns of the down projection, of one expert where there are several
  std::uint32_t vocab_size = 0;
  std::uint32_t context_length = 0;  ///< positions that the model was made for
  float norm_eps = 1e-5f;
  double rope_theta = 10000.0;
  bool tied_head = false;  ///< the LM head is the embedding
  BlockPlan plan;

  bool operator==(const ModelShape&) const = default;

  std::uint32_t attention_width() const { return heads * head_dim; }
  std::uint32_t queries_per_kv_head() const { return heads / kv_heads; }
  /// Elements of a head that are rotated in pairs; 0: none.
  std::uint32_t rope_width() const {
    if (plan.positions != PositionKind::rotary) return 0;
    return plan.rope_dims != 0 ? plan.rope_dims : head_dim;
  }
};

/// Everything within limits.hpp and consistent (kv_heads divides heads, head_dim even, nothing zero, eps and theta
/// finite and positive, a plan that can be carried out); the error names the field. `where` names the file for the
/// message.
Result<void> validate(const ModelShape& shape, const std::string& where);

/// Rows that one step of a model may have.
constexpr std::uint32_t step_rows_max(const ModelShape& shape) {
  return shape.plan.bidirectional ? limits::sequence_rows_max : limits::step_rows_max;
}

/// Errors: unsupported, for a model without a head, which gives vectors and no text.
Result<void> require_head(const ModelShape& shape);

}  // namespace tessera
