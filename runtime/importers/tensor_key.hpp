// TensorKey: the parts of the name of one of our tensors, for tables that say what it is called in a foreign format.
//
//   TensorKey("layers.3.experts.7.ffn_up")      kind "experts.ffn_up", layer "3", expert "7"
//   fill_name("{P}h.{L}.w1.{E}", "x.", key)     "x.h.3.w1.7"
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

struct TensorKey {
  std::string kind;           ///< "embedding", "attn_q"; of experts "experts.ffn_up"
  std::string layer, expert;  ///< digits; empty: not of one

  /// `name` is one of model_tensors().
  explicit TensorKey(const std::string& name);

  std::uint32_t expert_number() const { return expert.empty() ? 0 : static_cast<std::uint32_t>(std::stoul(expert)); }
};

/// A pattern of a table with {P}, {L} and {E} replaced by prefix, layer and expert.
std::string fill_name(std::string_view pattern, std::string_view prefix, const TensorKey& key);

}  // namespace tessera
