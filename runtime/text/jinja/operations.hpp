// Operators with Python's meaning: numbers, strings, lists, comparisons, membership.
#pragma once

#include <string>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/ast.hpp"
#include "runtime/text/jinja/run.hpp"

namespace tessera::jinja {

/// Arithmetic and its likes, of two values. Errors: types that do not go together, division by zero, results beyond
/// 128 bits.
Result<Value> binary(Run& run, Operation operation, const Value& left, const Value& right);
/// Negation and +.
Result<Value> unary(Run& run, Operation operation, const Value& operand);
/// Comparisons, `in` and `not in`.
Result<bool> compare(Run& run, Operation operation, const Value& left, const Value& right);

/// Python's <; an error for types without an order.
Result<bool> less(Run& run, const Value& left, const Value& right);
/// `needle in container`
Result<bool> contains(Run& run, const Value& container, const Value& needle);
/// equal(), with its work charged.
Result<bool> equal(Run& run, const Value& left, const Value& right);

/// left + right for text, where markup makes the other side markup too.
Result<Value> concatenate_text(Run& run, const Value& left, const Value& right);
/// The text with &, <, >, ' and " as entities: markup. Markup stays what it is.
Result<Value> escape(Run& run, const Value& value);

/// format % arguments, as Python's printf-style formatting; see printf_format.cpp.
Result<std::string> format_printf(Run& run, std::string_view format, const Value& arguments);

}  // namespace tessera::jinja
