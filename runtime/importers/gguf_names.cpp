#include "runtime/importers/gguf_names.hpp"

#include <string_view>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

namespace {

constexpr std::pair<std::string_view, std::string_view> layer_names[] = {
    {"attn_norm", "attn_norm"}, {"attn_q", "attn_q"},        {"attn_k", "attn_k"},
    {"attn_v", "attn_v"},       {"attn_out", "attn_output"}, {"ffn_norm", "ffn_norm"},
    {"ffn_gate", "ffn_gate"},   {"ffn_up", "ffn_up"},        {"ffn_down", "ffn_down"},
};

}  // namespace

std::string gguf_name_of(const std::string& name) {
  if (name == embedding_name) return "token_embd.weight";
  if (name == final_norm_name) return "output_norm.weight";
  if (name == head_name) return "output.weight";
  constexpr std::string_view prefix = "layers.";
  const std::size_t dot = name.rfind('.') + 1;
  for (const auto& [ours, theirs] : layer_names) {
    if (std::string_view(name).substr(dot) == ours) {
      return "blk." + name.substr(prefix.size(), dot - prefix.size()) + std::string(theirs) + ".weight";
    }
  }
  TESSERA_ENSURE(false);
}

std::uint32_t canonical_row_of_gguf(const std::string& name, std::uint32_t row, std::uint32_t head_dim) {
  if (!name.ends_with(".attn_q") && !name.ends_with(".attn_k")) return row;
  const std::uint32_t inside = row % head_dim;
  return row - inside + inside / 2 + inside % 2 * (head_dim / 2);
}

}  // namespace tessera
