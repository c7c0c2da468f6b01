// HfFamily: what a family of models is called in Hugging Face folders, how its config.json reads, and where its tensors
// come from. One small file each (family_*.cpp); hf_families() lists them.
//
//   attn_q of layer 3 of Phi-3  =  the first heads * head_dim rows of model.layers.3.self_attn.qkv_proj.weight
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/config_reader.hpp"
#include "runtime/importers/rope_scaling.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// Where the values of one of our tensors lie in one of theirs.
struct HfPart {
  std::vector<std::uint64_t> shape;  ///< that their tensor must have
  bool transposed = false;           ///< theirs is [columns, rows]
  /// Our row r is their row first + r / block * stride + r % block; block 0: first + r.
  std::uint32_t first = 0, block = 0, stride = 0;
  float added = 0;  ///< to every value
  /// Rows of theirs before the first that no token reads.
  std::uint32_t unread_rows = 0;
  /// Pattern of the name of a tensor [any number][columns] whose first row is added to every row; empty: none.
  std::string_view added_row = {};
};

/// How a tensor of ours is cut out of theirs; `matrix` is ours.
using HfForm = HfPart (*)(const ModelShape& shape, const NamedMatrix& matrix);

/// The same values in the same shape.
HfPart hf_plain(const ModelShape& shape, const NamedMatrix& matrix);
/// Norm weights that are stored less 1.
HfPart hf_plus_one(const ModelShape& shape, const NamedMatrix& matrix);

struct HfRule {
  /// The last part of our name: "embedding", "attn_q", of experts "experts.ffn_up".
  std::string_view ours;
  /// {P}: the family's prefix; {L}: the layer; {E}: the expert.
  std::string_view theirs;
  HfForm form = hf_plain;
};

/// A model as its config.json describes it.
struct HfModel {
  ModelShape shape;
  std::vector<double> rope_frequencies;
  std::vector<double> rope_local_frequencies;
};

/// Immutable.
struct HfFamily {
  std::string_view model_type;
  std::string_view architecture;
  /// Everything but special ids. The shape's label is set by the caller.
  Result<HfModel> (*read)(const ConfigReader& config);
  /// The fields from which `read` makes the model; null: models are not written as of this family.
  void (*write)(const HfModel& model, nlohmann::json& config);
  /// A later list counts before an earlier one.
  std::vector<std::span<const HfRule>> rules;
  /// Of tensor names; the first for which the embedding is there.
  std::vector<std::string_view> prefixes = {"model."};
  /// Ends of names of tensors that no computation reads.
  std::vector<std::string_view> ignored = {".rotary_emb.inv_freq"};
  /// Beginnings of names of what is not imported: parts that are not text, heads of encoders.
  std::vector<std::string_view> other_parts = {};
  /// Architectures with the same tensors, besides other_parts.
  std::vector<std::string_view> other_architectures = {};
  /// Ends of names of tensors, and what the same ends were in older files.
  std::vector<std::pair<std::string_view, std::string_view>> older_ends = {};
};

/// The rule for a kind of tensor (TensorKey); null: the family has no such tensor.
const HfRule* find_rule(const HfFamily& family, std::string_view kind);

/// All that can be imported. Any thread.
std::span<const HfFamily> hf_families();

// The families, one file each or a few that are alike.
HfFamily llama_family();
HfFamily mistral_family();
HfFamily smollm3_family();
HfFamily qwen2_family();
HfFamily qwen3_family();
HfFamily qwen3_moe_family();
HfFamily mixtral_family();
HfFamily gemma_family();
HfFamily gemma2_family();
HfFamily gemma3_family();
/// The text model of a Gemma 3 that also takes images.
HfFamily gemma3_images_family();
HfFamily phi3_family();
HfFamily gpt2_family();
HfFamily gpt_neox_family();
HfFamily bert_family();
HfFamily roberta_family();
HfFamily xlm_roberta_family();
HfFamily distilbert_family();

// What families share.

/// Names of Llama's tensors, which most families keep.
std::span<const HfRule> llama_rules();
/// Biases of Q, K, V, of the attention's output, and of the FFN, by Llama's names.
std::span<const HfRule> llama_bias_rules();
/// Norms of queries and keys, by Qwen's names.
std::span<const HfRule> qk_norm_rules();

struct LlamaDefaults {
  bool tied_head = false;
  std::uint32_t head_dim = 0;  ///< 0: hidden_size / heads
  double norm_eps = 1e-6;
  bool needs_kv_heads = false;  ///< num_key_value_heads has another default than the number of heads
  const char* ffn_dim = "intermediate_size";
  // Where config.json may leave them out; 0: it may not.
  std::uint32_t heads = 0, kv_heads = 0, vocab_size = 0, context_length = 0;
};
/// Sizes, norm_eps and the tied head, by Llama's names.
Result<ModelShape> read_llama_shape(const ConfigReader& config, const LlamaDefaults& defaults = {});
/// RoPE and its scaling into model (magnitude and context of longrope included); checks the shape.
Result<void> read_llama_rope(const ConfigReader& config, double theta_default, HfModel& model);
/// hidden_act must be SiLU.
Result<void> require_silu(const ConfigReader& config);
/// Heads that share the width of the model; each has a K and V of its own.
Result<void> share_width(const ConfigReader& config, ModelShape& shape);
/// An activation by Hugging Face's name.
Result<Activation> read_activation(const ConfigReader& config, const char* key, const char* otherwise);
/// A window of `positions` in the layers that layer_types names "sliding_attention", or, without such a list, in those
/// that `is_windowed` says. A window that covers the context does nothing and is left out, unless windowed layers
/// rotate otherwise.
Result<void> read_windows(const ConfigReader& config, std::uint32_t positions,
                          bool (*is_windowed)(std::uint32_t layer, std::uint32_t number), std::uint32_t number,
                          ModelShape& shape);
/// The same where the layers are known: '1' for each that is windowed. `where` names the file.
Result<void> set_windows(std::uint32_t positions, std::string windowed, const std::string& where, ModelShape& shape);
/// All layers.
inline bool every_layer(std::uint32_t, std::uint32_t) { return true; }

}  // namespace tessera
