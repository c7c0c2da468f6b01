// A request's body as JSON, bounded before it is built: bytes are bounded by the server, nesting and the number of
// values here, since a value takes many times its bytes in memory.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "gateway/api_error.hpp"

namespace tessera::gateway {

/// JSON that keeps the order of keys, as chat templates print them.
using Json = nlohmann::ordered_json;

inline constexpr std::size_t body_nesting_max = 64;
/// Values of one body; a prompt of token ids has one for each token.
inline constexpr std::size_t body_values_max = std::size_t{1} << 20;
/// Keys of one object, and of a body. Objects keep their order, so finding a key takes as long as there are keys.
inline constexpr std::size_t object_keys_max = 1024;
inline constexpr std::size_t body_keys_max = std::size_t{1} << 17;

/// The body's object. Errors (400): not JSON, not an object, nested too deeply, too many values or keys, a key twice in
/// the outermost object.
Outcome<Json> parse_body(std::string_view body);
/// Any value, from the text of a field that holds JSON. Errors: as above, and they name the field.
Outcome<Json> parse_json_text(std::string_view text, const std::string& field);

}  // namespace tessera::gateway
