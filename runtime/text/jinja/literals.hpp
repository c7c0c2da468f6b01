// Numbers and strings as Jinja and Python write them in source.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/value.hpp"

namespace tessera::jinja {

/// Bytes of the literal that the text begins with; 0: none. 1.5, 1e3, 1_000.0 / 12, 1_000, 0x1F, 0o17, 0b101.
std::size_t real_literal_bytes(std::string_view text);
std::size_t integer_literal_bytes(std::string_view text);

/// Of a whole literal. Too large numbers are infinite; none for integers beyond 128 bits.
double real_of_literal(std::string_view literal);
std::optional<Integer> integer_of_literal(std::string_view literal);

/// The inside of a string literal with its escapes resolved. The error says what is wrong with one, without a place.
Result<std::string> unescape(std::string_view inside);

/// Python's int(text, base) and float(text): white space around, signs, underscores between digits. None for what these
/// refuse.
std::optional<Integer> parse_integer(std::string_view text, int base);
std::optional<double> parse_real(std::string_view text);

/// left * right and left + right, or nothing beyond 128 bits.
std::optional<Integer> checked_multiply(Integer left, Integer right);
std::optional<Integer> checked_add(Integer left, Integer right);

}  // namespace tessera::jinja
