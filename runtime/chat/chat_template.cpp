#include "runtime/chat/chat_template.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/text/jinja/interpreter.hpp"
#include "runtime/text/jinja/parser.hpp"
#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {

namespace {

using jinja::Value;

std::string shown_name(const std::string& name) {
  constexpr std::size_t bytes_max = 60;
  return to_valid_utf8(name.substr(0, bytes_max));
}

/// Converts only what the template reads.
Result<jinja::Variables> variables_of(jinja::Run& run, const jinja::Template& parsed, const ChatInput& input) {
  jinja::Variables variables;
  const auto add = [&](const std::string& name, const nlohmann::ordered_json& json) -> Result<void> {
    if (std::find(parsed.names.begin(), parsed.names.end(), name) == parsed.names.end()) return {};
    TESSERA_TRY(Value value, jinja::from_json(run, json));
    variables.insert_or_assign(name, std::move(value));
    return {};
  };
  TESSERA_CHECK(add("messages", input.messages));
  TESSERA_CHECK(add("tools", input.tools));
  TESSERA_CHECK(add("documents", input.documents));
  TESSERA_CHECK(add("add_generation_prompt", input.add_generation_prompt));
  for (const auto& [name, json] : input.variables.items()) TESSERA_CHECK(add(name, json));
  return variables;
}

}  // namespace

std::vector<NamedTemplate> split_chat_templates(std::string_view text) {
  constexpr const char* only = "default";
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '[') return {{only, std::string(text)}};
  const auto list = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array() || list.empty()) return {{only, std::string(text)}};
  std::vector<NamedTemplate> templates;
  for (const nlohmann::json& entry : list) {
    const auto is_text = [&](const char* key) { return entry.contains(key) && entry[key].is_string(); };
    if (!entry.is_object() || !is_text("name") || !is_text("template")) return {{only, std::string(text)}};
    templates.push_back({entry["name"].get<std::string>(), entry["template"].get<std::string>()});
  }
  return templates;
}

std::string join_chat_templates(const std::vector<NamedTemplate>& templates) {
  if (templates.size() == 1 && templates.front().name == "default") return templates.front().source;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const NamedTemplate& each : templates) {
    nlohmann::ordered_json entry;
    entry["name"] = to_valid_utf8(each.name);
    entry["template"] = to_valid_utf8(each.source);
    list.push_back(std::move(entry));
  }
  return list.dump();
}

ChatTemplate::ChatTemplate(std::vector<Parsed> templates, std::string source, std::string where)
    : templates_(std::move(templates)), source_(std::move(source)), where_(std::move(where)) {}

const ChatTemplate::Parsed* ChatTemplate::find(std::string_view name) const {
  const auto found =
      std::find_if(templates_.begin(), templates_.end(), [&](const Parsed& each) { return each.name == name; });
  return found == templates_.end() ? nullptr : &*found;
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string where) {
  const std::vector<NamedTemplate> sources = split_chat_templates(source);
  if (sources.size() > limits::chat_templates_max) {
    return Error{ErrorCode::exhausted, where + ": has " + std::to_string(sources.size()) + " templates; at most " +
                                           std::to_string(limits::chat_templates_max) + " can be used"};
  }
  ChatTemplate all({}, std::string(source), where);
  for (const NamedTemplate& each : sources) {
    if (all.find(each.name)) return Error{ErrorCode::corrupt, where + ": has two templates of one name"};
    std::string place = sources.size() == 1 ? where : where + " '" + shown_name(each.name) + "'";
    TESSERA_TRY(auto parsed, jinja::parse_template(each.source, place));
    all.templates_.push_back({each.name, std::move(place), std::move(parsed)});
  }
  if (all.find("default")) return all;
  return Error{ErrorCode::corrupt, where + ": has several templates, and none is called 'default'"};
}

Result<const ChatTemplate::Parsed*> ChatTemplate::choose(const ChatInput& input) const {
  const bool uses_tools = !input.tools.is_null() && find("tool_use") != nullptr;
  const Parsed* const chosen = find(!input.template_name.empty() ? std::string_view(input.template_name)
                                    : uses_tools                 ? "tool_use"
                                                                 : "default");
  if (chosen) return chosen;
  std::string names;
  for (const Parsed& each : templates_) names += (names.empty() ? "" : ", ") + shown_name(each.name);
  return Error{ErrorCode::invalid_argument,
               where_ + ": there is no template '" + shown_name(input.template_name) + "'; there is " + names};
}

Result<std::string> ChatTemplate::render(const ChatInput& input) const {
  if (!input.variables.is_object() && !input.variables.is_null()) {
    return Error{ErrorCode::invalid_argument, where_ + ": the variables must be a JSON object"};
  }
  TESSERA_TRY(const Parsed* const chosen, choose(input));
  try {
    jinja::Run run(chosen->where);
    run.now = input.now;
    TESSERA_TRY(const jinja::Variables variables, variables_of(run, *chosen->parsed, input));
    return jinja::Interpreter(*chosen->parsed, run, variables).render();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::exhausted, where_ + ": not enough memory to render the conversation"};
  }
}

}  // namespace tessera
