// Phi-3 and Phi-4-mini: Llama's blocks with fused matrices, a window in every layer, longrope, and sometimes a part of
// each head that is not rotated.
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

/// Rows from `first` on of a matrix of `rows` rows.
HfPart rows_from(std::uint32_t first, std::uint32_t rows, const NamedMatrix& matrix) {
  HfPart part;
  part.shape = {rows, matrix.size.columns};
  part.first = first;
  return part;
}

std::uint32_t kv_width(const ModelShape& shape) { return shape.kv_heads * shape.head_dim; }
std::uint32_t qkv_rows(const ModelShape& shape) { return shape.attention_width() + 2 * kv_width(shape); }

constexpr HfRule fused_rules[] = {
    {"attn_q", "{P}layers.{L}.self_attn.qkv_proj.weight",
     [](const ModelShape& shape, const NamedMatrix& matrix) { return rows_from(0, qkv_rows(shape), matrix); }},
    {"attn_k", "{P}layers.{L}.self_attn.qkv_proj.weight",
     [](const ModelShape& shape, const NamedMatrix& matrix) {
       return rows_from(shape.attention_width(), qkv_rows(shape), matrix);
     }},
    {"attn_v", "{P}layers.{L}.self_attn.qkv_proj.weight",
     [](const ModelShape& shape, const NamedMatrix& matrix) {
       return rows_from(shape.attention_width() + kv_width(shape), qkv_rows(shape), matrix);
     }},
    {"ffn_gate", "{P}layers.{L}.mlp.gate_up_proj.weight",
     [](const ModelShape& shape, const NamedMatrix& matrix) { return rows_from(0, 2 * shape.ffn_dim, matrix); }},
    {"ffn_up", "{P}layers.{L}.mlp.gate_up_proj.weight",
     [](const ModelShape& shape, const NamedMatrix& matrix) {
       return rows_from(shape.ffn_dim, 2 * shape.ffn_dim, matrix);
     }},
};

Result<HfModel> read_phi3(const ConfigReader& config) {
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  TESSERA_CHECK(config.require_off("attention_bias"));
  LlamaDefaults defaults;
  defaults.norm_eps = 1e-5;
  ModelShape& shape = model.shape;
  TESSERA_TRY(shape, read_llama_shape(config, defaults));
  TESSERA_TRY(const double rotated, config.number_or("partial_rotary_factor", 1.0));
  if (!(rotated > 0 && rotated <= 1)) {
    return config.wrong("partial_rotary_factor", *config.find("partial_rotary_factor"), "more than 0 and at most 1");
  }
  if (rotated != 1) shape.plan.rope_dims = static_cast<std::uint32_t>(shape.head_dim * rotated);
  if (config.find("sliding_window")) {
    TESSERA_TRY(const std::uint32_t positions, config.count_or("sliding_window", 0));
    TESSERA_CHECK(read_windows(config, positions, every_layer, 0, shape));
  }
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

void write_phi3(const HfModel& model, nlohmann::json& config) {
  const ModelShape& shape = model.shape;
  write_llama_fields(model, config);
  write_windows(shape, config);
  config["partial_rotary_factor"] = rotated_part(shape.rope_width(), shape.head_dim);
  config["original_max_position_embeddings"] = shape.context_length;
}

}  // namespace

HfFamily phi3_family() { return {"phi3", "Phi3ForCausalLM", read_phi3, write_phi3, {llama_rules(), fused_rules}}; }

}  // namespace tessera
