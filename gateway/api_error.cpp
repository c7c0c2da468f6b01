#include "gateway/api_error.hpp"

#include <nlohmann/json.hpp>

#include "runtime/text/utf8.hpp"

namespace tessera::gateway {

namespace {

constexpr std::uint32_t retry_after_s = 1;

/// What the kind of failure is called, and whether trying again helps.
ApiError classified(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return {400, "invalid_request_error", {}};
    case ErrorCode::unsupported:
      return {400, "invalid_request_error", {}, {}, "unsupported"};
    case ErrorCode::not_found:
      return {404, "invalid_request_error", {}, {}, "model_not_found"};
    case ErrorCode::denied:
      return {403, "permission_error", {}, {}, "permission_denied"};
    case ErrorCode::conflict:
      return {409, "invalid_request_error", {}, {}, "conflict"};
    case ErrorCode::exhausted:
      return {429, "rate_limit_error", {}, {}, "rate_limit_exceeded", retry_after_s};
    case ErrorCode::unavailable:
      return {503, "server_error", {}, {}, "unavailable", retry_after_s};
    case ErrorCode::timed_out:
      return {504, "server_error", {}, {}, "timeout"};
    case ErrorCode::cancelled:
      return {503, "server_error", {}, {}, "cancelled"};
    case ErrorCode::corrupt:
    case ErrorCode::io:
      break;
  }
  return {500, "server_error", {}, {}, "internal_error"};
}

nlohmann::ordered_json or_null(const std::optional<std::string>& text) {
  return text ? nlohmann::ordered_json(*text) : nlohmann::ordered_json();
}

}  // namespace

ApiError bad_request(std::string message, std::optional<std::string> param, std::optional<std::string> code) {
  return {400, "invalid_request_error", std::move(message), std::move(param), std::move(code)};
}

ApiError not_supported(std::string param, const std::string& what) {
  return bad_request(what + " not supported by this server yet; leave '" + param + "' out", param,
                     "unsupported_parameter");
}

ApiError model_not_found(const std::string& model) {
  return {404, "invalid_request_error",
          "The model '" + shortened(model) + "' does not exist; GET /v1/models lists those that do", "model",
          "model_not_found"};
}

ApiError overloaded(std::string message) {
  return {429, "rate_limit_error", std::move(message), {}, "rate_limit_exceeded", retry_after_s};
}

ApiError to_api_error(const Error& error) {
  ApiError result = classified(error.code);
  result.message = error.message;
  return result;
}

std::string shortened(std::string_view text) {
  constexpr std::size_t shown_max = 64;
  if (text.size() <= shown_max) return std::string(text);
  return std::string(text.substr(0, valid_utf8_bytes(text.substr(0, shown_max)))) + "…";
}

nlohmann::ordered_json to_json(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", or_null(error.param)},
            {"code", or_null(error.code)}}}};
}

const char* status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 421:
      return "Misdirected Request";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return status >= 500 ? "Internal Server Error" : "Bad Request";
  }
}

}  // namespace tessera::gateway
