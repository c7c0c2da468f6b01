// Bounds of a JSON text from outside, checked before a parser builds anything: a value takes many times its bytes in
// memory, and nesting takes stack.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

struct JsonBounds {
  std::size_t nesting = 0;                                            ///< levels of arrays and objects
  std::size_t values = 0;                                             ///< of all kinds; about, never too few
  std::size_t keys = std::numeric_limits<std::size_t>::max();         ///< in all
  std::size_t object_keys = std::numeric_limits<std::size_t>::max();  ///< of one object
};

/// What the text exceeds, such as "is nested more than 8 levels deep"; nothing: no bound. Whether it is JSON at all,
/// the parser says.
std::optional<std::string> json_exceeds(std::string_view text, const JsonBounds& bounds);

}  // namespace tessera
