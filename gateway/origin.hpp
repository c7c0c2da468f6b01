// Who may ask a gateway without keys: programs of this machine. A page of another site that a browser here shows is
// none, though its requests come from this machine, too.
#pragma once

#include <optional>
#include <string>

#include "gateway/api_error.hpp"

namespace tessera::gateway {

/// `host` and `origin` as the headers have them, empty where they are not. 421 where the browser was led here by
/// another name (DNS rebinding), 403 where the page is another site's. `own_host`: what the server listens on;
/// `scheme`: "http" or "https".
std::optional<ApiError> check_origin(const std::string& host, const std::string& origin, const std::string& own_host,
                                     const std::string& scheme = "http");

}  // namespace tessera::gateway
