#include "gateway/amp_request.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/chat_request.hpp"
#include "gateway/sse.hpp"

namespace tessera::gateway {

namespace {

constexpr std::array<const char*, 3> said_keys{"text", "prompt", "messages"};

bool is_understood(const Json& object) {
  return std::ranges::any_of(said_keys, [&](const char* key) { return object.contains(key); });
}

PromptRow said(std::string text) {
  const Json none = Json::object();
  JsonFields defaults(none);
  return {std::move(text), {}, true, read_row_parameters(defaults)};
}

/// A text of JSON, or JSON itself.
Outcome<PromptRow> read_input_field(const Json& value, const std::string& field) {
  if (!value.is_string()) return read_input(value);
  TESSERA_TRY(const Json parsed, parse_json_text(value.get_ref<const std::string&>(), field));
  return read_input(parsed);
}

}  // namespace

PromptRow read_said(JsonFields& fields) {
  PromptRow row;
  const auto text = fields.text("text");
  const auto prompt = fields.text("prompt");
  const Json* const messages = fields.any("messages");
  row.parameters = read_row_parameters(fields);
  read_row_schedule(fields, row.parameters);
  if ((text ? 1 : 0) + (prompt ? 1 : 0) + (messages != nullptr ? 1 : 0) != 1)
    fields.fail(bad_request("give one of 'text', 'prompt' and 'messages'", "text"));
  if (messages != nullptr) {
    auto read = read_messages(messages);
    if (!read) {
      fields.fail(read.error());
    } else {
      row.messages = *std::move(read);
    }
  }
  row.text = text ? *text : prompt.value_or("");
  row.is_said = text.has_value();
  return row;
}

Outcome<PromptRow> read_input(const Json& input) {
  if (input.is_string()) return said(input.get<std::string>());
  if (!input.is_object() || !is_understood(input)) return said(to_text(input));
  JsonFields fields(input);
  PromptRow row = read_said(fields);
  if (auto error = fields.finish()) return *std::move(error);
  return row;
}

Outcome<AmpRequest> parse_amp_request(const Json& body, std::optional<std::string> model) {
  JsonFields fields(body);
  AmpRequest request;
  if (!model) model = fields.text("model");
  const Json* const input = fields.any("input");
  if (auto error = fields.finish()) return *std::move(error);
  if (!model || model->empty()) return bad_request("'model' is missing: the name of a model", "model");
  request.model = *std::move(model);
  if (input != nullptr) {
    TESSERA_TRY(request.input, read_input_field(*input, "input"));
  }
  return request;
}

Outcome<AmpTargetRequest> parse_amp_target_request(const Json& body) {
  JsonFields fields(body);
  const auto model = fields.text("model_id");
  const Json* const parameters = fields.any("input_parameters");
  const std::string target = fields.text("output_target").value_or("text");
  if (auto error = fields.finish()) return *std::move(error);
  if (!model || model->empty()) return bad_request("'model_id' is missing: an id of GET /api/model", "model_id");
  if (parameters == nullptr || !parameters->is_object())
    return bad_request("'input_parameters' must be an object", "input_parameters");
  if (target == "text") {
    TESSERA_TRY(PromptRow row, read_input(*parameters));
    return AmpTargetRequest{*model, std::move(row)};
  }
  if (is_understood(*parameters)) {
    return bad_request(
        "the output of " + shortened(*model) + " is 'text', not '" + shortened(target) + "'; leave 'output_target' out",
        "output_target");
  }
  return AmpTargetRequest{*model, said(to_text({{"input_parameters", *parameters}, {"output_target", target}}))};
}

}  // namespace tessera::gateway
