// Gemma 1 to 3: a scaled embedding, norm weights stored less 1, GeGLU; from 2 on norms after attention and FFN too, and
// sliding windows in most layers; 2 caps scores and logits; 3 norms queries and keys and rotates windowed layers by
// frequencies of their own.
#include <cmath>

#include "runtime/base/decimal.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

constexpr HfRule norm_rules[] = {
    {"final_norm", "{P}norm.weight", hf_plus_one},
    {"attn_norm", "{P}layers.{L}.input_layernorm.weight", hf_plus_one},
    {"ffn_norm", "{P}layers.{L}.post_attention_layernorm.weight", hf_plus_one},
};

constexpr HfRule post_norm_rules[] = {
    {"attn_post_norm", "{P}layers.{L}.post_attention_layernorm.weight", hf_plus_one},
    {"ffn_norm", "{P}layers.{L}.pre_feedforward_layernorm.weight", hf_plus_one},
    {"ffn_post_norm", "{P}layers.{L}.post_feedforward_layernorm.weight", hf_plus_one},
};

constexpr HfRule head_norm_rules[] = {
    {"attn_q_norm", "{P}layers.{L}.self_attn.q_norm.weight", hf_plus_one},
    {"attn_k_norm", "{P}layers.{L}.self_attn.k_norm.weight", hf_plus_one},
};

Result<HfModel> read_gemma_model(const ConfigReader& config, LlamaDefaults defaults) {
  HfModel model;
  defaults.tied_head = true;
  defaults.head_dim = 256;
  defaults.needs_kv_heads = true;
  TESSERA_TRY(model.shape, read_llama_shape(config, defaults));
  BlockPlan& plan = model.shape.plan;
  TESSERA_TRY(plan.activation, read_activation(config, "hidden_activation", "gelu_pytorch_tanh"));
  TESSERA_TRY(plan.attn_in_bias, config.flag_or("attention_bias", false));
  plan.attn_out_bias = plan.attn_in_bias;
  plan.embedding_scale = std::sqrt(static_cast<float>(model.shape.dim));
  return model;
}

