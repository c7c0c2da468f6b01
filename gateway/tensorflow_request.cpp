#include "gateway/tensorflow_request.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "gateway/sse.hpp"
#include "runtime/base/base64.hpp"

namespace tessera::gateway {

namespace {

constexpr const char* default_signature = "serving_default";
constexpr const char* bytes_signature = "serving_bytes";

/// An input that a row may have beside its text.
struct OptionalInput {
  std::string_view name;
  const char* dtype;
  const char* values_key;  ///< of a tensor's protocol buffer
  double otherwise;        ///< where it is left out
};

constexpr std::array<OptionalInput, 10> numeric_inputs{{
    {"max_tokens", "DT_INT32", "int_val", row_tokens_default},
    {"temperature", "DT_FLOAT", "float_val", 1},
    {"top_p", "DT_FLOAT", "float_val", 1},
    {"top_k", "DT_INT32", "int_val", 0},
    {"min_p", "DT_FLOAT", "float_val", 0},
    {"presence_penalty", "DT_FLOAT", "float_val", 0},
    {"frequency_penalty", "DT_FLOAT", "float_val", 0},
    {"repetition_penalty", "DT_FLOAT", "float_val", 1},
    {"priority", "DT_INT32", "int_val", 0},
    {"timeout", "DT_FLOAT", "float_val", 0},
}};
// These have no constant that stands for their absence: a seed is drawn, and there may be no stop string.
constexpr std::string_view seed_input = "seed", stop_input = "stop";

std::string text_input(bool is_bytes) { return is_bytes ? "text_bytes" : "text"; }

bool is_input(std::string_view name, bool is_bytes) {
  return name == text_input(is_bytes) || name == seed_input || name == stop_input ||
         std::ranges::find(numeric_inputs, name, &OptionalInput::name) != numeric_inputs.end();
}

/// {"b64": "…"}
bool is_base64(const Json& value) { return value.is_object() && value.size() == 1 && value.contains("b64"); }

/// A value with its bytes decoded, wherever they stand.
Outcome<Json> decoded(const Json& value) {
  if (value.is_null()) return bad_request("JSON Value: null is not of any input's type");
  if (is_base64(value)) {
    const Json& text = value["b64"];
    auto bytes = text.is_string() ? decode_base64(text.get_ref<const std::string&>()) : std::nullopt;
    if (!bytes) return bad_request("Unable to base64 decode: 'b64' must be padded base64");
    return Json(*std::move(bytes));
  }
  if (!value.is_array()) return value;
  Json list = Json::array();
  for (const Json& each : value) {
    TESSERA_TRY(Json inner, decoded(each));
    list.push_back(std::move(inner));
  }
  return list;
}

/// A row of named values, decoded already.
Outcome<PromptRow> read_row(const Json& values, bool is_bytes) {
  JsonFields fields(values);
  PromptRow row;
  const auto text = fields.text(text_input(is_bytes));
  row.parameters = read_row_parameters(fields);
  read_row_schedule(fields, row.parameters);
  if (auto error = fields.finish()) return *std::move(error);
  row.text = text.value_or("");
  return row;
}

Outcome<bool> read_signature(const Json& body) {
  const auto found = body.find("signature_name");
  if (found == body.end()) return false;
  if (!found->is_string()) return bad_request("'signature_name' must be a string, not " + kind_of(*found));
  const std::string name = found->get<std::string>();
  if (name.empty() || name == default_signature) return false;
  if (name == bytes_signature) return true;
  return bad_request("Serving signature key \"" + shortened(name) + "\" not found.");
}

ApiError failed_element(std::size_t index, const std::string& key, const std::string& why) {
  return bad_request("Failed to process element: " + std::to_string(index) +
                     (key.empty() ? "" : " key: " + shortened(key)) + " of 'instances' list. Error: " + why);
}

std::set<std::string> keys_of(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + shortened(name);
  return text;
}

/// An element of "instances" as an object of decoded values.
Outcome<Json> instance_values(const Json& element, std::size_t index, bool is_bytes) {
  Json values = Json::object();
  const bool is_object = element.is_object() && !is_base64(element);
  if (!is_object) {
    auto value = decoded(element);
    if (!value) return failed_element(index, {}, value.error().message);
    values[text_input(is_bytes)] = *std::move(value);
    return values;
  }
  for (const auto& [key, given] : element.items()) {
    if (!is_input(key, is_bytes))
      return failed_element(index, key, "JSON object: does not have named input: " + shortened(key));
    auto value = decoded(given);
    if (!value) return failed_element(index, key, value.error().message);
    values[key] = *std::move(value);
  }
  return values;
}

/// Stop strings are the one input that may be a list; rows must have lists of one length.
std::optional<std::string> differing_shape(const Json& first, const Json& row) {
  const std::string stop(stop_input);
  if (!row.contains(stop)) return {};
  const auto size = [](const Json& value) { return value.is_array() ? value.size() : 1; };
  if (row[stop].is_array() == first[stop].is_array() && size(row[stop]) == size(first[stop])) return {};
  return "Expecting tensor size: " + std::to_string(size(first[stop])) + " but got: " + std::to_string(size(row[stop]));
}

/// What differs between a row and the first one, which must be alike.
std::optional<ApiError> check_like_first(const Json& first, const Json& row, std::size_t index, bool is_bytes) {
  const std::string text = text_input(is_bytes);
  std::set<std::string> expected = keys_of(first);
  expected.insert(text);
  if (keys_of(row) != expected) {
    return bad_request("Failed to process element: " + std::to_string(index) + " of 'instances' list. JSON object: " +
                       shortened(to_text(row)) + " keys must be equal to: " + joined(expected));
  }
  if (const auto why = differing_shape(first, row)) return failed_element(index, std::string(stop_input), *why);
  return {};
}

Outcome<std::vector<PromptRow>> read_instances(const Json& list, bool is_bytes) {
  if (!list.is_array()) return bad_request("Expecting 'instances' to be a list/array");
  if (list.empty()) return bad_request("No values in 'instances' array");
  const auto is_object = [](const Json& element) { return element.is_object() && !is_base64(element); };
  const bool objects = is_object(list.front());
  std::vector<PromptRow> rows;
  Json first;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (is_object(list[i]) != objects) {
      return bad_request(
          std::string(objects ? "Expecting object but got value/list" : "Expecting value/list but got object") +
          " at item " + std::to_string(i) + " of input list");
    }
    TESSERA_TRY(Json values, instance_values(list[i], i, is_bytes));
    if (i == 0) first = values;
    if (auto error = check_like_first(first, values, i, is_bytes)) return *std::move(error);
    auto row = read_row(values, is_bytes);
    if (!row) return failed_element(i, {}, row.error().message);
    rows.push_back(*std::move(row));
  }
  return rows;
}

/// {"name": [values of all rows]}
Outcome<Json> input_columns(const Json& inputs, bool is_bytes) {
  const std::string text = text_input(is_bytes);
  Json columns = Json::object();
  if (!inputs.is_object() || is_base64(inputs)) {
    columns[text] = inputs;
  } else {
    for (const auto& [key, value] : inputs.items()) {
      if (!is_input(key, is_bytes)) return bad_request("JSON object: does not have named input: " + shortened(key));
      columns[key] = value;
    }
    if (!columns.contains(text)) return bad_request("Missing named input: " + text + " in 'inputs' object.");
  }
  for (auto& [key, value] : columns.items()) {
    if (!value.is_array()) {
      return bad_request("'" + key + "' in 'inputs' must be a list with a value for each row, not " + kind_of(value));
    }
    TESSERA_TRY(value, decoded(Json(value)));
  }
  return columns;
}

Outcome<std::vector<PromptRow>> read_columns(const Json& inputs, bool is_bytes) {
  TESSERA_TRY(const Json columns, input_columns(inputs, is_bytes));
  const std::string text = text_input(is_bytes);
  const std::size_t count = columns[text].size();
  if (count == 0) return bad_request("No values in '" + text + "' of 'inputs'");
  for (const auto& [key, column] : columns.items()) {
    if (column.size() == count) continue;
    return bad_request("'" + key + "' in 'inputs' has " + std::to_string(column.size()) + " values and '" + text +
                       "' has " + std::to_string(count) + "; give one for each row");
  }
  std::vector<PromptRow> rows;
  Json first;
  for (std::size_t i = 0; i < count; ++i) {
    Json values = Json::object();
    for (const auto& [key, column] : columns.items()) values[key] = column[i];
    if (i == 0) first = values;
    if (const auto why = differing_shape(first, values))
      return bad_request("row " + std::to_string(i) + " of 'stop' in 'inputs': " + *why);
    auto row = read_row(values, is_bytes);
    if (!row) return bad_request("row " + std::to_string(i) + " of 'inputs': " + row.error().message);
    rows.push_back(*std::move(row));
  }
  return rows;
}

Json text_json(const std::string& text, bool is_bytes) {
  return is_bytes ? Json{{"b64", encode_base64(text)}} : Json(text);
}

Json tensor_shape(bool any_rank) {
  Json dim = Json::array();
  if (!any_rank) dim.push_back({{"size", "-1"}, {"name", ""}});
  return {{"dim", std::move(dim)}, {"unknown_rank", any_rank}};
}

Json tensor_info(const std::string& name, const char* dtype, bool any_rank = false) {
  return {{"dtype", dtype}, {"tensor_shape", tensor_shape(any_rank)}, {"name", name + ":0"}};
}

Json signature_json(bool is_bytes) {
  const std::string text = text_input(is_bytes);
  Json inputs{{text, tensor_info(text, "DT_STRING")}}, defaults = Json::object();
  for (const OptionalInput& input : numeric_inputs) {
    const std::string name(input.name);
    inputs[name] = tensor_info(name, input.dtype);
    const bool whole = std::string_view(input.dtype) == "DT_INT32";
    defaults[name] = {{"dtype", input.dtype},
                      {"tensor_shape", {{"dim", Json::array()}, {"unknown_rank", false}}},
                      {input.values_key, Json::array({whole ? Json(static_cast<std::int64_t>(input.otherwise))
                                                            : Json(input.otherwise)})}};
  }
  inputs[std::string(seed_input)] = tensor_info(std::string(seed_input), "DT_INT64");
  inputs[std::string(stop_input)] = tensor_info(std::string(stop_input), "DT_STRING", true);
  Json outputs{{text, tensor_info(text, "DT_STRING")},
               {"finish_reason", tensor_info("finish_reason", "DT_STRING")},
               {"tokens", tensor_info("tokens", "DT_INT32")}};
  return {{"inputs", std::move(inputs)},
          {"outputs", std::move(outputs)},
          {"method_name", "tensorflow/serving/predict"},
          {"defaults", std::move(defaults)}};
}

}  // namespace

