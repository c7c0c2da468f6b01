// GPT-2 and GPT-NeoX (Pythia): LayerNorm, biases everywhere, GELU without a gate. GPT-2 learns its positions and stores
// its matrices transposed; GPT-NeoX rotates a part of each head and adds attention and FFN of the same x.
#include "runtime/base/decimal.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

// GPT-2's Conv1D keeps [in, out].

HfPart transposed(const ModelShape&, const NamedMatrix& matrix) {
  HfPart part;
  part.shape = {matrix.size.columns, matrix.size.rows};
  part.transposed = true;
  return part;
}

/// A third of c_attn: its matrix, or its bias.
template <std::uint32_t Third>
HfPart third(const ModelShape& shape, const NamedMatrix& matrix) {
  HfPart part;
  if (!matrix.is_vector) part.shape.push_back(shape.dim);
  part.shape.push_back(3 * std::uint64_t{shape.dim});
  part.transposed = !matrix.is_vector;
  part.first = Third * shape.dim;
  return part;
}

constexpr HfRule gpt2_rules[] = {
    {"embedding", "{P}wte.weight"},
    {"positions", "{P}wpe.weight"},
    {"final_norm", "{P}ln_f.weight"},
    {"final_norm_bias", "{P}ln_f.bias"},
    {"head", "lm_head.weight"},
    {"attn_norm", "{P}h.{L}.ln_1.weight"},
    {"attn_norm_bias", "{P}h.{L}.ln_1.bias"},
    {"attn_q", "{P}h.{L}.attn.c_attn.weight", third<0>},
    {"attn_k", "{P}h.{L}.attn.c_attn.weight", third<1>},
    {"attn_v", "{P}h.{L}.attn.c_attn.weight", third<2>},
    {"attn_q_bias", "{P}h.{L}.attn.c_attn.bias", third<0>},
    {"attn_k_bias", "{P}h.{L}.attn.c_attn.bias", third<1>},
    {"attn_v_bias", "{P}h.{L}.attn.c_attn.bias", third<2>},
    {"attn_out", "{P}h.{L}.attn.c_proj.weight", transposed},
    {"attn_out_bias", "{P}h.{L}.attn.c_proj.bias"},
    {"ffn_norm", "{P}h.{L}.ln_2.weight"},
    {"ffn_norm_bias", "{P}h.{L}.ln_2.bias"},
    {"ffn_up", "{P}h.{L}.mlp.c_fc.weight", transposed},
    {"ffn_up_bias", "{P}h.{L}.mlp.c_fc.bias"},
    {"ffn_down", "{P}h.{L}.mlp.c_proj.weight", transposed},
    {"ffn_down_bias", "{P}h.{L}.mlp.c_proj.bias"},
};

/// LayerNorm, biases and no gate.
void set_gpt_plan(BlockPlan& plan) {
  plan.norm = NormKind::layer;
  plan.gated_ffn = false;
  plan.attn_in_bias = plan.attn_out_bias = plan.ffn_bias = true;
}

Result<HfModel> read_gpt2(const ConfigReader& config) {
  HfModel model;
  ModelShape& shape = model.shape;
  TESSERA_TRY(shape.dim, config.required_count("n_embd"));
  TESSERA_TRY(shape.layers, config.required_count("n_layer"));
  TESSERA_TRY(shape.heads, config.required_count("n_head"));
  TESSERA_TRY(shape.vocab_size, config.required_count("vocab_size"));
  TESSERA_TRY(shape.context_length, config.required_count("n_positions"));
  TESSERA_TRY(shape.ffn_dim, config.count_or("n_inner", shape.dim <= limits::model_dim_max ? 4 * shape.dim : 0));
  TESSERA_CHECK(share_width(config, shape));
  TESSERA_TRY(const double norm_eps, config.number_or("layer_norm_epsilon", 1e-5));
  shape.norm_eps = static_cast<float>(norm_eps);
  TESSERA_TRY(shape.tied_head, config.flag_or("tie_word_embeddings", true));
  set_gpt_plan(shape.plan);
  shape.plan.positions = PositionKind::learned;
  TESSERA_TRY(shape.plan.activation, read_activation(config, "activation_function", "gelu_new"));
  TESSERA_TRY(const bool scaled, config.flag_or("scale_attn_weights", true));
  if (!scaled) return config.unsupported("scale_attn_weights", "false", "true");
  TESSERA_CHECK(config.require_off("scale_attn_by_inverse_layer_idx"));
  TESSERA_CHECK(config.require_off("add_cross_attention"));
  return model;
}

/// One of the three parts that follow each other in every head of query_key_value.
template <std::uint32_t Part>
HfPart of_each_head(const ModelShape& shape, const NamedMatrix& matrix) {
  HfPart part;
  part.shape.push_back(3 * std::uint64_t{shape.attention_width()});
  if (!matrix.is_vector) part.shape.push_back(matrix.size.columns);
  part.first = Part * shape.head_dim;
  part.block = shape.head_dim;
  part.stride = 3 * shape.head_dim;
  return part;
}

