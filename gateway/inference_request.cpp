#include "gateway/inference_request.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace tessera::gateway {

namespace {

constexpr const char* text_name = "text";

struct OutputTensor {
  const char* name;
  const char* datatype;
};

constexpr std::array<OutputTensor, 3> output_tensors{
    {{text_name, "BYTES"}, {"finish_reason", "BYTES"}, {"tokens", "INT32"}}};

/// An object of parameters that is none of ours: all of them are refused but those that ask for JSON.
std::optional<ApiError> check_parameters(const Json* parameters, const std::string& of) {
  if (parameters == nullptr) return {};
  if (!parameters->is_object()) return bad_request("'parameters' of " + of + " must be an object");
  JsonFields fields(*parameters);
  fields.refuse_unless("binary_data", {false}, "Binary tensors are");
  fields.refuse_unless("binary_data_size", {}, "Binary tensors are");
  fields.refuse_unless("classification", {}, "Classes of outputs are");
  return fields.finish();
}

/// priority: 1 is the earliest of 100, 50 what 0 or none means. timeout: microseconds, 0 or none for none.
void read_schedule(JsonFields& fields, GenerationFields& out) {
  constexpr std::int64_t lowest = 100, otherwise = 50;
  const std::int64_t priority = fields.integer("priority", 0, lowest).value_or(0);
  if (priority > 0) out.priority = static_cast<std::int32_t>(priority - otherwise);
  const std::chrono::microseconds timeout(fields.integer("timeout", 0, timeout_seconds_max * 1'000'000).value_or(0));
  out.timeout = std::chrono::ceil<std::chrono::milliseconds>(timeout);
}

/// Those of the request, which hold for all of its elements.
GenerationFields read_request_parameters(JsonFields& request, bool streams) {
  static const Json none = Json::object();
  const Json* const given = request.any("parameters");
  if (given != nullptr && !given->is_object()) {
    request.fail(bad_request("'parameters' must be an object, not " + kind_of(*given), "parameters", "invalid_type"));
    return {};
  }
  JsonFields fields(given == nullptr ? none : *given);
  GenerationFields result = read_row_parameters(fields);
  read_schedule(fields, result);
  fields.refuse_unless("binary_data_output", {false}, "Binary tensors are");
  // Clients of other language models say these; there is one way for each route.
  fields.refuse_unless("stream", {streams}, streams ? "One answer instead of a stream is" : "Streaming here is");
  fields.refuse_unless("exclude_input_in_output", {true}, "The input within the output is");
  if (auto error = fields.finish()) request.fail(*std::move(error));
  return result;
}

Outcome<std::vector<std::size_t>> read_shape(const Json* value) {
  const auto wrong = [] {
    return bad_request("'shape' of the input 'text' must be a list of 1 to " + std::to_string(tensor_rank_max) +
                       " sizes above 0, such as [1]");
  };
  if (value == nullptr || !value->is_array() || value->empty() || value->size() > tensor_rank_max) return wrong();
  std::vector<std::size_t> shape;
  std::size_t elements = 1;
  for (const Json& size : *value) {
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() == 0) return wrong();
    const std::uint64_t count = size.get<std::uint64_t>();
    if (count > body_values_max / elements)
      return bad_request("'shape' of the input 'text' has more than " + std::to_string(body_values_max) + " elements");
    elements *= static_cast<std::size_t>(count);
    shape.push_back(static_cast<std::size_t>(count));
  }
  return shape;
}

std::optional<ApiError> take_text(const Json& element, std::vector<std::string>& texts) {
  if (!element.is_string())
    return bad_request("an element of the input 'text' (BYTES) must be a string, not " + kind_of(element));
  texts.push_back(element.get<std::string>());
  return {};
}

