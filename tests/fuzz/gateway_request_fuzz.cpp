// Bodies of HTTP requests, messages of WebSockets, paths, where a request says that it comes from, the key that it
// shows, and files of keys. Input: a body; its first byte chooses what it is a body of. What is accepted keeps within
// the protocol's ranges, what is refused has a message and a status of a client's mistake, and an answer that repeats
// it is valid JSON on one line.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/amp_request.hpp"
#include "gateway/chat_request.hpp"
#include "gateway/completion_request.hpp"
#include "gateway/cors.hpp"
#include "gateway/error_shape.hpp"
#include "gateway/inference_request.hpp"
#include "gateway/key_book.hpp"
#include "gateway/origin.hpp"
#include "gateway/shown_key.hpp"
#include "gateway/socket_message.hpp"
#include "gateway/sse.hpp"
#include "gateway/tensorflow_request.hpp"
#include "runtime/base/ensure.hpp"

namespace {

using namespace tessera;
using namespace tessera::gateway;

void check_refusal(const ApiError& error) {
  TESSERA_ENSURE(error.status == 400 && !error.message.empty());
  const std::string event = sse_event(to_json(error));
  TESSERA_ENSURE(event.find('\n') == event.size() - 2);
  TESSERA_ENSURE(!Json::parse(event.substr(6), nullptr, false).is_discarded());
}

void check_drawing(const GenerationFields& fields) {
  TESSERA_ENSURE(fields.sampling.temperature >= 0 && fields.sampling.temperature <= 2);
  TESSERA_ENSURE(fields.sampling.top_p > 0 && fields.sampling.top_p <= 1);
  TESSERA_ENSURE(fields.stop.size() <= stop_texts_max);
  for (const std::string& stop : fields.stop) TESSERA_ENSURE(!stop.empty());
  for (const auto& [token, bias] : fields.sampling.logit_bias)
    TESSERA_ENSURE(token >= 0 && bias >= -100 && bias <= 100);
}

void check_generation(const GenerationFields& fields) {
  TESSERA_ENSURE(!fields.model.empty() && fields.choices >= 1 && fields.choices <= choices_max);
  check_drawing(fields);
}

void use_completion(const Json& body) {
  const auto request = parse_completion(body);
  if (!request) return check_refusal(request.error());
  check_generation(request->generation);
  TESSERA_ENSURE(!request->prompts.empty() && request->generation.tokens_max.has_value());
  for (const CompletionPrompt& prompt : request->prompts) {
    TESSERA_ENSURE(prompt.is_text || !prompt.ids.empty());
    for (const TokenId id : prompt.ids) TESSERA_ENSURE(id >= 0);
  }
}

void use_chat(const Json& body) {
  const auto request = parse_chat(body);
  if (!request) return check_refusal(request.error());
  check_generation(request->generation);
  TESSERA_ENSURE(!request->messages.empty());
  for (const Json& message : request->messages) {
    TESSERA_ENSURE(message["role"].is_string() && message["content"].is_string());
  }
}

/// Headers, a line each: those that show a key, then what a preflight asks for.
void use_headers(std::string_view input) {
  const std::size_t line = std::min(input.find('\n'), input.size());
  const std::string_view rest = input.substr(std::min(line + 1, input.size()));
  const auto key = shown_key(input.substr(0, line), rest);
  if (key) {
    TESSERA_ENSURE(!key->empty() && key->size() <= shown_key_bytes_max);
  } else {
    TESSERA_ENSURE(key.error().status == 401);
    TESSERA_ENSURE(!Json::parse(to_text(to_json(key.error())), nullptr, false).is_discarded());
  }
  for (const auto& [name, value] : preflight_headers(std::string(rest)))
    TESSERA_ENSURE(value.find_first_of("\r\n:") == std::string::npos);
}

/// A book that is understood is written as a text that says the same.
void use_keys(std::string_view input) {
  const auto book = KeyBook::parse(input, "keys");
  if (!book) {
    TESSERA_ENSURE(!book.error().message.empty());
    return;
  }
  TESSERA_ENSURE(book->keys().size() <= keys_max);
  const auto again = KeyBook::parse(book->to_text(), "keys");
  TESSERA_ENSURE(again && again->keys() == book->keys());
}

void check_row(const PromptRow& row) {
  check_drawing(row.parameters);
  TESSERA_ENSURE(row.parameters.tokens_max.value_or(0) >= 1);
  TESSERA_ENSURE(row.messages.is_null() || (row.messages.is_array() && !row.messages.empty()));
}

/// As many values as rows, and valid JSON, whatever the texts are.
void check_whole(const GenerationReply& reply, std::size_t rows) {
  std::vector<FinishedChoice> choices(rows);
  for (FinishedChoice& choice : choices) choice.text = "\n\"";
  const Json whole = reply.whole(choices, {});
  TESSERA_ENSURE(whole.is_object() && !Json::parse(to_text(whole), nullptr, false).is_discarded());
}

void use_predict(const Json& body) {
  const auto request = parse_predict(body);
  check_refusal(refuse_examples(body, "classify"));
  if (!request) return check_refusal(request.error());
  TESSERA_ENSURE(!request->rows.empty());
  for (const PromptRow& row : request->rows) check_row(row);
  check_whole(*make_predict_reply(*request), request->rows.size());
}

void use_infer(const Json& body) {
  const auto request = parse_infer(body);
  if (!request) return check_refusal(request.error());
  std::size_t elements = 1;
  for (const std::size_t size : request->shape) elements *= size;
  TESSERA_ENSURE(request->rows.size() == elements && !request->outputs.empty());
  for (const PromptRow& row : request->rows) check_row(row);
  check_whole(*make_infer_reply("m", *request), elements);
}

void use_generate(const Json& body) {
  for (const bool streams : {false, true}) {
    const auto request = parse_generate(body, streams);
    if (!request) {
      check_refusal(request.error());
      continue;
    }
    check_row(request->row);
    check_whole(*make_generate_reply("m", *request), 1);
  }
}

void use_amp(const Json& body) {
  if (const auto row = read_input(body)) check_row(*row);
  if (const auto request = parse_amp_request(body); !request) {
    check_refusal(request.error());
  } else if (request->input) {
    check_row(*request->input);
  }
  const auto request = parse_amp_target_request(body);
  if (!request) return check_refusal(request.error());
  check_row(request->row);
}

void use_socket(std::string_view text) {
  std::optional<std::string> id;
  if (is_cancel(text)) TESSERA_ENSURE(text.size() <= cancel_bytes_max);
  const auto request = parse_socket_request(text, id);
  if (!request) return check_refusal(request.error());
  TESSERA_ENSURE(request->id == id);
  check_row(request->row);
}

/// A path, which decides how errors are worded.
void use_path(std::string_view path) {
  for (const ApiError& error : {no_such_path("GET", path), wrong_method("PUT", path, "GET"), model_not_found("m")}) {
    const ErrorAnswer answer = shaped_error(error, error_shape_of(path));
    TESSERA_ENSURE(answer.status >= 400 && answer.status < 600);
    TESSERA_ENSURE(!Json::parse(to_text(answer.body), nullptr, false).is_discarded());
  }
}

void use_body(char kind, const Json& body) {
  switch (kind) {
    case 'c':
      return use_chat(body);
    case 't':
      return use_predict(body);
    case 'i':
      return use_infer(body);
    case 'g':
      return use_generate(body);
    case 'a':
      return use_amp(body);
    default:
      return use_completion(body);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == 'o') {
    const std::size_t line = std::min(input.find('\n'), input.size());
    const auto error = check_origin(std::string(input.substr(0, line)),
                                    std::string(input.substr(std::min(line + 1, input.size()))), "127.0.0.1");
    if (error) TESSERA_ENSURE(!Json::parse(to_text(to_json(*error)), nullptr, false).is_discarded());
    return 0;
  }
  if (data[0] == 'h' || data[0] == 'k') {
    data[0] == 'h' ? use_headers(input) : use_keys(input);
    return 0;
  }
  if (data[0] == 's') {
    use_socket(input);
    return 0;
  }
  if (data[0] == '/') {
    use_path(std::string_view(reinterpret_cast<const char*>(data), size));
    return 0;
  }
  const auto body = parse_body(input);
  if (!body) {
    check_refusal(body.error());
  } else {
    use_body(static_cast<char>(data[0]), *body);
  }
  return 0;
}