constexpr HfRule gpt_neox_rules[] = {
    {"embedding", "{P}embed_in.weight"},
    {"final_norm", "{P}final_layer_norm.weight"},
    {"final_norm_bias", "{P}final_layer_norm.bias"},
    {"head", "embed_out.weight"},
    {"attn_norm", "{P}layers.{L}.input_layernorm.weight"},
    {"attn_norm_bias", "{P}layers.{L}.input_layernorm.bias"},
    {"attn_q", "{P}layers.{L}.attention.query_key_value.weight", of_each_head<0>},
    {"attn_k", "{P}layers.{L}.attention.query_key_value.weight", of_each_head<1>},
    {"attn_v", "{P}layers.{L}.attention.query_key_value.weight", of_each_head<2>},
    {"attn_q_bias", "{P}layers.{L}.attention.query_key_value.bias", of_each_head<0>},
    {"attn_k_bias", "{P}layers.{L}.attention.query_key_value.bias", of_each_head<1>},
    {"attn_v_bias", "{P}layers.{L}.attention.query_key_value.bias", of_each_head<2>},
    {"attn_out", "{P}layers.{L}.attention.dense.weight"},
    {"attn_out_bias", "{P}layers.{L}.attention.dense.bias"},
    {"ffn_norm", "{P}layers.{L}.post_attention_layernorm.weight"},
    {"ffn_norm_bias", "{P}layers.{L}.post_attention_layernorm.bias"},
    {"ffn_up", "{P}layers.{L}.mlp.dense_h_to_4h.weight"},
    {"ffn_up_bias", "{P}layers.{L}.mlp.dense_h_to_4h.bias"},
    {"ffn_down", "{P}layers.{L}.mlp.dense_4h_to_h.weight"},
    {"ffn_down_bias", "{P}layers.{L}.mlp.dense_4h_to_h.bias"},
};

Result<HfModel> read_gpt_neox(const ConfigReader& config) {
  HfModel model;
  ModelShape& shape = model.shape;
  TESSERA_TRY(shape.dim, config.required_count("hidden_size"));
  TESSERA_TRY(shape.layers, config.required_count("num_hidden_layers"));
  TESSERA_TRY(shape.heads, config.required_count("num_attention_heads"));
  TESSERA_TRY(shape.ffn_dim, config.required_count("intermediate_size"));
  TESSERA_TRY(shape.vocab_size, config.required_count("vocab_size"));
  TESSERA_TRY(shape.context_length, config.required_count("max_position_embeddings"));
  TESSERA_CHECK(share_width(config, shape));
  TESSERA_TRY(const double norm_eps, config.number_or("layer_norm_eps", 1e-5));
  shape.norm_eps = static_cast<float>(norm_eps);
  TESSERA_TRY(shape.tied_head, config.flag_or("tie_word_embeddings", false));
  BlockPlan& plan = shape.plan;
  set_gpt_plan(plan);
  TESSERA_TRY(plan.attn_in_bias, config.flag_or("attention_bias", true));
  plan.attn_out_bias = plan.attn_in_bias;
  TESSERA_TRY(plan.activation, read_activation(config, "hidden_act", "gelu"));
  TESSERA_TRY(plan.parallel_residual, config.flag_or("use_parallel_residual", true));
  TESSERA_TRY(const double rotated, config.number_or("rotary_pct", 0.25));
  const auto dims = rotated > 0 && rotated <= 1 ? static_cast<std::uint32_t>(shape.head_dim * rotated) : 0;
  if (dims == 0) {
    return Error{ErrorCode::corrupt, config.where() + ": rotary_pct is " + std::to_string(rotated) +
                                         ", but should be the rotated part of a head"};
  }
  if (dims != shape.head_dim) plan.rope_dims = dims;
  TESSERA_TRY(const double theta, config.number_or("rotary_emb_base", 10000));
  TESSERA_CHECK(read_llama_rope(config, theta, model));
  return model;
}

void write_gpt2(const HfModel& model, nlohmann::json& config) {
  const ModelShape& shape = model.shape;
  config["n_embd"] = shape.dim;
  config["n_layer"] = shape.layers;
  config["n_head"] = shape.heads;
  config["n_inner"] = shape.ffn_dim;
  config["n_positions"] = shape.context_length;
  config["n_ctx"] = shape.context_length;
  config["vocab_size"] = shape.vocab_size;
  config["layer_norm_epsilon"] = decimal_of(shape.norm_eps);
  config["activation_function"] = gelu_name(shape.plan.activation, "gelu_new");
  config["tie_word_embeddings"] = shape.tied_head;
}

void write_gpt_neox(const HfModel& model, nlohmann::json& config) {
  const ModelShape& shape = model.shape;
  write_sizes(shape, config);
  config["layer_norm_eps"] = decimal_of(shape.norm_eps);
  config["hidden_act"] = gelu_name(shape.plan.activation, "gelu_new");
  config["attention_bias"] = shape.plan.attn_in_bias;
  config["use_parallel_residual"] = shape.plan.parallel_residual;
  config["rotary_pct"] = rotated_part(shape.rope_width(), shape.head_dim);
  write_rope(model, config);
  config["rotary_emb_base"] = shape.rope_theta;
}

}  // namespace

HfFamily gpt2_family() {
  return {"gpt2",
          "GPT2LMHeadModel",
          read_gpt2,
          write_gpt2,
          {gpt2_rules},
          {"transformer.", ""},
          {".attn.bias", ".attn.masked_bias"}};
}
HfFamily gpt_neox_family() {
  return {"gpt_neox",
          "GPTNeoXForCausalLM",
          read_gpt_neox,
          write_gpt_neox,
          {gpt_neox_rules},
          {"gpt_neox."},
          {".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"}};
}

}  // namespace tessera
