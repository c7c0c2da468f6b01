// Llama 1 to 3, Mistral, SmolLM3: RMSNorm, RoPE, SwiGLU.
#include <string>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

/// attention_bias and mlp_bias: of all matrices of a kind.
Result<void> read_biases(const ConfigReader& config, BlockPlan& plan) {
  TESSERA_TRY(plan.attn_in_bias, config.flag_or("attention_bias", false));
  plan.attn_out_bias = plan.attn_in_bias;
  TESSERA_TRY(plan.ffn_bias, config.flag_or("mlp_bias", false));
  return {};
}

Result<void> check_rotation(const ConfigReader& config) {
  TESSERA_TRY(const double rotated, config.number_or("partial_rotary_factor", 1.0));
  if (rotated == 1.0) return {};
  return config.unsupported("partial_rotary_factor", std::to_string(rotated), "1");
}

Result<HfModel> read_llama(const ConfigReader& config) {
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  TESSERA_CHECK(check_rotation(config));
  TESSERA_TRY(model.shape, read_llama_shape(config));
  TESSERA_CHECK(read_biases(config, model.shape.plan));
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

Result<HfModel> read_mistral(const ConfigReader& config) {
  constexpr std::uint32_t positions_default = 4096;
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  TESSERA_CHECK(check_rotation(config));
  TESSERA_CHECK(config.require_off("attention_bias"));
  LlamaDefaults defaults;
  defaults.needs_kv_heads = true;
  TESSERA_TRY(model.shape, read_llama_shape(config, defaults));
  if (!config.contains("sliding_window") || config.find("sliding_window")) {
    TESSERA_TRY(const std::uint32_t positions, config.count_or("sliding_window", positions_default));
    TESSERA_CHECK(read_windows(config, positions, every_layer, 0, model.shape));
  }
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

/// no_rope_layers has a 1 for each layer that is rotated; without it every no_rope_layer_interval-th one is not.
Result<void> read_rotated_layers(const ConfigReader& config, ModelShape& shape) {
  if (shape.layers > limits::layers_max) return {};  // validate() refuses it
  std::string rotated;
  if (const nlohmann::json* const list = config.find("no_rope_layers")) {
    if (!list->is_array() || list->size() != shape.layers) {
      return config.wrong("no_rope_layers", *list, "a list of " + std::to_string(shape.layers) + " times 0 or 1");
    }
    for (const nlohmann::json& layer : *list) {
      if (layer != 0 && layer != 1) return config.wrong("no_rope_layers", *list, "a list of 0 and 1");
      rotated += layer == 1 ? '1' : '0';
    }
  } else {
    TESSERA_TRY(const std::uint32_t interval, config.count_or("no_rope_layer_interval", 4));
    if (interval == 0) return Error{ErrorCode::corrupt, config.where() + ": no_rope_layer_interval is 0"};
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) rotated += (layer + 1) % interval != 0 ? '1' : '0';
  }
  if (rotated.find('0') != rotated.npos) shape.plan.rotated_layers = rotated;
  return {};
}

/// Without layer_types, the layers that are not rotated are windowed.
Result<void> read_smollm3_windows(const ConfigReader& config, ModelShape& shape) {
  TESSERA_TRY(const bool is_windowed, config.flag_or("use_sliding_window", false));
  if (!is_windowed || !config.find("sliding_window")) return {};
  TESSERA_TRY(const std::uint32_t positions, config.count_or("sliding_window", 0));
  if (config.find("layer_types")) return read_windows(config, positions, every_layer, 0, shape);
  if (shape.layers > limits::layers_max) return {};  // validate() refuses it
  std::string windowed;
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) windowed += shape.plan.is_rotated(layer) ? '0' : '1';
  return set_windows(positions, std::move(windowed), config.where(), shape);
}

Result<HfModel> read_smollm3(const ConfigReader& config) {
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  LlamaDefaults defaults;
  defaults.tied_head = true;
  defaults.needs_kv_heads = true;
  TESSERA_TRY(model.shape, read_llama_shape(config, defaults));
  TESSERA_CHECK(read_biases(config, model.shape.plan));
  TESSERA_CHECK(read_rotated_layers(config, model.shape));
  TESSERA_CHECK(read_smollm3_windows(config, model.shape));
  TESSERA_CHECK(read_llama_rope(config, 2e6, model));
  return model;
}

void write_biases(const BlockPlan& plan, nlohmann::json& config) {
  config["attention_bias"] = plan.attn_in_bias;
  config["mlp_bias"] = plan.ffn_bias;
}

void write_llama(const HfModel& model, nlohmann::json& config) {
  write_llama_fields(model, config);
  write_biases(model.shape.plan, config);
}

void write_mistral(const HfModel& model, nlohmann::json& config) {
  write_llama_fields(model, config);
  write_windows(model.shape, config);
}

void write_smollm3(const HfModel& model, nlohmann::json& config) {
  write_llama(model, config);
  nlohmann::json rotated = nlohmann::json::array();
  for (std::uint32_t layer = 0; layer < model.shape.layers; ++layer) {
    rotated.push_back(model.shape.plan.is_rotated(layer) ? 1 : 0);
  }
  config["no_rope_layers"] = rotated;
  config["use_sliding_window"] = model.shape.plan.window != 0;
  config["layer_types"] = layer_types_of(model.shape);
  if (model.shape.plan.window != 0) config["sliding_window"] = model.shape.plan.window;
}

}  // namespace

HfFamily llama_family() {
  return {"llama", "LlamaForCausalLM", read_llama, write_llama, {llama_rules(), llama_bias_rules()}};
}
HfFamily mistral_family() { return {"mistral", "MistralForCausalLM", read_mistral, write_mistral, {llama_rules()}}; }
HfFamily smollm3_family() {
  return {"smollm3", "SmolLM3ForCausalLM", read_smollm3, write_smollm3, {llama_rules(), llama_bias_rules()}};
}

}  // namespace tessera
