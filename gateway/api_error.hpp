// ApiError: why a request was refused, in the words of OpenAI's protocol: {"error": {"message", "type", "param",
// "code"}}. The HTTP status decides what a client does next: 429 and 5xx are tried again, others are not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"

namespace tessera::gateway {

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string message;
  std::optional<std::string> param = {};  ///< the field of the request that is wrong, such as "messages[2].content"
  std::optional<std::string> code = {};
  std::optional<std::uint32_t> retry_after_s = {};
};

/// 400, with the field that is wrong.
ApiError bad_request(std::string message, std::optional<std::string> param = {}, std::optional<std::string> code = {});
/// 400: the protocol has it, this server does not. Never silently ignored.
ApiError not_supported(std::string param, const std::string& what);
/// 404 model_not_found.
ApiError model_not_found(const std::string& model);
/// 429 with retry-after.
ApiError overloaded(std::string message);

/// The status that fits the kind of failure: not_found 404, exhausted 429, unavailable 503, timed_out 504 …
ApiError to_api_error(const Error& error);

/// What a client wrote, for a message: at most 64 bytes of it.
std::string shortened(std::string_view text);
/// {"error": {…}}
nlohmann::ordered_json to_json(const ApiError& error);
/// The reason phrase of a status, "Bad Request".
const char* status_text(int status);

/// A value, or why the request was refused.
template <typename T>
using Outcome = Result<T, ApiError>;

}  // namespace tessera::gateway
