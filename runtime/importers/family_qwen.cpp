// Qwen2 and 2.5 (biases of Q, K and V), Qwen3 (norms of queries and keys) and its mixtures of experts.
#include <string>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

constexpr HfRule expert_rules[] = {
    {"router", "{P}layers.{L}.mlp.gate.weight"},
    {"experts.ffn_gate", "{P}layers.{L}.mlp.experts.{E}.gate_proj.weight"},
    {"experts.ffn_up", "{P}layers.{L}.mlp.experts.{E}.up_proj.weight"},
    {"experts.ffn_down", "{P}layers.{L}.mlp.experts.{E}.down_proj.weight"},
};

bool from_layer(std::uint32_t layer, std::uint32_t first) { return layer >= first; }

/// use_sliding_window: in the layers from max_window_layers on.
Result<void> read_qwen_windows(const ConfigReader& config, std::uint32_t first_default, ModelShape& shape) {
  TESSERA_TRY(const bool windowed, config.flag_or("use_sliding_window", false));
  if (!windowed || (config.contains("sliding_window") && !config.find("sliding_window"))) return {};
  TESSERA_TRY(const std::uint32_t positions, config.count_or("sliding_window", 4096));
  TESSERA_TRY(const std::uint32_t first, config.count_or("max_window_layers", first_default));
  return read_windows(config, positions, from_layer, first, shape);
}

Result<HfModel> read_qwen2(const ConfigReader& config) {
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  LlamaDefaults defaults;
  defaults.needs_kv_heads = true;
  TESSERA_TRY(model.shape, read_llama_shape(config, defaults));
  model.shape.plan.attn_in_bias = true;
  TESSERA_CHECK(read_qwen_windows(config, 28, model.shape));
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

Result<void> read_qwen3_plan(const ConfigReader& config, BlockPlan& plan) {
  plan.qk_norm = true;
  TESSERA_TRY(plan.attn_in_bias, config.flag_or("attention_bias", false));
  plan.attn_out_bias = plan.attn_in_bias;
  return {};
}

Result<HfModel> read_qwen3(const ConfigReader& config) {
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  LlamaDefaults defaults;
  defaults.needs_kv_heads = true;
  defaults.head_dim = 128;
  TESSERA_TRY(model.shape, read_llama_shape(config, defaults));
  TESSERA_CHECK(read_qwen3_plan(config, model.shape.plan));
  TESSERA_CHECK(read_qwen_windows(config, 28, model.shape));
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

/// Experts are in every decoder_sparse_step-th layer, but for those that mlp_only_layers lists.
Result<void> read_dense_layers(const ConfigReader& config, ModelShape& shape) {
  TESSERA_TRY(const std::uint32_t step, config.count_or("decoder_sparse_step", 1));
  if (step == 0) return config.wrong("decoder_sparse_step", *config.find("decoder_sparse_step"), "at least 1");
  if (shape.layers > limits::layers_max) return {};  // validate() refuses it
  std::string dense(shape.layers, '0');
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    if ((layer + 1) % step != 0) dense[layer] = '1';
  }
  if (const nlohmann::json* const list = config.find("mlp_only_layers")) {
    const std::string expected = "a list of layers below " + std::to_string(shape.layers);
    if (!list->is_array()) return config.wrong("mlp_only_layers", *list, expected);
    for (const nlohmann::json& layer : *list) {
      if (!layer.is_number_unsigned() || layer.get<std::uint64_t>() >= shape.layers) {
        return config.wrong("mlp_only_layers", *list, expected);
      }
      dense[layer.get<std::size_t>()] = '1';
    }
  }
  if (dense.find('1') == dense.npos) return {};
  TESSERA_TRY(shape.plan.dense_ffn_dim, config.required_count("intermediate_size"));
  if (dense.find('0') != dense.npos) {
    shape.plan.dense_layers = std::move(dense);
    return {};
  }
  // No layer has experts: a Qwen3 by another name.
  shape.ffn_dim = std::exchange(shape.plan.dense_ffn_dim, 0);
  shape.plan.experts = shape.plan.experts_used = 0;
  shape.plan.experts_normalised = false;
  return {};
}

Result<HfModel> read_qwen3_moe(const ConfigReader& config) {
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  LlamaDefaults defaults;
  defaults.needs_kv_heads = true;
  defaults.ffn_dim = "moe_intermediate_size";
  TESSERA_TRY(model.shape, read_llama_shape(config, defaults));
  BlockPlan& plan = model.shape.plan;
  TESSERA_CHECK(read_qwen3_plan(config, plan));
  TESSERA_CHECK(read_qwen_windows(config, 28, model.shape));
  TESSERA_TRY(plan.experts, config.required_count("num_experts"));
  TESSERA_TRY(plan.experts_used, config.required_count("num_experts_per_tok"));
  TESSERA_TRY(plan.experts_normalised, config.flag_or("norm_topk_prob", false));
  TESSERA_CHECK(read_dense_layers(config, model.shape));
  TESSERA_CHECK(read_llama_rope(config, 10000, model));
  return model;
}

void write_qwen2(const HfModel& model, nlohmann::json& config) {
  const BlockPlan& plan = model.shape.plan;
  write_llama_fields(model, config);
  config["use_sliding_window"] = plan.window != 0;
  if (plan.window == 0) return;
  write_windows(model.shape, config);
  const std::size_t first = plan.windowed_layers.find('1');
  config["max_window_layers"] = first == plan.windowed_layers.npos ? 0 : first;
}

void write_qwen3(const HfModel& model, nlohmann::json& config) {
  write_qwen2(model, config);
  config["attention_bias"] = model.shape.plan.attn_in_bias;
}

void write_qwen3_moe(const HfModel& model, nlohmann::json& config) {
  const BlockPlan& plan = model.shape.plan;
  write_qwen3(model, config);
  config["moe_intermediate_size"] = model.shape.ffn_dim;
  config["num_experts"] = plan.experts;
  config["num_experts_per_tok"] = plan.experts_used;
  config["norm_topk_prob"] = plan.experts_normalised;
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = nlohmann::json::array();
  for (std::uint32_t layer = 0; layer < plan.dense_layers.size(); ++layer) {
    if (!plan.has_experts(layer)) config["mlp_only_layers"].push_back(layer);
  }
  if (!plan.dense_layers.empty()) config["intermediate_size"] = plan.dense_ffn_dim;
}

}  // namespace

HfFamily qwen2_family() {
  return {"qwen2", "Qwen2ForCausalLM", read_qwen2, write_qwen2, {llama_rules(), llama_bias_rules()}};
}
HfFamily qwen3_family() {
  return {"qwen3", "Qwen3ForCausalLM", read_qwen3, write_qwen3, {llama_rules(), llama_bias_rules(), qk_norm_rules()}};
}
HfFamily qwen3_moe_family() {
  return {"qwen3_moe",
          "Qwen3MoeForCausalLM",
          read_qwen3_moe,
          write_qwen3_moe,
          {llama_rules(), llama_bias_rules(), qk_norm_rules(), expert_rules}};
}

}  // namespace tessera
