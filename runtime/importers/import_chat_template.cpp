#include "runtime/importers/import_chat_template.hpp"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/chat/chat_template.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/strict_json.hpp"
#include "runtime/text/jinja/limits.hpp"

namespace tessera {

namespace {

/// The template, and the file that it was found in.
struct Found {
  std::string text, where;
};

/// Of two templates of one name the later counts, at the place of the earlier.
void put_template(std::vector<NamedTemplate>& templates, NamedTemplate added) {
  const auto same = std::find_if(templates.begin(), templates.end(),
                                 [&](const NamedTemplate& each) { return each.name == added.name; });
  if (same == templates.end()) {
    templates.push_back(std::move(added));
  } else {
    same->source = std::move(added.source);
  }
}

/// Files of further templates, by their names: NAME.jinja.
Result<std::vector<NamedTemplate>> read_additional(const std::filesystem::path& folder) {
  std::vector<NamedTemplate> templates;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::filesystem::path& path = entry->path();
    if (path.extension() != ".jinja") continue;
    if (templates.size() == limits::chat_templates_max) {
      return Error{ErrorCode::exhausted,
                   folder.string() + ": has more than " + std::to_string(limits::chat_templates_max) + " templates"};
    }
    TESSERA_TRY(std::string text, read_text(path.string(), limits::template_bytes_max, "a chat template"));
    templates.push_back({path.stem().string(), std::move(text)});
  }
  std::sort(templates.begin(), templates.end(),
            [](const NamedTemplate& a, const NamedTemplate& b) { return a.name < b.name; });
  return templates;
}

/// The template of chat_template.jinja, or those of the JSON files.
Result<Found> find_main(const std::filesystem::path& folder) {
  const auto path_of = [&](const char* name) { return (folder / name).string(); };
  std::error_code ignored;
  if (const std::string path = path_of("chat_template.jinja"); std::filesystem::exists(path, ignored)) {
    TESSERA_TRY(std::string text, read_text(path, limits::template_bytes_max, "a chat template"));
    return Found{std::move(text), path};
  }
  for (const char* const name : {"chat_template.json", "tokenizer_config.json"}) {
    const std::string path = path_of(name);
    if (!std::filesystem::exists(path, ignored)) continue;
    TESSERA_TRY(const std::string json, read_text(path, limits::foreign_json_bytes_max, "a JSON file"));
    TESSERA_TRY(std::optional<std::string> text, parse_chat_template_json(json, path));
    if (text) return Found{*std::move(text), path};
  }
  return Found{};
}

Result<Found> find_in_folder(const std::filesystem::path& folder) {
  TESSERA_TRY(Found found, find_main(folder));
  const std::filesystem::path more = folder / "additional_chat_templates";
  TESSERA_TRY(const std::vector<NamedTemplate> additional, read_additional(more));
  if (additional.empty()) return found;
  if (found.where.empty()) found.where = more.string();
  std::vector<NamedTemplate> all = found.text.empty() ? std::vector<NamedTemplate>() : split_chat_templates(found.text);
  for (const NamedTemplate& each : additional) put_template(all, each);
  found.text = join_chat_templates(all);
  return found;
}

Result<Found> find_template(const std::string& source_path, const WeightSource& source) {
  if (std::string own = source.chat_template(); !own.empty()) return Found{std::move(own), source_path};
  std::error_code ignored;
  if (std::filesystem::is_directory(source_path, ignored)) return find_in_folder(source_path);
  if (std::string_view(source.format()) == "safetensors") {
    return find_in_folder(std::filesystem::path(source_path).parent_path());
  }
  return Found{};
}

Result<std::string> checked(Found found) {
  if (found.text.empty()) return std::string();
  if (found.text.size() > limits::template_bytes_max) {
    return Error{ErrorCode::exhausted, found.where + ": its chat template is longer than " +
                                           std::to_string(limits::template_bytes_max >> 20) + " MiB"};
  }
  TESSERA_TRY(const ChatTemplate parsed, ChatTemplate::parse(found.text, found.where + ": chat template"));
  return parsed.source();
}

}  // namespace

Result<std::optional<std::string>> parse_chat_template_json(std::string_view json, const std::string& where) {
  TESSERA_TRY(const nlohmann::json root, parse_strict_json(json, where));
  const auto member = root.find("chat_template");
  if (!root.is_object() || member == root.end() || member->is_null()) return std::optional<std::string>();
  if (member->is_string()) return std::optional(member->get<std::string>());
  if (member->is_array()) {
    std::vector<NamedTemplate> templates;
    for (const auto& named : *member) {
      const auto is_text = [&](const char* key) { return named.contains(key) && named[key].is_string(); };
      if (!named.is_object() || !is_text("name") || !is_text("template")) {
        return Error{ErrorCode::corrupt, where + ": one of its chat templates has no name or no text"};
      }
      put_template(templates, {named["name"].get<std::string>(), named["template"].get<std::string>()});
    }
    if (!templates.empty()) return std::optional(join_chat_templates(templates));
  }
  return Error{ErrorCode::corrupt, where + ": chat_template is neither a text nor a list of named ones"};
}

Result<ImportedChatTemplate> import_chat_template(const std::string& path, const std::string& source_path,
                                                  const WeightSource& source) {
  if (!path.empty()) {
    TESSERA_TRY(std::string text, read_text(path, limits::template_bytes_max, "a chat template"));
    if (text.empty()) return Error{ErrorCode::corrupt, path + ": is empty; give a chat template"};
    TESSERA_TRY(text, checked({std::move(text), path}));
    return ImportedChatTemplate{std::move(text), {}};
  }
  const auto use = [&]() -> Result<std::string> {
    TESSERA_TRY(Found found, find_template(source_path, source));
    return checked(std::move(found));
  };
  auto text = use();
  if (text) return ImportedChatTemplate{*std::move(text), {}};
  return ImportedChatTemplate{
      {}, "the chat template is left out: " + text.error().message + "; give another one with --chat-template"};
}

}  // namespace tessera
