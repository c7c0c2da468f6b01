#include "runtime/importers/import_pooling.hpp"

#include <filesystem>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/config_reader.hpp"
#include "runtime/importers/strict_json.hpp"

namespace tessera {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t config_bytes_max = std::size_t{1} << 20;
constexpr std::size_t modules_max = 16;
constexpr std::size_t folder_bytes_max = 255;

Result<std::string> read_config(const fs::path& path) {
  return read_text(path.string(), config_bytes_max, "a configuration");
}

/// "sentence_transformers.models.Pooling" → "Pooling"
std::string_view last_name(std::string_view type) { return type.substr(type.rfind('.') + 1); }

/// A folder beside modules.json; the model itself may lie in the same one.
bool is_folder_name(const std::string& name) {
  return !name.empty() && name.size() <= folder_bytes_max && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

/// The names that the one that is chosen may have.
std::optional<Pooling> pooling_of(std::string_view name) {
  if (name == "mean" || name == "mean_tokens") return Pooling::mean;
  if (name == "cls" || name == "cls_token") return Pooling::cls;
  if (name == "lasttoken") return Pooling::last;
  return std::nullopt;
}

Result<PoolingPlan> read_plan(const fs::path& folder) {
  TESSERA_TRY(const std::string modules_text, read_config(folder / "modules.json"));
  TESSERA_TRY(const PoolingModules modules, parse_pooling_modules(modules_text, (folder / "modules.json").string()));
  const fs::path pooling_path = folder / modules.folder / "config.json";
  TESSERA_TRY(const std::string pooling_text, read_config(pooling_path));
  PoolingPlan plan;
  plan.normalised = modules.normalised;
  TESSERA_TRY(plan.pooling, parse_pooling_config(pooling_text, pooling_path.string()));
  const fs::path limits_path = folder / "sentence_bert_config.json";
  std::error_code ignored;
  if (!fs::exists(limits_path, ignored)) return plan;
  TESSERA_TRY(const std::string limits_text, read_config(limits_path));
  TESSERA_TRY(const json root, parse_strict_json(limits_text, limits_path.string()));
  if (!root.is_object()) return Error{ErrorCode::corrupt, limits_path.string() + ": is no JSON object"};
  TESSERA_TRY(plan.tokens_max, ConfigReader(root, limits_path.string()).count_or("max_seq_length", 0));
  TESSERA_CHECK(validate(plan, limits_path.string()));
  return plan;
}

}  // namespace

Result<PoolingModules> parse_pooling_modules(std::string_view text, const std::string& where) {
  TESSERA_TRY(const json root, parse_strict_json(text, where));
  if (!root.is_array() || root.size() > modules_max) {
    return Error{ErrorCode::corrupt, where + ": is no list of at most " + std::to_string(modules_max) + " modules"};
  }
  PoolingModules modules;
  for (const json& entry : root) {
    if (!entry.is_object()) return Error{ErrorCode::corrupt, where + ": a module is no object"};
    const ConfigReader module(entry, where);
    TESSERA_TRY(const std::string type, module.text_or("type", ""));
    const std::string_view kind = last_name(type);
    if (kind == "Transformer" && modules.folder.empty()) continue;
    if (kind == "Normalize" && !modules.folder.empty()) {
      modules.normalised = true;
      continue;
    }
    if (kind != "Pooling" || !modules.folder.empty()) {
      return Error{ErrorCode::unsupported, where + ": the module " + ConfigReader::quoted(type) +
                                               " is not supported at its place; supported: Transformer, Pooling, "
                                               "Normalize, in this order"};
    }
    TESSERA_TRY(modules.folder, module.text_or("path", ""));
    if (!is_folder_name(modules.folder)) {
      return Error{ErrorCode::corrupt, where + ": the path of the pooling is " + ConfigReader::quoted(modules.folder) +
                                           "; only names of folders beside it are accepted"};
    }
  }
  if (modules.folder.empty()) return Error{ErrorCode::unsupported, where + ": has no module Pooling"};
  return modules;
}

Result<Pooling> parse_pooling_config(std::string_view text, const std::string& where) {
  constexpr std::string_view start = "pooling_mode_";
  TESSERA_TRY(const json root, parse_strict_json(text, where));
  if (!root.is_object()) return Error{ErrorCode::corrupt, where + ": is no JSON object"};
  std::vector<std::string> chosen;
  if (root.contains("pooling_mode")) {
    TESSERA_TRY(const std::string mode, ConfigReader(root, where).text_or("pooling_mode", ""));
    chosen.push_back(mode);
  } else {
    for (const auto& [key, value] : root.items()) {
      if (key.starts_with(start) && value == true) chosen.push_back(key.substr(start.size()));
    }
  }
  if (chosen.size() == 1 && pooling_of(chosen[0])) return *pooling_of(chosen[0]);
  std::string list;
  for (const std::string& mode : chosen) list += (list.empty() ? "" : " and ") + ConfigReader::quoted(mode);
  return Error{ErrorCode::unsupported, where + ": the pooling is " + (list.empty() ? "none" : list) +
                                           "; supported is one of mean_tokens, cls_token, lasttoken"};
}

Result<ImportedPooling> import_pooling(const std::string& source_path, const WeightSource& source) {
  if (std::string_view(source.format()) != "safetensors") return ImportedPooling{};
  std::error_code ignored;
  const fs::path folder =
      fs::is_directory(source_path, ignored) ? fs::path(source_path) : fs::path(source_path).parent_path();
  if (!fs::exists(folder / "modules.json", ignored)) return ImportedPooling{};
  auto plan = read_plan(folder);
  if (plan) return ImportedPooling{*plan, {}};
  return ImportedPooling{std::nullopt, "how texts become vectors is left out: " + plan.error().message +
                                           "; tessera embed does it as for a model that says nothing, or by --pooling"};
}

}  // namespace tessera
