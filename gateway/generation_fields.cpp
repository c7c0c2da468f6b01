#include "gateway/generation_fields.hpp"

#include <charconv>
#include <limits>

#include "cluster/control/stream.hpp"

namespace tessera::gateway {

namespace {

constexpr double any_float = 1e6;

/// A token id as a JSON key.
std::optional<TokenId> parse_token(const std::string& text) {
  TokenId token = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), token);
  if (code != std::errc() || end != text.data() + text.size() || token < 0) return {};
  return token;
}

void read_logit_bias(JsonFields& fields, SamplingParameters& sampling) {
  const Json* const map = fields.any("logit_bias");
  if (map == nullptr) return;
  if (!map->is_object()) {
    return fields.fail(bad_request("'logit_bias' must be an object of token ids and numbers, not " + kind_of(*map),
                                   "logit_bias", "invalid_type"));
  }
  for (const auto& [key, value] : map->items()) {
    const auto token = parse_token(key);
    const double bias = value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (token && bias >= -100 && bias <= 100) {
      sampling.logit_bias.emplace_back(*token, static_cast<float>(bias));
      continue;
    }
    return fields.fail(
        bad_request("'logit_bias' must map token ids to numbers from -100 to 100; '" + shortened(key) + "' does not",
                    "logit_bias"));
  }
}

/// How to draw, and where to end.
void read_drawing(JsonFields& fields, GenerationFields& out) {
  const auto number = [&](const char* key, double min, double max, double otherwise) {
    return static_cast<float>(fields.number(key, min, max).value_or(otherwise));
  };
  SamplingParameters& sampling = out.sampling;
  sampling.temperature = number("temperature", 0, 2, 1);
  sampling.top_p = number("top_p", 0, 1, 1);
  // 0 keeps the best token alone, as the smallest share does.
  if (sampling.top_p == 0) sampling.top_p = std::numeric_limits<float>::min();
  sampling.presence_penalty = number("presence_penalty", -2, 2, 0);
  sampling.frequency_penalty = number("frequency_penalty", -2, 2, 0);
  sampling.min_p = number("min_p", 0, 1, 0);
  sampling.repeat_penalty = number("repetition_penalty", 1e-3, any_float, 1);
  // -1 is how some clients write "all".
  const auto top_k = fields.integer("top_k", -1, std::numeric_limits<std::int32_t>::max());
  sampling.top_k = static_cast<std::uint32_t>(std::max<std::int64_t>(0, top_k.value_or(0)));
  const auto seed =
      fields.integer("seed", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max());
  out.seed_given = seed.has_value();
  sampling.seed = static_cast<std::uint64_t>(seed.value_or(0));
  out.stop = fields.texts("stop", stop_texts_max);
  out.ignore_eos = fields.flag("ignore_eos").value_or(false);
}

std::int32_t read_priority(JsonFields& fields) {
  return static_cast<std::int32_t>(fields.integer("priority", priority_min, priority_max).value_or(0));
}

std::chrono::milliseconds read_timeout(JsonFields& fields, double seconds_min) {
  const double seconds = fields.number("timeout", seconds_min, timeout_seconds_max).value_or(0);
  return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
}

void read_stream_options(JsonFields& fields, GenerationFields& out) {
  const Json* const options = fields.any("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) {
    return fields.fail(
        bad_request("'stream_options' must be an object, not " + kind_of(*options), "stream_options", "invalid_type"));
  }
  if (!out.stream) {
    return fields.fail(bad_request("'stream_options' is only allowed where 'stream' is true", "stream_options"));
  }
  JsonFields inner(*options);
  out.include_usage = inner.flag("include_usage").value_or(false);
  inner.refuse_unless("include_obfuscation", {false}, "Obfuscation of streams is");
  if (auto error = inner.finish()) {
    if (error->param) error->param = "stream_options." + *error->param;
    fields.fail(*std::move(error));
  }
}

}  // namespace

GenerationFields read_row_parameters(JsonFields& fields) {
  GenerationFields out;
  read_drawing(fields, out);
  out.tokens_max =
      static_cast<std::uint32_t>(fields.integer("max_tokens", 1, tokens_max_max).value_or(row_tokens_default));
  return out;
}

void read_row_schedule(JsonFields& fields, GenerationFields& out) {
  out.priority = read_priority(fields);
  out.timeout = read_timeout(fields, 0);
}

GenerationFields read_generation_fields(JsonFields& fields) {
  GenerationFields out;
  const auto model = fields.text("model");
  if (!model || model->empty()) fields.fail(bad_request("you must provide a model: 'model' is missing", "model"));
  out.model = model.value_or("");
  read_drawing(fields, out);
  read_logit_bias(fields, out.sampling);
  out.choices = static_cast<std::uint32_t>(fields.integer("n", 1, choices_max).value_or(1));
  out.stream = fields.flag("stream").value_or(false);
  out.return_token_ids = fields.flag("return_token_ids").value_or(false);
  read_stream_options(fields, out);
  out.priority = read_priority(fields);
  out.timeout = read_timeout(fields, 1e-3);
  // What names the user or the request changes no token; the first of these keeps a conversation where its pages are.
  for (const char* const key : {"prompt_cache_key", "user"}) {
    const Json* const name = fields.any(key);
    if (out.session.empty() && name != nullptr && name->is_string()) out.session = name->get<std::string>();
  }
  for (const char* const key : {"safety_identifier", "metadata"}) fields.accept(key);
  fields.refuse_unless("store", {false}, "Storing completions is");
  fields.refuse_unless("service_tier", {"auto", "default"}, "Service tiers are");
  return out;
}

}  // namespace tessera::gateway