/// Elements of nested data, whose lists must be as long as the shape says.
std::optional<ApiError> flatten(const Json& data, const std::vector<std::size_t>& shape, std::size_t level,
                                std::vector<std::string>& texts) {
  if (level == shape.size()) return take_text(data, texts);
  if (!data.is_array() || data.size() != shape[level]) {
    return bad_request("'data' of the input 'text' does not have its shape: at level " + std::to_string(level) +
                       " a list of " + std::to_string(shape[level]) + " is expected, not " +
                       (data.is_array() ? "one of " + std::to_string(data.size()) : kind_of(data)));
  }
  for (const Json& each : data) {
    if (auto error = flatten(each, shape, level + 1, texts)) return error;
  }
  return {};
}

Outcome<std::vector<std::string>> read_data(const Json* data, const std::vector<std::size_t>& shape) {
  if (data == nullptr || !data->is_array()) return bad_request("'data' of the input 'text' must be a list of strings");
  std::vector<std::string> texts;
  const bool nested = !data->empty() && data->front().is_array();
  if (nested) {
    if (auto error = flatten(*data, shape, 0, texts)) return *std::move(error);
    return texts;
  }
  std::size_t elements = 1;
  for (const std::size_t size : shape) elements *= size;
  if (data->size() != elements) {
    return bad_request("'data' of the input 'text' has " + std::to_string(data->size()) + " elements, its shape " +
                       std::to_string(elements));
  }
  for (const Json& each : *data) {
    if (auto error = take_text(each, texts)) return *std::move(error);
  }
  return texts;
}

/// The input `text`, into rows without parameters.
std::optional<ApiError> read_inputs(const Json* inputs, InferRequest& out) {
  if (inputs == nullptr || !inputs->is_array() || inputs->empty())
    return bad_request("'inputs' must be a list with the input 'text'", "inputs");
  if (inputs->size() > 1)
    return bad_request("expected 1 inputs but got " + std::to_string(inputs->size()) + " inputs", "inputs");
  const Json& input = inputs->front();
  if (!input.is_object()) return bad_request("an input must be an object, not " + kind_of(input), "inputs");
  JsonFields fields(input);
  const auto name = fields.text("name");
  const auto datatype = fields.text("datatype");
  const Json* const shape = fields.any("shape");
  const Json* const data = fields.any("data");
  const Json* const parameters = fields.any("parameters");
  if (auto error = fields.finish()) return error;
  if (name != text_name)
    return bad_request("unexpected inference input '" + shortened(name.value_or("")) + "'; the model has 'text'");
  if (datatype != "BYTES") {
    return bad_request("the input 'text' has the datatype '" + shortened(datatype.value_or("")) +
                       "'; the model expects 'BYTES'");
  }
  if (auto error = check_parameters(parameters, "the input 'text'")) return error;
  auto sizes = read_shape(shape);
  if (!sizes) return sizes.error();
  out.shape = *std::move(sizes);
  auto texts = read_data(data, out.shape);
  if (!texts) return texts.error();
  for (std::string& text : *texts) out.rows.push_back({std::move(text)});
  return {};
}

std::optional<ApiError> read_output(const Json& output, InferRequest& out) {
  if (!output.is_object()) return bad_request("an output must be an object, not " + kind_of(output), "outputs");
  JsonFields fields(output);
  const std::string name = fields.text("name").value_or("");
  const Json* const parameters = fields.any("parameters");
  if (auto error = fields.finish()) return error;
  const auto has_name = [&](const OutputTensor& tensor) { return name == tensor.name; };
  if (std::ranges::none_of(output_tensors, has_name)) {
    return bad_request("unexpected inference output '" + shortened(name) +
                       "'; the model has 'text', 'finish_reason' and 'tokens'");
  }
  if (std::ranges::find(out.outputs, name) != out.outputs.end())
    return bad_request("the output '" + name + "' is asked for twice", "outputs");
  out.outputs.push_back(name);
  return check_parameters(parameters, "the output '" + name + "'");
}

std::optional<ApiError> read_outputs(const Json* outputs, InferRequest& out) {
  if (outputs != nullptr && !outputs->is_array())
    return bad_request("'outputs' must be a list, not " + kind_of(*outputs), "outputs");
  if (outputs == nullptr || outputs->empty()) {
    for (const OutputTensor& tensor : output_tensors) out.outputs.emplace_back(tensor.name);
    return {};
  }
  for (const Json& output : *outputs) {
    if (auto error = read_output(output, out)) return error;
  }
  return {};
}

