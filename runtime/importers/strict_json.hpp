// JSON from outside, read with limits: nesting, number of values, no key twice. Memory stays a small multiple of the
// text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"

namespace tessera {

namespace limits {
/// Bytes of one JSON text, so that any is read or refused within a second; a model of 1,024 layers takes a tenth of
/// this.
inline constexpr std::size_t foreign_json_bytes_max = std::size_t{32} << 20;
/// Levels of objects and arrays in the JSON of foreign models.
inline constexpr std::size_t foreign_json_depth_max = 16;
/// Values in one JSON text; a model of 1,024 layers takes a third of this.
inline constexpr std::size_t foreign_json_values_max = std::size_t{1} << 18;
}  // namespace limits

/// What one JSON text may hold.
struct JsonLimits {
  std::size_t bytes_max = limits::foreign_json_bytes_max;
  std::size_t depth_max = limits::foreign_json_depth_max;
  std::size_t values_max = limits::foreign_json_values_max;
};

/// The error (corrupt) says what is wrong and where. Never throws. Any thread.
Result<nlohmann::json> parse_strict_json(std::string_view text, const std::string& where,
                                         const JsonLimits& json_limits = {});

}  // namespace tessera
