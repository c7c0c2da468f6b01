// Values as text: Python's str() and repr(), json.dumps() as the reference's `tojson` filter calls it, and JSON as
// values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/run.hpp"

namespace tessera::jinja {

std::string decimal(Integer value);
/// Python's repr(float): the shortest digits that read back as the same number.
std::string repr_of(double value);
/// Python's repr(str), with every character beyond ASCII escaped if `ascii`.
std::string repr_of(std::string_view text, bool ascii = false);

/// str(value): nothing for undefined. Errors: exhausted.
Result<std::string> to_text(Run& run, const Value& value);
Result<std::string> to_repr(Run& run, const Value& value);
/// A string stays what it is, also markup; other values become str(value).
Result<Value> to_text_value(Run& run, const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  ///< of one level; none: all in one line
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
/// Errors for what JSON has no form for, undefined included.
Result<std::string> to_json(Run& run, const Value& value, const JsonStyle& style);

/// Strings that are not valid UTF-8 are repaired. Errors: exhausted, for too deep or too many values.
Result<Value> from_json(Run& run, const nlohmann::ordered_json& json);

}  // namespace tessera::jinja
