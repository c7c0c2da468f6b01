// What families share when a model is written as a config.json: the inverse of read_llama_shape() and its neighbours
// (hf_family.hpp). Whoever writes a config.json reads it again and compares, so nothing here has to be able to express
// every model.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/importers/hf_family.hpp"
#include "runtime/tensor/block_plan.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// Width, layers, heads, FFN, positions, vocabulary and the tied head, by the names that most families use.
void write_sizes(const ModelShape& shape, nlohmann::json& config);
/// The same with KV heads, norm_eps, RoPE and its scaling, and hidden_act silu, by Llama's names.
void write_llama_fields(const HfModel& model, nlohmann::json& config);
/// rope_theta, and rope_scaling where the frequencies are scaled.
void write_rope(const HfModel& model, nlohmann::json& config);
/// sliding_window (null where there is none) and, where only some layers are windowed, layer_types.
void write_windows(const ModelShape& shape, nlohmann::json& config);
/// One "sliding_attention" or "full_attention" per layer.
nlohmann::json layer_types_of(const ModelShape& shape);
/// "gelu" or `tanh_name`.
const char* gelu_name(Activation activation, const char* tanh_name);
/// dims / head_dim, as a number for which the product with head_dim is cut off to dims.
double rotated_part(std::uint32_t dims, std::uint32_t head_dim);

/// A value of rope_scaling by which read_rope() gives these frequencies and this magnitude in this context: the plain,
/// linear, yarn or llama3 kind where one does, else longrope with a factor for each frequency. Null: plain. `shape`
/// has its context, theta and rotated width.
nlohmann::json rope_scaling_of(const ModelShape& shape, const std::vector<double>& frequencies, double magnitude);

}  // namespace tessera
