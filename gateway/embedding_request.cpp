#include "gateway/embedding_request.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "gateway/generation_plan.hpp"
#include "runtime/base/base64.hpp"
#include "runtime/base/decimal.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::gateway {

namespace {

static_assert(std::endian::native == std::endian::little);

Outcome<std::vector<TokenId>> input_ids(const ModelWithText& model, const CompletionPrompt& input) {
  if (!input.is_text) return input.ids;  // the model's conductor checks them
  if (!model.tokenizer)
    return bad_request("the model " + model.model.name + " has no tokenizer; give the input as token ids", "input");
  std::vector<TokenId> ids = model.tokenizer->encode(to_valid_utf8(input.text), {.add_bos = true, .add_eos = true});
  if (ids.empty()) return bad_request("a text of 'input' is empty; give at least one character", "input");
  return ids;
}

Json vector_json(const std::vector<float>& vector, bool base64) {
  if (base64) {
    std::string bytes(vector.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), vector.data(), bytes.size());
    return encode_base64(bytes);
  }
  Json numbers = Json::array();
  for (const float value : vector) numbers.push_back(decimal_of(value));
  return numbers;
}

}  // namespace

Outcome<EmbeddingRequest> parse_embedding(const Json& body) {
  JsonFields fields(body);
  EmbeddingRequest request;
  const auto model = fields.text("model");
  const Json* const input = fields.any("input");
  const auto format = fields.text("encoding_format");
  const auto dimensions = fields.integer("dimensions", 1, std::numeric_limits<std::int32_t>::max());
  fields.accept("user");
  if (auto error = fields.finish()) return *std::move(error);
  if (!model) return bad_request("you must provide a model: 'model' is missing", "model");
  if (format && *format != "float" && *format != "base64") {
    return bad_request("'encoding_format' must be 'float' or 'base64', not '" + shortened(*format) + "'",
                       "encoding_format");
  }
  request.model = *model;
  request.base64 = format == "base64";
  request.dimensions = static_cast<std::uint32_t>(dimensions.value_or(0));
  TESSERA_TRY(request.inputs, read_prompts(input, "input"));
  return request;
}

Outcome<EmbeddingPlan> plan_embedding(ModelSource& source, const EmbeddingRequest& request) {
  TESSERA_TRY(const ModelWithText model, find_model(source, request.model));
  const PoolingPlan& pooling = model.model.pooling;
  if (request.dimensions != 0 && request.dimensions != model.model.dim) {
    return bad_request("vectors of " + request.model + " have " + std::to_string(model.model.dim) +
                           " elements; to shorten them (dimensions) is not supported",
                       "dimensions", "unsupported_parameter");
  }
  EmbeddingPlan plan;
  plan.model = request.model;
  plan.base64 = request.base64;
  const std::uint32_t tokens_max = std::min(pooling.tokens_max, model.model.positions_max);
  for (const CompletionPrompt& input : request.inputs) {
    TESSERA_TRY(std::vector<TokenId> ids, input_ids(model, input));
    if (ids.size() > tokens_max) {
      return bad_request("This model's maximum input length is " + std::to_string(tokens_max) + " tokens; text " +
                             std::to_string(plan.texts.size() + 1) + " has " + std::to_string(ids.size()) +
                             ". Please shorten it",
                         "input", "context_length_exceeded");
    }
    plan.prompt_tokens += ids.size();
    StreamSpec spec;
    spec.model = request.model;
    spec.prompt = std::move(ids);
    spec.vector = VectorRequest{pooling.pooling, pooling.normalised};
    plan.texts.push_back(std::move(spec));
  }
  return plan;
}

Json embedding_reply(const EmbeddingPlan& plan, const std::vector<std::vector<float>>& vectors) {
  Json data = Json::array();
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", vector_json(vectors[i], plan.base64)}});
  }
  return Json{{"object", "list"},
              {"data", std::move(data)},
              {"model", plan.model},
              {"usage", {{"prompt_tokens", plan.prompt_tokens}, {"total_tokens", plan.prompt_tokens}}}};
}

}  // namespace tessera::gateway
