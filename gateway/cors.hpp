// Cors: which pages of other sites may ask a gateway, and what browsers are told about it (WHATWG Fetch, "CORS
// protocol"). Nothing is, unless it was asked for. Credentials that a browser adds by itself are never allowed: a page
// sends its key in a header.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// Of a request for CORS, longer ones are not repeated.
inline constexpr std::size_t asked_headers_bytes_max = 2048;

/// "https://app.example:8443", or "*" where whoever asks must show a key. Errors: invalid_argument.
Result<void> check_cors_origins(const std::vector<std::string>& origins, bool with_keys);

/// Whether pages of this origin may ask; no page, no origin.
bool is_welcome(const std::vector<std::string>& origins, const std::string& origin);

/// Of every answer to a request that comes from `origin`, where any origin may ask.
std::vector<std::pair<std::string, std::string>> cors_headers(const std::vector<std::string>& origins,
                                                              const std::string& origin);
/// Beside them, of the answer to a preflight, which asks for leave to send `asked` ("content-type, x-mine").
std::vector<std::pair<std::string, std::string>> preflight_headers(const std::string& asked);

}  // namespace tessera::gateway