Result<HfModel> read_gemma(const ConfigReader& config) {
  // Its hidden_act may say gelu, but the model has always computed the approximation by tanh.
  TESSERA_TRY(HfModel model, read_gemma_model(config, {}));
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

/// A cap; absent: `otherwise`, null: none.
Result<float> read_cap(const ConfigReader& config, const char* key, double otherwise) {
  if (config.contains(key) && !config.find(key)) return 0.0f;
  TESSERA_TRY(const double cap, config.number_or(key, otherwise));
  return static_cast<float>(cap);
}

/// What the published config.json of Gemma 3 leave out.
constexpr LlamaDefaults gemma3_defaults() {
  LlamaDefaults defaults;
  defaults.heads = 8;
  defaults.kv_heads = 4;
  defaults.vocab_size = 262208;
  defaults.context_length = 131072;
  return defaults;
}

/// What Gemma 2 and 3 share. Every `period`-th layer sees everything.
Result<HfModel> read_later_gemma(const ConfigReader& config, std::uint32_t period, bool capped, bool local_rope,
                                 const LlamaDefaults& defaults) {
  TESSERA_TRY(HfModel model, read_gemma_model(config, defaults));
  TESSERA_CHECK(config.require_off("use_bidirectional_attention"));
  ModelShape& shape = model.shape;
  shape.plan.post_norms = true;
  // Windowed layers that rotate by frequencies of their own do so even where the window covers the context.
  shape.plan.local_rope = local_rope;
  TESSERA_TRY(const double scalar, config.number_or("query_pre_attn_scalar", 256));
  if (scalar <= 0) return config.wrong("query_pre_attn_scalar", *config.find("query_pre_attn_scalar"), "positive");
  shape.plan.attention_scalar = static_cast<float>(scalar);
  TESSERA_TRY(shape.plan.attention_soft_cap, read_cap(config, "attn_logit_softcapping", capped ? 50 : 0));
  TESSERA_TRY(shape.plan.logits_soft_cap, read_cap(config, "final_logit_softcapping", capped ? 30 : 0));
  TESSERA_TRY(const std::uint32_t positions, config.count_or("sliding_window", 4096));
  if (period == 0) return Error{ErrorCode::corrupt, config.where() + ": sliding_window_pattern is 0"};
  const auto is_windowed = [](std::uint32_t layer, std::uint32_t every) { return (layer + 1) % every != 0; };
  TESSERA_CHECK(read_windows(config, positions, is_windowed, period, shape));
  if (shape.plan.window == 0) shape.plan.local_rope = false;  // every layer sees everything
  return model;
}

Result<HfModel> read_gemma2(const ConfigReader& config) {
  TESSERA_TRY(HfModel model, read_later_gemma(config, 2, true, false, {}));
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

/// rope_parameters of newer files: one object for each kind of layer.
Result<void> read_rope_of_kinds(const ConfigReader& config, HfModel& model) {
  TESSERA_TRY(const ConfigReader kinds, config.object_of("rope_parameters"));
  TESSERA_TRY(const ConfigReader global, kinds.object_of("full_attention"));
  TESSERA_TRY(const ConfigReader local, kinds.object_of("sliding_attention"));
  TESSERA_TRY(RopeScaling rope, read_rope(config, global, model.shape, 1e6));
  TESSERA_TRY(RopeScaling local_rope, read_rope(config, local, model.shape, 1e4));
  if (local_rope.magnitude != 1) {
    return local.unsupported("rope_type", ConfigReader::shown(local.object()), "default, linear, llama3");
  }
  model.shape.rope_theta = rope.theta;
  model.shape.plan.rope_magnitude = rope.magnitude;
  model.rope_frequencies = std::move(rope.frequencies);
  model.rope_local_frequencies = std::move(local_rope.frequencies);
  return {};
}

Result<HfModel> read_gemma3(const ConfigReader& config) {
  TESSERA_TRY(const std::uint32_t newer_period, config.count_or("_sliding_window_pattern", 6));
  TESSERA_TRY(const std::uint32_t period, config.count_or("sliding_window_pattern", newer_period));
  TESSERA_TRY(HfModel model, read_later_gemma(config, period, false, true, gemma3_defaults()));
  ModelShape& shape = model.shape;
  shape.plan.qk_norm = true;
  const nlohmann::json* const parameters = config.find("rope_parameters");
  if (parameters && parameters->is_object() && parameters->contains("full_attention")) {
    ModelShape probe = shape;
    probe.family = "gemma3";
    TESSERA_CHECK(validate(probe, config.where()));
    TESSERA_CHECK(read_rope_of_kinds(config, model));
  } else {
    TESSERA_CHECK(read_llama_rope(config, 1e6, model));
    TESSERA_TRY(const double local_theta, config.number_or("rope_local_base_freq", 10000));
    if (!std::isfinite(local_theta) || local_theta < 1) {
      return config.wrong("rope_local_base_freq", *config.find("rope_local_base_freq"), "a number of at least 1");
    }
    model.rope_local_frequencies = rope_frequencies(local_theta, shape.rope_width());
  }
  if (!shape.plan.local_rope) model.rope_local_frequencies.clear();
  return model;
}

Result<HfModel> read_gemma3_images(const ConfigReader& config) {
  TESSERA_TRY(const ConfigReader text, config.object_of("text_config"));
  return read_gemma3(text);
}

void write_gemma(const HfModel& model, nlohmann::json& config) {
  const BlockPlan& plan = model.shape.plan;
  write_llama_fields(model, config);
  const char* const activation = gelu_name(plan.activation, "gelu_pytorch_tanh");
  config["hidden_act"] = activation;
  config["hidden_activation"] = activation;
  config["attention_bias"] = plan.attn_in_bias;
}

nlohmann::json cap_of(float cap) { return cap == 0 ? nlohmann::json() : nlohmann::json(decimal_of(cap)); }

void write_gemma2(const HfModel& model, nlohmann::json& config) {
  const ModelShape& shape = model.shape;
  write_gemma(model, config);
  config["query_pre_attn_scalar"] = decimal_of(shape.plan.attention_scalar);
  config["attn_logit_softcapping"] = cap_of(shape.plan.attention_soft_cap);
  config["final_logit_softcapping"] = cap_of(shape.plan.logits_soft_cap);
  config["sliding_window"] = shape.plan.window != 0 ? shape.plan.window : shape.context_length;
  config["layer_types"] = layer_types_of(shape);
}

/// The theta of plain frequencies; 0: they are scaled.
double plain_theta_of(const std::vector<double>& frequencies, std::uint32_t width) {
  if (frequencies.size() < 2) return 10000;
  const double exact = std::pow(frequencies[1], -0.5 * width);
  for (const double theta : {std::round(exact), exact}) {
    if (theta >= 1 && rope_frequencies(theta, width) == frequencies) return theta;
  }
  return 0;
}

void write_gemma3(const HfModel& model, nlohmann::json& config) {
  const ModelShape& shape = model.shape;
  write_gemma2(model, config);
  if (!shape.plan.local_rope) return;
  const double theta = plain_theta_of(model.rope_local_frequencies, shape.rope_width());
  if (theta != 0) {
    config["rope_local_base_freq"] = theta;
    return;
  }
  // Scaled frequencies in windowed layers have a place in the newer form only.
  const auto parameters_of = [&](double base, const std::vector<double>& frequencies, double magnitude) {
    ModelShape like = shape;
    like.rope_theta = base;
    nlohmann::json parameters = rope_scaling_of(like, frequencies, magnitude);
    if (parameters.is_null()) parameters = {{"rope_type", "default"}};
    parameters["rope_theta"] = base;
    return parameters;
  };
  config.erase("rope_scaling");
  config.erase("rope_theta");
  config["rope_parameters"] = {
      {"full_attention", parameters_of(shape.rope_theta, model.rope_frequencies, shape.plan.rope_magnitude)},
      {"sliding_attention", parameters_of(10000, model.rope_local_frequencies, 1)}};
}

}  // namespace

HfFamily gemma_family() {
  return {"gemma", "GemmaForCausalLM", read_gemma, write_gemma, {llama_rules(), llama_bias_rules(), norm_rules}};
}
HfFamily gemma2_family() {
  return {"gemma2",
          "Gemma2ForCausalLM",
          read_gemma2,
          write_gemma2,
          {llama_rules(), llama_bias_rules(), norm_rules, post_norm_rules}};
}
HfFamily gemma3_family() {
  return {"gemma3_text",
          "Gemma3ForCausalLM",
          read_gemma3,
          write_gemma3,
          {llama_rules(), llama_bias_rules(), norm_rules, post_norm_rules, head_norm_rules}};
}
HfFamily gemma3_images_family() {
  HfFamily family = gemma3_family();
  family.model_type = "gemma3";
  family.architecture = "Gemma3ForConditionalGeneration";
  family.read = read_gemma3_images;
  family.write = nullptr;  // its text model is written as one of its own
  family.prefixes = {"language_model.model.", "model.language_model."};
  family.other_parts = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                        "model.multi_modal_projector."};
  return family;
}

}  // namespace tessera
