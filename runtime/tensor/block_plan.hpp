// BlockPlan: of which blocks the layers of a model are made. Data, not code: a family (Llama, Qwen, Gemma, …) is a plan
// and the names of its tensors (runtime/importers/family_*.cpp); the runtime knows plans and no families.
//
//   x = embedding[token] * embedding_scale (+ positions[position]);  x = embedding_norm(x)
//   per layer:
//     n = norm(x);  q, k, v = W·n (+ bias);  q, k = rms_norm per head(q, k);  rope;  a = attention(window, soft cap)
//     d = W_out·a (+ bias);  d = post_norm(d);  x = x + d
//     n = norm(x);  h = activation(W_gate·n) * (W_up·n), or activation(W_up·n), or of the chosen experts
//     d = W_down·h (+ bias);  d = post_norm(d);  x = x + d
//   hidden states = norm(x);  logits = soft cap(W_head·hidden states)
//
// Where sums are normed (BERT), norms stand elsewhere: n = x and x = norm(x + d), and the hidden states are x.
//
// The default is Llama. Checkpoints store only what differs from it, so a field that is added later changes nothing for
// models that do not use it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

enum class NormKind : std::uint8_t {
  rms,   ///< RMSNorm with weights
  layer  ///< LayerNorm with weights and biases
};
enum class Activation : std::uint8_t { silu, gelu_tanh, gelu_erf };
enum class PositionKind : std::uint8_t {
  rotary,  ///< RoPE
  learned  ///< a vector per position, added to the embedding
};

struct BlockPlan {
  NormKind norm = NormKind::rms;
  Activation activation = Activation::silu;
  PositionKind positions = PositionKind::rotary;
  bool gated_ffn = true;           ///< activation(gate) * up; otherwise activation(up)
  bool attn_in_bias = false;       ///< biases of Q, K and V
  bool attn_out_bias = false;      ///< of the attention's output
  bool ffn_bias = false;           ///< of every FFN matrix
  bool qk_norm = false;            ///< RMSNorm of each query and key, with weights [head_dim]
  bool post_norms = false;         ///< RMSNorm of what attention and FFN give, before it is added to x
  bool parallel_residual = false;  ///< the FFN reads the x that attention read
  bool sum_norms = false;          ///< x = norm(x + d) in place of norms before attention, FFN and head
  bool embedding_norm = false;     ///< the norm of the embedding
  bool bidirectional = false;      ///< a token sees its whole sequence, which one step takes whole: an encoder
  bool head = true;                ///< logits; without them a model gives hidden states and no text
  std::uint32_t rope_dims = 0;     ///< leading elements of a head that are rotated; 0: all
  double rope_magnitude = 1;       ///< factor of cos and sin (YaRN's attention factor)
  bool local_rope = false;         ///< windowed layers have frequencies of their own
  std::uint32_t window = 0;        ///< positions that a query sees in windowed layers, its own included; 0: all
  std::string windowed_layers;     ///< a '0' or '1' per layer; empty: all layers where there is a window
  std::string rotated_layers;      ///< a '0' or '1' per layer; empty: all
  float attention_scalar = 0;      ///< scores are scaled by 1 / sqrt of it; 0: of head_dim
  float attention_soft_cap = 0;    ///< 0: none
  float logits_soft_cap = 0;       ///< 0: none
  float embedding_scale = 1;
  std::uint32_t experts = 0;        ///< feed-forward networks per layer, between which a router chooses; 0: one, always
  std::uint32_t experts_used = 0;   ///< per token
  bool experts_normalised = false;  ///< the weights of the chosen ones are made to sum to 1
  std::string dense_layers;         ///< of models with experts: a '1' for each layer that has one network; empty: none
  std::uint32_t dense_ffn_dim = 0;  ///< columns of the down projection there

  bool operator==(const BlockPlan&) const = default;

  bool is_windowed(std::uint32_t layer) const {
    return window != 0 && (windowed_layers.empty() || windowed_layers[layer] == '1');
  }
  bool is_rotated(std::uint32_t layer) const {
    return positions == PositionKind::rotary && (rotated_layers.empty() || rotated_layers[layer] == '1');
  }
  /// Whether a router chooses between networks there.
  bool has_experts(std::uint32_t layer) const {
    return experts != 0 && (dense_layers.empty() || dense_layers[layer] == '0');
  }
  /// Whether what attention (FFN) gives is changed before it is added to the residual stream.
  bool changes_attention_output() const { return attn_out_bias || post_norms || sum_norms; }
  bool changes_ffn_output() const { return (ffn_bias && experts == 0) || post_norms || sum_norms; }
};

/// Of names that checkpoints store: "layer", "gelu_tanh", "learned".
const char* to_string(NormKind kind);
const char* to_string(Activation activation);
const char* to_string(PositionKind kind);
std::optional<NormKind> parse_norm_kind(std::string_view name);
std::optional<Activation> parse_activation(std::string_view name);
std::optional<PositionKind> parse_position_kind(std::string_view name);

/// Everything consistent for a model of so many layers and elements per head; the error names the field. `where` names
/// the file.
Result<void> validate(const BlockPlan& plan, std::uint32_t layers, std::uint32_t head_dim, const std::string& where);

}  // namespace tessera
