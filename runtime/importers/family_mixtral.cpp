// Mixtral: Mistral with several feed-forward networks per layer, of which each token uses a few.
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

constexpr HfRule expert_rules[] = {
    {"router", "{P}layers.{L}.block_sparse_moe.gate.weight"},
    {"experts.ffn_gate", "{P}layers.{L}.block_sparse_moe.experts.{E}.w1.weight"},
    {"experts.ffn_up", "{P}layers.{L}.block_sparse_moe.experts.{E}.w3.weight"},
    {"experts.ffn_down", "{P}layers.{L}.block_sparse_moe.experts.{E}.w2.weight"},
};

Result<HfModel> read_mixtral(const ConfigReader& config) {
  HfModel model;
  TESSERA_CHECK(require_silu(config));
  LlamaDefaults defaults;
  defaults.needs_kv_heads = true;
  defaults.norm_eps = 1e-5;
  TESSERA_TRY(model.shape, read_llama_shape(config, defaults));
  BlockPlan& plan = model.shape.plan;
  TESSERA_TRY(plan.experts, config.required_count("num_local_experts"));
  TESSERA_TRY(plan.experts_used, config.required_count("num_experts_per_tok"));
  plan.experts_normalised = true;
  if (config.find("sliding_window")) {
    TESSERA_TRY(const std::uint32_t positions, config.count_or("sliding_window", 0));
    TESSERA_CHECK(read_windows(config, positions, every_layer, 0, model.shape));
  }
  TESSERA_CHECK(read_llama_rope(config, 1e6, model));
  return model;
}

void write_mixtral(const HfModel& model, nlohmann::json& config) {
  write_llama_fields(model, config);
  write_windows(model.shape, config);
  config["num_local_experts"] = model.shape.plan.experts;
  config["num_experts_per_tok"] = model.shape.plan.experts_used;
}

}  // namespace

HfFamily mixtral_family() {
  return {"mixtral", "MixtralForCausalLM", read_mixtral, write_mixtral, {llama_rules(), expert_rules}};
}

}  // namespace tessera
