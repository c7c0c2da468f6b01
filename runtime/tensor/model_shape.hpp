// ModelShape: the hyperparameters of a Llama-architecture model. A value; validated once where it enters (importer,
// manifest).
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/result.hpp"

namespace tessera {

struct ModelShape {
  std::string family = "llama";
  std::uint32_t dim = 0;  ///< width of the residual stream
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;     ///< query heads
  std::uint32_t kv_heads = 0;  ///< divides heads
  std::uint32_t head_dim = 0;  ///< even; heads * head_dim need not equal dim
  std::uint32_t ffn_dim = 0;   ///< columns of the down projection
  std::uint32_t vocab_size = 0;
  std::uint32_t context_length = 0;  ///< positions that the model was made for
  float norm_eps = 1e-5f;
  double rope_theta = 10000.0;
  bool tied_head = false;  ///< the LM head is the embedding

  bool operator==(const ModelShape&) const = default;

  std::uint32_t attention_width() const { return heads * head_dim; }
  std::uint32_t queries_per_kv_head() const { return heads / kv_heads; }
};

/// Everything within limits.hpp and consistent (kv_heads divides heads, head_dim even, nothing zero, eps and theta
/// finite and positive); the error names the field. `where` names the file for the message.
Result<void> validate(const ModelShape& shape, const std::string& where);

}  // namespace tessera
