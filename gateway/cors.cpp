#include "gateway/cors.hpp"

#include <algorithm>
#include <string_view>

namespace tessera::gateway {

namespace {

constexpr const char* any_origin = "*";
/// What a page may read beside the few headers that every page may.
constexpr const char* exposed =
    "x-request-id, x-tessera-seed, retry-after, x-should-retry, x-ratelimit-limit-requests, "
    "x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "
    "x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";
constexpr const char* own_headers = "authorization, content-type, x-api-key, x-request-id";
/// For which a browser may keep the answer to a preflight.
constexpr const char* preflight_seconds = "600";

bool is_origin(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!text.starts_with(scheme)) continue;
    const std::string_view host = text.substr(scheme.size());
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyz0123456789-._:[]";
    return !host.empty() && host.find_first_not_of(allowed) == std::string_view::npos;
  }
  return false;
}

/// Names of headers with commas between them.
bool is_header_list(std::string_view text) {
  return !text.empty() && text.size() <= asked_headers_bytes_max && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_, ").find(c) != std::string_view::npos;
  });
}

bool any_may(const std::vector<std::string>& origins) {
  return std::ranges::find(origins, any_origin) != origins.end();
}

}  // namespace

Result<void> check_cors_origins(const std::vector<std::string>& origins, bool with_keys) {
  for (const std::string& origin : origins) {
    if (origin == any_origin && with_keys) continue;
    if (origin == any_origin) {
      return Error{ErrorCode::invalid_argument,
                   "without keys, not every page may ask: name those that may with --cors-origin, or give --keys"};
    }
    if (is_origin(origin)) continue;
    return Error{ErrorCode::invalid_argument,
                 "'" + origin.substr(0, 64) +
                     "' is no origin as browsers send it; give https://HOST or http://HOST:PORT in lower case, "
                     "without a path or a slash at the end"};
  }
  return {};
}

bool is_welcome(const std::vector<std::string>& origins, const std::string& origin) {
  if (origin.empty()) return false;
  return any_may(origins) || std::ranges::find(origins, origin) != origins.end();
}

std::vector<std::pair<std::string, std::string>> cors_headers(const std::vector<std::string>& origins,
                                                              const std::string& origin) {
  std::vector<std::pair<std::string, std::string>> headers;
  // What lies between may keep an answer, but not for other origins.
  if (!any_may(origins)) headers.emplace_back("Vary", "Origin");
  if (!is_welcome(origins, origin)) return headers;
  headers.emplace_back("Access-Control-Allow-Origin", any_may(origins) ? any_origin : origin);
  headers.emplace_back("Access-Control-Expose-Headers", exposed);
  return headers;
}

std::vector<std::pair<std::string, std::string>> preflight_headers(const std::string& asked) {
  return {{"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE"},
          {"Access-Control-Allow-Headers", is_header_list(asked) ? asked : own_headers},
          {"Access-Control-Max-Age", preflight_seconds}};
}

}  // namespace tessera::gateway
