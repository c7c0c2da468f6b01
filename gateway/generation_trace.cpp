#include "gateway/generation_trace.hpp"

#include <cmath>

namespace tessera::gateway {

namespace {

double milliseconds(double seconds) { return std::round(seconds * 1e6) / 1e3; }

}  // namespace

Json to_json(const GenerationTrace& trace) {
  Json json{{"total_ms", milliseconds(trace.total_seconds)}};
  if (trace.tokenization_seconds) json["tokenization_ms"] = milliseconds(*trace.tokenization_seconds);
  if (trace.first_token_seconds) json["first_token_ms"] = milliseconds(*trace.first_token_seconds);
  Json choices = Json::array();
  for (const TracedChoice& choice : trace.choices) {
    Json one = Json::object();
    if (choice.phases) {
      one["queue_ms"] = milliseconds(choice.phases->queue_seconds);
      one["prefill_ms"] = milliseconds(choice.phases->prefill_seconds);
      one["decode_ms"] = milliseconds(choice.phases->decode_seconds);
      one["steps"] = choice.phases->steps;
    }
    one["cached_tokens"] = choice.cached_tokens;
    choices.push_back(std::move(one));
  }
  json["choices"] = std::move(choices);
  return json;
}

}  // namespace tessera::gateway
