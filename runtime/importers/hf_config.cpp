#include "runtime/importers/hf_config.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/importers/strict_json.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes_max = 100;
constexpr std::size_t file_name_bytes_max = 255;
constexpr std::size_t eos_ids_max = 64;

std::string shown(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, shown_bytes_max);
}

/// Reads the fields of config.json; a field that is null counts as absent.
class ConfigReader {
 public:
  ConfigReader(const json& config, std::string where) : config_(config), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  /// Also when it is null.
  bool contains(const char* key) const { return config_.contains(key); }

  const json* find(const char* key) const {
    const auto found = config_.find(key);
    return found == config_.end() || found->is_null() ? nullptr : &*found;
  }

  Result<std::uint32_t> required_count(const char* key) const {
    const json* const value = find(key);
    if (!value) return Error{ErrorCode::corrupt, where_ + ": has no " + key + "; it does not describe a Llama model"};
    return count(key, *value);
  }

  Result<std::uint32_t> count_or(const char* key, std::uint32_t otherwise) const {
    const json* const value = find(key);
    if (!value) return otherwise;
    return count(key, *value);
  }

  Result<double> number_or(const char* key, double otherwise) const {
    const json* const value = find(key);
    if (!value) return otherwise;
    if (!value->is_number()) return wrong(key, *value, "a number");
    return value->get<double>();
  }

  Result<bool> flag_or(const char* key, bool otherwise) const {
    const json* const value = find(key);
    if (!value) return otherwise;
    if (!value->is_boolean()) return wrong(key, *value, "true or false");
    return value->get<bool>();
  }

  Result<std::string> text_or(const char* key, const char* otherwise) const {
    const json* const value = find(key);
    if (!value) return std::string(otherwise);
    if (!value->is_string()) return wrong(key, *value, "a text");
    return value->get<std::string>();
  }

  Error wrong(const std::string& key, const json& value, const std::string& expected) const {
    return {ErrorCode::corrupt, where_ + ": " + key + " is " + shown(value) + ", but should be " + expected};
  }

  Error unsupported(const std::string& key, const std::string& value, const std::string& supported) const {
    return {ErrorCode::unsupported,
            where_ + ": " + key + " is " + value + ", which is not supported; supported: " + supported};
  }

 private:
  Result<std::uint32_t> count(const char* key, const json& value) const {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > UINT32_MAX) return wrong(key, value, "a count");
    return static_cast<std::uint32_t>(value.get<std::uint64_t>());
  }

  const json& config_;
  std::string where_;
};

/// Refuses the flag unless it is absent or false.
Result<void> require_off(const ConfigReader& config, const char* key) {
  TESSERA_TRY(const bool on, config.flag_or(key, false));
  if (on) return config.unsupported(key, "true", "false");
  return {};
}

Result<void> check_kind(const ConfigReader& config) {
  TESSERA_TRY(const std::string type, config.text_or("model_type", ""));
  if (type != "llama" && type != "mistral") {
    return config.unsupported("model_type", "'" + type.substr(0, shown_bytes_max) + "'", "llama, mistral");
  }
  if (const json* const architectures = config.find("architectures")) {
    const auto known = [](const json& name) { return name == "LlamaForCausalLM" || name == "MistralForCausalLM"; };
    if (!architectures->is_array()) return config.wrong("architectures", *architectures, "a list");
    if (std::none_of(architectures->begin(), architectures->end(), known)) {
      return config.unsupported("architectures", shown(*architectures), "LlamaForCausalLM, MistralForCausalLM");
    }
  }
  return {};
}

/// What would change the mathematics.
Result<void> check_mathematics(const ConfigReader& config) {
  TESSERA_CHECK(require_off(config, "attention_bias"));
  TESSERA_CHECK(require_off(config, "mlp_bias"));
  TESSERA_TRY(const std::string activation, config.text_or("hidden_act", "silu"));
  if (activation != "silu" && activation != "swish") {
    return config.unsupported("hidden_act", "'" + activation.substr(0, shown_bytes_max) + "'", "silu");
  }
  TESSERA_TRY(const double rotated, config.number_or("partial_rotary_factor", 1.0));
  if (rotated != 1.0) return config.unsupported("partial_rotary_factor", std::to_string(rotated), "1");
  return {};
}

/// RoPE's theta, from its own field or, in newer files, from rope_parameters. Any kind of scaling is refused.
Result<double> rope_theta_of(const ConfigReader& config) {
  TESSERA_TRY(double theta, config.number_or("rope_theta", 10000.0));
  for (const char* const key : {"rope_scaling", "rope_parameters"}) {
    const json* const parameters = config.find(key);
    if (!parameters) continue;
    if (!parameters->is_object()) return config.wrong(key, *parameters, "an object or null");
    const ConfigReader fields(*parameters, config.where() + ": " + key);
    TESSERA_TRY(const std::string old_name, fields.text_or("type", "default"));
    TESSERA_TRY(const std::string kind, fields.text_or("rope_type", old_name.c_str()));
    if (kind != "default") return config.unsupported(key, shown(*parameters), "null, or the type 'default'");
    TESSERA_TRY(theta, fields.number_or("rope_theta", theta));
  }
  return theta;
}