Json tensor_json(const char* name, const char* datatype) {
  return {{"name", name}, {"datatype", datatype}, {"shape", Json::array({-1})}};
}

Json answer_head(const std::string& model, const std::optional<std::string>& id) {
  Json json = Json::object();
  if (id) json["id"] = *id;
  json["model_name"] = model;
  json["model_version"] = model_version;
  return json;
}

class GenerateReply final : public GenerationReply {
 public:
  explicit GenerateReply(Json head) : head_(std::move(head)) {}

  Json whole(const std::vector<FinishedChoice>& choices, const Usage&) const override {
    return event(choices.front().text);
  }
  void tell(std::size_t, bool begins, const ChoicePiece& piece, std::vector<Json>& events) override {
    // An output without a character has an event, too.
    if (!piece.text.empty() || (begins && piece.finished)) events.push_back(event(piece.text));
  }
  void tell_end(const Usage&, std::vector<Json>&) override {}
  Json quiet() const override { return event(""); }
  Json failure(const ApiError& error) const override { return {{"error", error.message}}; }

 private:
  Json event(const std::string& text) const {
    Json json = head_;
    json["text_output"] = text;
    return json;
  }

  const Json head_;
};

}  // namespace

Outcome<InferRequest> parse_infer(const Json& body) {
  JsonFields fields(body);
  InferRequest request;
  request.id = fields.text("id");
  const GenerationFields parameters = read_request_parameters(fields, false);
  const Json* const inputs = fields.any("inputs");
  const Json* const outputs = fields.any("outputs");
  if (auto error = fields.finish()) return *std::move(error);
  if (auto error = read_inputs(inputs, request)) return *std::move(error);
  if (auto error = read_outputs(outputs, request)) return *std::move(error);
  for (PromptRow& row : request.rows) row.parameters = parameters;
  return request;
}

Outcome<GenerateRequest> parse_generate(const Json& body, bool streams) {
  JsonFields fields(body);
  GenerateRequest request;
  request.id = fields.text("id");
  const auto text = fields.text("text_input");
  request.row.parameters = read_request_parameters(fields, streams);
  if (auto error = fields.finish()) return *std::move(error);
  if (!text) return bad_request("'text_input' is missing", "text_input");
  request.row.text = *text;
  return request;
}

std::unique_ptr<GenerationReply> make_infer_reply(const std::string& model, const InferRequest& request) {
  return make_whole_reply([head = answer_head(model, request.id), shape = request.shape,
                           names = request.outputs](const std::vector<FinishedChoice>& choices) {
    Json outputs = Json::array();
    for (const std::string& name : names) {
      const auto* const tensor =
          std::ranges::find_if(output_tensors, [&](const OutputTensor& each) { return name == each.name; });
      Json data = Json::array();
      for (const FinishedChoice& choice : choices) data.push_back(row_json(choice)[name]);
      outputs.push_back({{"name", name}, {"datatype", tensor->datatype}, {"shape", shape}, {"data", std::move(data)}});
    }
    Json answer = head;
    answer["outputs"] = std::move(outputs);
    return answer;
  });
}

std::unique_ptr<GenerationReply> make_generate_reply(const std::string& model, const GenerateRequest& request) {
  return std::make_unique<GenerateReply>(answer_head(model, request.id));
}

Json inference_metadata_json(const std::string& model) {
  Json outputs = Json::array();
  for (const OutputTensor& tensor : output_tensors) outputs.push_back(tensor_json(tensor.name, tensor.datatype));
  return {{"name", model},
          {"versions", Json::array({model_version})},
          {"platform", "tessera_hdf5"},
          {"inputs", Json::array({tensor_json(text_name, "BYTES")})},
          {"outputs", std::move(outputs)}};
}

}  // namespace tessera::gateway