Outcome<PredictRequest> parse_predict(const Json& body) {
  PredictRequest request;
  TESSERA_TRY(request.is_bytes, read_signature(body));
  const bool has_rows = body.contains("instances");
  request.by_columns = body.contains("inputs");
  if (has_rows && request.by_columns)
    return bad_request("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist");
  if (!has_rows && !request.by_columns) return bad_request("Missing 'inputs' or 'instances' key");
  if (has_rows) {
    TESSERA_TRY(request.rows, read_instances(body["instances"], request.is_bytes));
  } else {
    TESSERA_TRY(request.rows, read_columns(body["inputs"], request.is_bytes));
  }
  return request;
}

ApiError refuse_examples(const Json& body, const std::string& method) {
  if (const auto signature = read_signature(body); !signature) return signature.error();
  const auto examples = body.find("examples");
  if (examples == body.end())
    return bad_request("When method is " + method + ", key 'examples' is expected and was not found");
  if (!examples->is_array()) return bad_request("Expecting 'examples' value to be a list/array");
  if (examples->empty()) return bad_request("'examples' value is an empty array");
  return bad_request("Expected " + std::string(method == "classify" ? "classification" : "regression") +
                     " signature method_name to be tensorflow/serving/" + method +
                     ". Was: tensorflow/serving/predict. The model generates text; use :predict");
}

