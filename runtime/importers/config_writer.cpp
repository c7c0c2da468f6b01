#include "runtime/importers/config_writer.hpp"

#include <cmath>

#include "runtime/base/decimal.hpp"

namespace tessera {

using nlohmann::json;

void write_sizes(const ModelShape& shape, json& config) {
  config["hidden_size"] = shape.dim;
  config["intermediate_size"] = shape.ffn_dim;
  config["max_position_embeddings"] = shape.context_length;
  config["num_attention_heads"] = shape.heads;
  config["num_hidden_layers"] = shape.layers;
  config["tie_word_embeddings"] = shape.tied_head;
  config["vocab_size"] = shape.vocab_size;
}

void write_llama_fields(const HfModel& model, json& config) {
  const ModelShape& shape = model.shape;
  write_sizes(shape, config);
  config["head_dim"] = shape.head_dim;
  config["hidden_act"] = "silu";
  config["num_key_value_heads"] = shape.kv_heads;
  config["rms_norm_eps"] = decimal_of(shape.norm_eps);
  write_rope(model, config);
}

void write_rope(const HfModel& model, json& config) {
  config["rope_theta"] = model.shape.rope_theta;
  const json scaling = rope_scaling_of(model.shape, model.rope_frequencies, model.shape.plan.rope_magnitude);
  if (!scaling.is_null()) config["rope_scaling"] = scaling;
}

json layer_types_of(const ModelShape& shape) {
  json types = json::array();
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    types.push_back(shape.plan.is_windowed(layer) ? "sliding_attention" : "full_attention");
  }
  return types;
}

void write_windows(const ModelShape& shape, json& config) {
  config["sliding_window"] = shape.plan.window != 0 ? json(shape.plan.window) : json();
  if (!shape.plan.windowed_layers.empty()) config["layer_types"] = layer_types_of(shape);
}

const char* gelu_name(Activation activation, const char* tanh_name) {
  return activation == Activation::gelu_tanh ? tanh_name : "gelu";
}

double rotated_part(std::uint32_t dims, std::uint32_t head_dim) {
  const double part = static_cast<double>(dims) / head_dim;
  return static_cast<std::uint32_t>(head_dim * part) == dims ? part : std::nextafter(part, 2.0);
}

}  // namespace tessera
