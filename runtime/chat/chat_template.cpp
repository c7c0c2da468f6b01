#include "runtime/chat/chat_template.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/text/jinja/interpreter.hpp"
#include "runtime/text/jinja/parser.hpp"
#include "runtime/text/jinja/printing.hpp"

namespace tessera {

namespace {

using jinja::Value;

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

ChatTemplate::ChatTemplate(std::shared_ptr<const jinja::Template> parsed, std::string source, std::string where)
    : parsed_(std::move(parsed)), source_(std::move(source)), where_(std::move(where)) {}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string where) {
  TESSERA_TRY(auto parsed, jinja::parse_template(source, where));
  return ChatTemplate(std::move(parsed), std::string(source), std::move(where));
}

Result<std::string> ChatTemplate::render(const ChatInput& input) const {
  if (!input.variables.is_object() && !input.variables.is_null()) {
    return Error{ErrorCode::invalid_argument, where_ + ": the variables must be a JSON object"};
  }
  try {
    jinja::Run run(where_);
    run.now = input.now;
    TESSERA_TRY(const jinja::Variables variables, variables_of(run, *parsed_, input));
    return jinja::Interpreter(*parsed_, run, variables).render();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::exhausted, where_ + ": not enough memory to render the conversation"};
  }
}

}  // namespace tessera