/// Mistral attends to a window of positions; that is plain attention where the window covers the context.
Result<void> check_window(const ConfigReader& config, std::uint32_t context_length, bool is_mistral) {
  constexpr std::uint32_t positions_default = 4096;
  if (!is_mistral || (config.contains("sliding_window") && !config.find("sliding_window"))) return {};
  TESSERA_TRY(const std::uint32_t positions, config.count_or("sliding_window", positions_default));
  if (positions >= context_length) return {};
  return config.unsupported("sliding_window", std::to_string(positions), "null, or at least the context");
}

Result<ModelIds> ids_of(const ConfigReader& config, std::uint32_t vocab_size) {
  const auto id_of = [&](const char* key, const json& value) -> Result<TokenId> {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= vocab_size) {
      return config.wrong(key, value, "an id below " + std::to_string(vocab_size));
    }
    return static_cast<TokenId>(value.get<std::uint64_t>());
  };
  ModelIds ids;
  if (const json* const bos = config.find("bos_token_id")) {
    TESSERA_TRY(ids.bos, id_of("bos_token_id", *bos));
  }
  const json* const eos = config.find("eos_token_id");
  if (!eos) return ids;
  const json list = eos->is_array() ? *eos : json::array({*eos});
  if (list.size() > eos_ids_max)
    return config.wrong("eos_token_id", *eos, "at most " + std::to_string(eos_ids_max) + " ids");
  for (const json& value : list) {
    TESSERA_TRY(const TokenId id, id_of("eos_token_id", value));
    ids.eos.push_back(id);
  }
  return ids;
}

Result<ModelShape> shape_of(const ConfigReader& config, const std::string& where) {
  TESSERA_TRY(const std::string type, config.text_or("model_type", ""));
  const bool is_mistral = type == "mistral";
  ModelShape shape;
  TESSERA_TRY(shape.dim, config.required_count("hidden_size"));
  TESSERA_TRY(shape.layers, config.required_count("num_hidden_layers"));
  TESSERA_TRY(shape.heads, config.required_count("num_attention_heads"));
  if (is_mistral) {  // whose default differs from Llama's
    TESSERA_TRY(shape.kv_heads, config.required_count("num_key_value_heads"));
  } else {
    TESSERA_TRY(shape.kv_heads, config.count_or("num_key_value_heads", shape.heads));
  }
  TESSERA_TRY(shape.ffn_dim, config.required_count("intermediate_size"));
  TESSERA_TRY(shape.vocab_size, config.required_count("vocab_size"));
  TESSERA_TRY(shape.context_length, config.required_count("max_position_embeddings"));
  if (!config.find("head_dim") && (shape.heads == 0 || shape.dim % shape.heads != 0)) {
    return Error{ErrorCode::corrupt, where + ": hidden_size " + std::to_string(shape.dim) + " is no multiple of its " +
                                         std::to_string(shape.heads) + " heads, and there is no head_dim"};
  }
  TESSERA_TRY(shape.head_dim, config.count_or("head_dim", shape.heads == 0 ? 0 : shape.dim / shape.heads));
  TESSERA_TRY(const double norm_eps, config.number_or("rms_norm_eps", 1e-6));
  shape.norm_eps = static_cast<float>(norm_eps);
  TESSERA_TRY(shape.rope_theta, rope_theta_of(config));
  TESSERA_TRY(shape.tied_head, config.flag_or("tie_word_embeddings", false));
  TESSERA_CHECK(validate(shape, where));
  TESSERA_CHECK(check_window(config, shape.context_length, is_mistral));
  return shape;
}

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name.size() <= file_name_bytes_max && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

}  // namespace

Result<HfConfig> parse_hf_config(std::string_view text, const std::string& where) {
  TESSERA_TRY(const json root, parse_strict_json(text, where));
  if (!root.is_object())
    return Error{ErrorCode::corrupt, where + ": is no JSON object; give a model folder's config.json"};
  const ConfigReader config(root, where);
  TESSERA_CHECK(check_kind(config));
  TESSERA_CHECK(check_mathematics(config));
  HfConfig result;
  TESSERA_TRY(result.shape, shape_of(config, where));
  if (const json* const quantised = config.find("quantization_config")) {
    TESSERA_TRY(result.quantisation, parse_hf_quantisation(*quantised, where));
  }
  TESSERA_TRY(result.ids, ids_of(config, result.shape.vocab_size));
  return result;
}

Result<std::map<std::string, std::string>> parse_hf_index(std::string_view text, const std::string& where) {
  TESSERA_TRY(const json root, parse_strict_json(text, where));
  const json* const weights = root.is_object() && root.contains("weight_map") ? &root["weight_map"] : nullptr;
  if (!weights || !weights->is_object()) {
    return Error{ErrorCode::corrupt,
                 where + ": has no weight_map; give the index or the folder of a safetensors model"};
  }
  std::map<std::string, std::string> files;
  std::set<std::string> names;
  for (const auto& [tensor, file] : weights->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      return Error{ErrorCode::corrupt, where + ": tensor " + tensor.substr(0, shown_bytes_max) +
                                           " should lie in the file " + shown(file) +
                                           "; only names of files beside the index are accepted"};
    }
    names.insert(file.get<std::string>());
    if (names.size() > limits::hf_files_max) {
      return Error{ErrorCode::exhausted,
                   where + ": names more than " + std::to_string(limits::hf_files_max) + " files"};
    }
    files.emplace(tensor, file.get<std::string>());
  }
  return files;
}

}  // namespace tessera
