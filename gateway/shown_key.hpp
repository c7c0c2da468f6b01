// The API key that a request shows: "Authorization: Bearer KEY", or "x-api-key: KEY" as other protocols have it.
#pragma once

#include <string>
#include <string_view>

#include "gateway/api_error.hpp"

namespace tessera::gateway {

/// Longer ones are nobody's, and are not hashed.
inline constexpr std::size_t shown_key_bytes_max = 256;

/// 401 invalid_api_key. The message never repeats what was shown.
ApiError invalid_api_key(std::string message);

/// From the two headers, empty where they are not; Authorization counts where it is a Bearer's. Errors: 401.
Outcome<std::string> shown_key(std::string_view authorization, std::string_view api_key);

}  // namespace tessera::gateway
