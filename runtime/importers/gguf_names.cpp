#include "runtime/importers/gguf_names.hpp"

#include <algorithm>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/tensor_key.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

namespace {

/// How ours lies in theirs.
enum class Form : std::uint8_t {
  whole,
  q_of_qkv,  ///< rows of Q, then K, then V
  k_of_qkv,
  v_of_qkv,
  first_half,   ///< of the rows
  second_half,  ///< the other
  expert,       ///< a tensor of three dimensions, experts outermost
  expert_first_half,
  expert_second_half
};

struct GgufRule {
  std::string_view ours, theirs;
  Form form = Form::whole;
};

/// Of several lines for one tensor the first is the usual one.
constexpr GgufRule rules[] = {
    {"embedding", "token_embd.weight"},
    {"positions", "position_embd.weight"},
    {"final_norm", "output_norm.weight"},
    {"final_norm_bias", "output_norm.bias"},
    {"head", "output.weight"},
    {"attn_norm", "blk.{L}.attn_norm.weight"},
    {"attn_norm_bias", "blk.{L}.attn_norm.bias"},
    {"attn_q", "blk.{L}.attn_q.weight"},
    {"attn_q", "blk.{L}.attn_qkv.weight", Form::q_of_qkv},
    {"attn_k", "blk.{L}.attn_k.weight"},
    {"attn_k", "blk.{L}.attn_qkv.weight", Form::k_of_qkv},
    {"attn_v", "blk.{L}.attn_v.weight"},
    {"attn_v", "blk.{L}.attn_qkv.weight", Form::v_of_qkv},
    {"attn_q_bias", "blk.{L}.attn_q.bias"},
    {"attn_q_bias", "blk.{L}.attn_qkv.bias", Form::q_of_qkv},
    {"attn_k_bias", "blk.{L}.attn_k.bias"},
    {"attn_k_bias", "blk.{L}.attn_qkv.bias", Form::k_of_qkv},
    {"attn_v_bias", "blk.{L}.attn_v.bias"},
    {"attn_v_bias", "blk.{L}.attn_qkv.bias", Form::v_of_qkv},
    {"attn_q_norm", "blk.{L}.attn_q_norm.weight"},
    {"attn_k_norm", "blk.{L}.attn_k_norm.weight"},
    {"attn_out", "blk.{L}.attn_output.weight"},
    {"attn_out_bias", "blk.{L}.attn_output.bias"},
    {"attn_post_norm", "blk.{L}.post_attention_norm.weight"},
    {"ffn_norm", "blk.{L}.ffn_norm.weight"},
    {"ffn_norm_bias", "blk.{L}.ffn_norm.bias"},
    {"ffn_gate", "blk.{L}.ffn_gate.weight"},
    {"ffn_gate", "blk.{L}.ffn_up.weight", Form::first_half},
    {"ffn_gate_bias", "blk.{L}.ffn_gate.bias"},
    {"ffn_up", "blk.{L}.ffn_up.weight"},
    {"ffn_up", "blk.{L}.ffn_up.weight", Form::second_half},
    {"ffn_up_bias", "blk.{L}.ffn_up.bias"},
    {"ffn_down", "blk.{L}.ffn_down.weight"},
    {"ffn_down_bias", "blk.{L}.ffn_down.bias"},
    {"ffn_post_norm", "blk.{L}.post_ffw_norm.weight"},
    {"router", "blk.{L}.ffn_gate_inp.weight"},
    {"experts.ffn_gate", "blk.{L}.ffn_gate_exps.weight", Form::expert},
    {"experts.ffn_gate", "blk.{L}.ffn_gate_up_exps.weight", Form::expert_first_half},
    {"experts.ffn_gate", "blk.{L}.ffn_gate.{E}.weight"},
    {"experts.ffn_up", "blk.{L}.ffn_up_exps.weight", Form::expert},
    {"experts.ffn_up", "blk.{L}.ffn_gate_up_exps.weight", Form::expert_second_half},
    {"experts.ffn_up", "blk.{L}.ffn_up.{E}.weight"},
    {"experts.ffn_down", "blk.{L}.ffn_down_exps.weight", Form::expert},
    {"experts.ffn_down", "blk.{L}.ffn_down.{E}.weight"},
};

GgufPart part_of(const ModelShape& shape, const NamedMatrix& matrix, const TensorKey& key, const GgufRule& rule) {
  // Of a vector, its elements are what rows are of a matrix.
  const std::uint64_t rows = matrix.is_vector ? matrix.size.columns : matrix.size.rows;
  const std::uint64_t query_rows = shape.attention_width(), kv_rows = std::uint64_t{shape.kv_heads} * shape.head_dim;
  const std::uint64_t experts = shape.plan.experts, expert = key.expert_number();
  const auto made = [&](std::uint64_t their_rows, std::uint64_t first_row, bool is_stacked = false) {
    GgufPart part{fill_name(rule.theirs, {}, key), {}, first_row};
    if (!matrix.is_vector) part.dimensions.push_back(matrix.size.columns);
    part.dimensions.push_back(their_rows);
    if (is_stacked) part.dimensions.push_back(experts);
    return part;
  };
  switch (rule.form) {
    case Form::whole:
      return made(rows, 0);
    case Form::q_of_qkv:
      return made(query_rows + 2 * kv_rows, 0);
    case Form::k_of_qkv:
      return made(query_rows + 2 * kv_rows, query_rows);
    case Form::v_of_qkv:
      return made(query_rows + 2 * kv_rows, query_rows + kv_rows);
    case Form::first_half:
      return made(2 * rows, 0);
    case Form::second_half:
      return made(2 * rows, rows);
    case Form::expert:
      return made(rows, expert * rows, true);
    case Form::expert_first_half:
      return made(2 * rows, expert * 2 * rows, true);
    case Form::expert_second_half:
      return made(2 * rows, expert * 2 * rows + rows, true);
  }
  TESSERA_ENSURE(false);
}

}  // namespace

std::vector<GgufPart> gguf_parts_of(const ModelShape& shape, const NamedMatrix& matrix) {
  const TensorKey key(matrix.name);
  std::vector<GgufPart> parts;
  for (const GgufRule& rule : rules) {
    if (rule.ours == key.kind) parts.push_back(part_of(shape, matrix, key, rule));
  }
  TESSERA_ENSURE(!parts.empty());
  return parts;
}

std::string gguf_name_of(const std::string& name) {
  const TensorKey key(name);
  const GgufRule* const rule =
      std::find_if(std::begin(rules), std::end(rules), [&](const GgufRule& each) { return each.ours == key.kind; });
  TESSERA_ENSURE(rule != std::end(rules));
  return fill_name(rule->theirs, {}, key);
}

std::uint32_t canonical_row_of_gguf(const std::string& name, std::uint32_t row, std::uint32_t head_dim) {
  const std::string_view kind = std::string_view(name).substr(name.rfind('.') + 1);
  if (kind != "attn_q" && kind != "attn_k" && kind != "attn_q_bias" && kind != "attn_k_bias") return row;
  const std::uint32_t inside = row % head_dim;
  return row - inside + inside / 2 + inside % 2 * (head_dim / 2);
}

std::string_view gguf_kind_of(std::string_view name) {
  constexpr std::string_view prefix = "blk.";
  if (!name.starts_with(prefix)) return name;
  const std::size_t dot = name.find('.', prefix.size());
  return dot == name.npos ? name : name.substr(dot + 1);
}

}  // namespace tessera
