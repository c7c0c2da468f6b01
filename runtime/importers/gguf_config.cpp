#include "runtime/importers/gguf_config.hpp"

#include <algorithm>
#include <string_view>

namespace tessera {

namespace {

constexpr std::size_t shown_bytes_max = 100;
constexpr const char* supported_architecture = "llama";

/// The keys of one architecture: "llama.block_count" for "block_count".
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  bool contains(std::string_view name) const { return file_.contains(key(name)); }
  Result<std::uint32_t> count(std::string_view name) const { return file_.count(key(name)); }
  Result<std::uint32_t> count_or(std::string_view name, std::uint32_t otherwise) const {
    return file_.count_or(key(name), otherwise);
  }
  Result<double> number_or(std::string_view name, double otherwise) const {
    return file_.number_or(key(name), otherwise);
  }
  Result<std::string_view> text_or(std::string_view name, std::string_view otherwise) const {
    return file_.text_or(key(name), otherwise);
  }
  Error unsupported(std::string_view name, const std::string& value, const std::string& supported) const {
    return {ErrorCode::unsupported,
            file_.name() + ": " + key(name) + " is " + value + ", which is not supported; supported: " + supported};
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Result<void> check_kind(const GgufFile& file) {
  TESSERA_TRY(const std::string_view type, file.text_or("general.type", "model"));
  if (type != "model") {
    return Error{ErrorCode::unsupported, file.name() + ": holds a '" + std::string(type.substr(0, shown_bytes_max)) +
                                             "', not a model; give the file of a whole model"};
  }
  TESSERA_TRY(const std::string_view architecture, file.text("general.architecture"));
  if (architecture == supported_architecture) return {};
  return Error{ErrorCode::unsupported, file.name() + ": has the architecture '" +
                                           std::string(architecture.substr(0, shown_bytes_max)) +
                                           "', which is not supported; supported: " + supported_architecture};
}

/// What would change the mathematics.
Result<void> check_mathematics(const ArchitectureKeys& keys, std::uint32_t head_dim) {
  TESSERA_TRY(const std::uint32_t experts, keys.count_or("expert_count", 0));
  if (experts != 0) return keys.unsupported("expert_count", std::to_string(experts), "0");
  TESSERA_TRY(const std::uint32_t rotated, keys.count_or("rope.dimension_count", head_dim));
  if (rotated != head_dim) {
    return keys.unsupported("rope.dimension_count", std::to_string(rotated),
                            "the width of a head, " + std::to_string(head_dim));
  }
  TESSERA_TRY(const std::uint32_t value_width, keys.count_or("attention.value_length", head_dim));
  if (value_width != head_dim) {
    return keys.unsupported("attention.value_length", std::to_string(value_width), "the width of keys");
  }
  TESSERA_TRY(const std::string_view scaling, keys.text_or("rope.scaling.type", "none"));
  if (scaling != "none") {
    return keys.unsupported("rope.scaling.type", "'" + std::string(scaling.substr(0, shown_bytes_max)) + "'", "none");
  }
  for (const char* const name : {"rope.scale_linear", "rope.scaling.factor", "rope.scaling.attn_factor"}) {
    TESSERA_TRY(const double factor, keys.number_or(name, 1.0));
    // 0 stands for "none" in files of old converters.
    if (factor != 1.0 && factor != 0.0) return keys.unsupported(name, std::to_string(factor), "1");
  }
  for (const char* const name : {"attention.clamp_kqv", "attention.max_alibi_bias", "logit_scale", "residual_scale",
                                 "embedding_scale", "attention.scale"}) {
    TESSERA_TRY(const double value, keys.number_or(name, 0.0));
    if (value != 0.0) return keys.unsupported(name, std::to_string(value), "a file without it");
  }
  return {};
}

Result<ModelShape> shape_of(const GgufFile& file, const ArchitectureKeys& keys, const GgufFacts& facts) {
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
  TESSERA_TRY(const double norm_eps, file.number(keys.key("attention.layer_norm_rms_epsilon")));
  shape.norm_eps = static_cast<float>(norm_eps);
  TESSERA_TRY(shape.rope_theta, keys.number_or("rope.freq_base", 10000.0));
  // Rows beyond the vocabulary pad it, and are part of the model here.
  shape.vocab_size = facts.embedding_rows;
  TESSERA_TRY(const std::uint32_t vocab_size, keys.count_or("vocab_size", facts.embedding_rows));
  if (vocab_size > facts.embedding_rows) {
    return Error{ErrorCode::corrupt, file.name() + ": " + keys.key("vocab_size") + " is " + std::to_string(vocab_size) +
                                         ", but token_embd.weight has " + std::to_string(facts.embedding_rows) +
                                         " rows; the file is damaged"};
  }
  shape.tied_head = !facts.has_head;
  TESSERA_CHECK(validate(shape, file.name()));
  return shape;
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
  TESSERA_CHECK(check_kind(file));
  const ArchitectureKeys keys(file, supported_architecture);
  GgufConfig config;
  TESSERA_TRY(config.shape, shape_of(file, keys, facts));
  TESSERA_CHECK(check_mathematics(keys, config.shape.head_dim));
  TESSERA_TRY(config.ids, ids_of(file, config.shape.vocab_size));
  TESSERA_TRY(const std::string_view chat_template, file.text_or("tokenizer.chat_template", ""));
  config.chat_template = chat_template;
  return config;
}

Error unknown_gguf_tensor(const std::string& where, const std::string& tensor) {
  const std::string name = tensor.substr(0, shown_bytes_max);
  if (name.starts_with("rope_freqs.") || name.find(".rope_freqs.") != std::string::npos ||
      name.starts_with("rope_factors_") || name.find(".rope_factors_") != std::string::npos) {
    return {ErrorCode::unsupported,
            where + ": tensor " + name + " scales the frequencies of RoPE, which is not supported for this model yet"};
  }
  return {ErrorCode::unsupported, where + ": tensor " + name +
                                      " has no place in a Llama model of this metadata; leaving it out would change "
                                      "the results"};
}

}  // namespace tessera
