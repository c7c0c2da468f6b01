#include "runtime/importers/hf_config.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/importers/config_reader.hpp"
#include "runtime/importers/strict_json.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes_max = 100;
constexpr std::size_t file_name_bytes_max = 255;
constexpr std::size_t eos_ids_max = 64;

// Names in a list for messages.

std::string model_type_list() {
  std::string names;
  for (const HfFamily& family : hf_families()) names += (names.empty() ? "" : ", ") + std::string(family.model_type);
  return names;
}

std::string architecture_list() {
  std::string names;
  for (const HfFamily& family : hf_families()) {
    names += (names.empty() ? "" : ", ") + std::string(family.architecture);
    for (const std::string_view other : family.other_architectures) names += ", " + std::string(other);
  }
  return names;
}

Result<const HfFamily*> family_of(const ConfigReader& config) {
  TESSERA_TRY(const std::string type, config.text_or("model_type", ""));
  for (const HfFamily& family : hf_families()) {
    if (family.model_type != type) continue;
    const json* const architectures = config.find("architectures");
    if (!architectures) return &family;
    if (!architectures->is_array()) return config.wrong("architectures", *architectures, "a list");
    const auto is_named = [&](std::string_view name) {
      return std::find(architectures->begin(), architectures->end(), name) != architectures->end();
    };
    const auto& others = family.other_architectures;
    if (is_named(family.architecture) || std::any_of(others.begin(), others.end(), is_named)) return &family;
    return config.unsupported("architectures", ConfigReader::shown(*architectures), architecture_list());
  }
  return config.unsupported("model_type", ConfigReader::quoted(type), model_type_list());
}

/// The plain plan is "llama", whoever made the model; a Llama with other blocks needs another name.
std::string label_of(const HfFamily& family, const BlockPlan& plan) {
  if (plan == BlockPlan{}) return "llama";
  return family.model_type == "llama" ? "llama-variant" : std::string(family.model_type);
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
  HfConfig result;
  TESSERA_TRY(result.family, family_of(config));
  TESSERA_TRY(HfModel model, result.family->read(config));
  result.shape = std::move(model.shape);
  result.shape.family = label_of(*result.family, result.shape.plan);
  result.rope = {std::move(model.rope_frequencies), std::move(model.rope_local_frequencies)};
  TESSERA_CHECK(validate(result.shape, where));
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
                                           " should lie in the file " + ConfigReader::shown(file) +
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
