#include "runtime/importers/gguf_config.hpp"

#include <algorithm>
#include <string_view>

namespace tessera {

namespace {

constexpr std::size_t shown_bytes_max = 100;

Result<const GgufFamily*> family_of(const GgufFile& file) {
  TESSERA_TRY(const std::string_view type, file.text_or("general.type", "model"));
  if (type != "model") {
    return Error{ErrorCode::unsupported, file.name() + ": holds a '" + std::string(type.substr(0, shown_bytes_max)) +
                                             "', not a model; give the file of a whole model"};
  }
  TESSERA_TRY(const std::string_view architecture, file.text("general.architecture"));
  std::string known;
  for (const GgufFamily& family : gguf_families()) {
    if (family.architecture == architecture) return &family;
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return Error{ErrorCode::unsupported, file.name() + ": has the architecture '" +
                                           std::string(architecture.substr(0, shown_bytes_max)) +
                                           "', which is not supported; supported: " + known};
}

/// The plain plan is "llama", whoever made the model.
std::string label_of(const ModelShape& shape) { return shape.plan == BlockPlan{} ? "llama" : shape.family; }

Result<void> check_shape(ModelShape shape, const std::string& where) {
  shape.family = label_of(shape);
  return validate(shape, where);
}

/// What would change the mathematics.
Result<void> check_mathematics(const GgufKeys& keys, const GgufFamily& family, const ModelShape& shape) {
  TESSERA_TRY(const std::uint32_t value_width, keys.count_or("attention.value_length", shape.head_dim));
  if (value_width != shape.head_dim) {
    return keys.unsupported("attention.value_length", std::to_string(value_width), "the width of keys");
  }
  if (family.is_turned && shape.plan.rope_dims != 0) {
    return keys.unsupported("rope.dimension_count", std::to_string(shape.plan.rope_dims),
                            "the width of a head, " + std::to_string(shape.head_dim));
  }
  for (const char* const name :
       {"attention.clamp_kqv", "attention.max_alibi_bias", "logit_scale", "residual_scale", "embedding_scale"}) {
    TESSERA_TRY(const double value, keys.number_or(name, 0.0));
    if (value != 0.0) return keys.unsupported(name, std::to_string(value), "a file without it");
  }
  TESSERA_TRY(const std::uint32_t experts, keys.count_or("expert_count", 0));
  if (experts != shape.plan.experts) return keys.unsupported("expert_count", std::to_string(experts), "0");
  TESSERA_TRY(const bool is_causal, keys.flag_or("attention.causal", true));
  if (!is_causal) return keys.unsupported("attention.causal", "false", "true");
  return {};
}

/// Sizes that all architectures name alike.
Result<ModelShape> sizes_of(const GgufKeys& keys, const GgufFamily& family, const GgufFacts& facts) {
  const GgufFile& file = keys.file();
  ModelShape shape;
  TESSERA_TRY(shape.dim, keys.count("embedding_length"));
  TESSERA_TRY(shape.layers, keys.count("block_count"));
  TESSERA_TRY(shape.ffn_dim, keys.count("feed_forward_length"));
  TESSERA_TRY(shape.heads, keys.count("attention.head_count"));
  TESSERA_TRY(shape.kv_heads, keys.count_or("attention.head_count_kv", shape.heads));
  TESSERA_TRY(shape.context_length, keys.count("context_length"));
  if (!keys.contains("attention.key_length") && (shape.heads == 0 || shape.dim % shape.heads != 0)) {
    return Error{ErrorCode::corrupt, file.name() + ": " + keys.key("embedding_length") + " " +
                                         std::to_string(shape.dim) + " is no multiple of its " +
                                         std::to_string(shape.heads) + " heads, and there is no " +
                                         keys.key("attention.key_length")};
  }
  TESSERA_TRY(shape.head_dim, keys.count_or("attention.key_length", shape.heads == 0 ? 0 : shape.dim / shape.heads));
  TESSERA_TRY(const double norm_eps, file.number(keys.key(family.norm_eps)));
  shape.norm_eps = static_cast<float>(norm_eps);
  // Rows beyond the vocabulary pad it, and are part of the model here.
  shape.vocab_size = facts.embedding_rows;
  TESSERA_TRY(const std::uint32_t vocab_size, keys.count_or("vocab_size", facts.embedding_rows));
  if (vocab_size > facts.embedding_rows) {
    return Error{ErrorCode::corrupt, file.name() + ": " + keys.key("vocab_size") + " is " + std::to_string(vocab_size) +
                                         ", but token_embd.weight has " + std::to_string(facts.embedding_rows) +
                                         " rows; the file is damaged"};
  }
  shape.tied_head = !facts.has_head;
  return shape;
}

/// What the plan of any architecture may have.
Result<void> read_common_plan(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  BlockPlan& plan = shape.plan;
  plan.attn_in_bias =
      facts.has("attn_qkv.bias") || facts.has("attn_q.bias") || facts.has("attn_k.bias") || facts.has("attn_v.bias");
  plan.attn_out_bias = facts.has("attn_output.bias");
  TESSERA_TRY(const std::uint32_t rotated, keys.count_or("rope.dimension_count", shape.head_dim));
  if (rotated == 0 || rotated > shape.head_dim) {
    return keys.wrong("rope.dimension_count", std::to_string(rotated),
                      "1 to the width of a head, " + std::to_string(shape.head_dim));
  }
  if (rotated != shape.head_dim) plan.rope_dims = rotated;
  TESSERA_TRY(const double scale, keys.number_or("attention.scale", 0.0));
  if (scale < 0) return keys.wrong("attention.scale", std::to_string(scale), "positive");
  if (scale != 0) plan.attention_scalar = static_cast<float>(1 / (scale * scale));
  return {};
}

Result<ModelIds> ids_of(const GgufFile& file, std::uint32_t vocab_size) {
  const auto id_of = [&](const char* key) -> Result<TokenId> {
    TESSERA_TRY(const std::uint32_t id, file.count(key));
    if (id < vocab_size) return static_cast<TokenId>(id);
    return Error{ErrorCode::corrupt, file.name() + ": " + key + " is " + std::to_string(id) +
                                         ", but the vocabulary has " + std::to_string(vocab_size) +
                                         " ids; the file is damaged"};
  };
  ModelIds ids;
  if (file.contains("tokenizer.ggml.bos_token_id")) {
    TESSERA_TRY(ids.bos, id_of("tokenizer.ggml.bos_token_id"));
  }
  for (const char* const key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (!file.contains(key)) continue;
    TESSERA_TRY(const TokenId id, id_of(key));
    if (std::find(ids.eos.begin(), ids.eos.end(), id) == ids.eos.end()) ids.eos.push_back(id);
  }
  return ids;
}

}  // namespace

Result<GgufConfig> read_gguf_config(const GgufFile& file, const GgufFacts& facts) {
  GgufConfig config;
  TESSERA_TRY(config.family, family_of(file));
  const GgufKeys keys(file, config.family->architecture);
  ModelShape& shape = config.shape;
  TESSERA_TRY(shape, sizes_of(keys, *config.family, facts));
  shape.family = config.family->label;
  TESSERA_CHECK(check_shape(shape, file.name()));  // before anything is computed from it
  TESSERA_CHECK(read_common_plan(keys, facts, shape));
  TESSERA_CHECK(config.family->read(keys, facts, shape));
  TESSERA_CHECK(check_mathematics(keys, *config.family, shape));
  TESSERA_CHECK(check_shape(shape, file.name()));
  TESSERA_TRY(config.rope, read_gguf_rope(keys, facts, shape));
  shape.family = label_of(shape);
  TESSERA_CHECK(validate(shape, file.name()));
  TESSERA_TRY(config.ids, ids_of(file, shape.vocab_size));
  TESSERA_TRY(const std::string_view chat_template, file.text_or("tokenizer.chat_template", ""));
  config.chat_template = chat_template;
  return config;
}

Error unknown_gguf_tensor(const std::string& where, const std::string& tensor, const GgufFamily& family) {
  const std::string name = tensor.substr(0, shown_bytes_max);
  if (name.starts_with("rope_f") || name.find(".rope_f") != std::string::npos) {
    return {ErrorCode::unsupported,
            where + ": tensor " + name + " scales the frequencies of RoPE in a way that is not supported"};
  }
  return {ErrorCode::unsupported, where + ": tensor " + name + " has no place in a " +
                                      std::string(family.architecture) +
                                      " model of this metadata; leaving it out would change the results"};
}

}  // namespace tessera