std::unique_ptr<GenerationReply> make_predict_reply(const PredictRequest& request) {
  return make_whole_reply(
      [by_columns = request.by_columns, is_bytes = request.is_bytes](const std::vector<FinishedChoice>& choices) {
        const std::string text = text_input(is_bytes);
        Json rows = Json::array(),
             columns{{text, Json::array()}, {"finish_reason", Json::array()}, {"tokens", Json::array()}};
        for (const FinishedChoice& choice : choices) {
          Json row{{text, text_json(choice.text, is_bytes)}};
          row.update(row_json(choice));
          if (is_bytes) row.erase("text");
          for (auto& [key, column] : columns.items()) column.push_back(row[key]);
          rows.push_back(std::move(row));
        }
        return by_columns ? Json{{"outputs", std::move(columns)}} : Json{{"predictions", std::move(rows)}};
      });
}

Json version_status_json(bool serves) {
  return Json::array({Json{{"version", model_version},
                           {"state", serves ? "AVAILABLE" : "LOADING"},
                           {"status", {{"error_code", "OK"}, {"error_message", ""}}}}});
}

Json metadata_json(const std::string& model) {
  Json signatures{{default_signature, signature_json(false)}, {bytes_signature, signature_json(true)}};
  return {{"model_spec", {{"name", model}, {"signature_name", ""}, {"version", model_version}}},
          {"metadata", {{"signature_def", {{"signature_def", std::move(signatures)}}}}}};
}

}  // namespace tessera::gateway
