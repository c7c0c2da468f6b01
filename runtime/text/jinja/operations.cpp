#include "runtime/text/jinja/operations.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "runtime/text/jinja/literals.hpp"
#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/text_search.hpp"

namespace tessera::jinja {

namespace {

std::string_view sign_of(Operation operation) {
  static constexpr std::string_view signs[] = {"+",  "-",  "*", "/",  "//", "%",  "**", "-",     "+",
                                               "==", "!=", "<", "<=", ">",  ">=", "in", "not in"};
  return signs[static_cast<std::size_t>(operation)];
}

Error unsuitable(const Run& run, Operation operation, const Value& left, const Value& right) {
  if (left.is_undefined()) return run.error(left.reason());
  if (right.is_undefined()) return run.error(right.reason());
  return run.error("'" + std::string(sign_of(operation)) + "' does not work between " + std::string(type_name(left)) +
                   " and " + std::string(type_name(right)));
}

Result<Value> checked(const Run& run, std::optional<Integer> value) {
  if (!value) return run.error("an integer is too large: more than 128 bits");
  return Value::of(*value);
}

Integer floor_quotient(Integer left, Integer right) {
  const Integer quotient = left / right;
  return left % right != 0 && (left < 0) != (right < 0) ? quotient - 1 : quotient;
}

Result<Value> integer_power(Run& run, Integer base, Integer exponent) {
  if (exponent < 0) {
    if (base == 0) return run.error("0 cannot be raised to a negative power");
    return Value::of(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  if (base == 0 || base == 1 || base == -1) {
    const bool odd = exponent % 2 != 0;
    return Value::of(exponent == 0 ? Integer{1} : base == -1 && !odd ? Integer{1} : base);
  }
  std::optional<Integer> result = 1;
  for (Integer i = 0; i < exponent && result; ++i) result = checked_multiply(*result, base);  // at most 127 rounds
  return checked(run, result);
}

Result<Value> integer_operation(Run& run, Operation operation, Integer left, Integer right) {
  switch (operation) {
    case Operation::add:
      return checked(run, checked_add(left, right));
    case Operation::subtract: {
      Integer result = 0;
      const bool overflow = __builtin_sub_overflow(left, right, &result);
      return checked(run, overflow ? std::nullopt : std::optional(result));
    }
    case Operation::multiply:
      return checked(run, checked_multiply(left, right));
    case Operation::power:
      return integer_power(run, left, right);
    default:
      break;
  }
  if (right == 0) return run.error("division by zero");
  if (operation == Operation::divide) return Value::of(static_cast<double>(left) / static_cast<double>(right));
  if (right == -1) {  // the one quotient that overflows
    if (operation == Operation::modulo) return Value::of(Integer{0});
    return integer_operation(run, Operation::subtract, 0, left);
  }
  if (operation == Operation::floor_divide) return Value::of(floor_quotient(left, right));
  return Value::of(left - floor_quotient(left, right) * right);
}

/// Quotient and remainder as Python's float_divmod finds them: the remainder has the sign of the divisor.
std::pair<double, double> real_divmod(double left, double right) {
  double remainder = std::fmod(left, right);
  double quotient = (left - remainder) / right;
  if (remainder != 0) {
    if ((right < 0) != (remainder < 0)) {
      remainder += right;
      quotient -= 1.0;
    }
  } else {
    remainder = std::copysign(0.0, right);
  }
  if (quotient == 0) return {std::copysign(0.0, left / right), remainder};
  double floored = std::floor(quotient);
  if (quotient - floored > 0.5) floored += 1.0;
  return {floored, remainder};
}

Result<Value> real_operation(Run& run, Operation operation, double left, double right) {
  switch (operation) {
    case Operation::add:
      return Value::of(left + right);
    case Operation::subtract:
      return Value::of(left - right);
    case Operation::multiply:
      return Value::of(left * right);
    case Operation::power: {
      if (left == 0 && right < 0) return run.error("0.0 cannot be raised to a negative power");
      const double result = std::pow(left, right);
      if (std::isnan(result) && !std::isnan(left) && !std::isnan(right)) {
        return run.error("the power of a negative number is no real number");
      }
      if (std::isinf(result) && std::isfinite(left) && std::isfinite(right)) return run.error("a number is too large");
      return Value::of(result);
    }
    default:
      break;
  }
  if (right == 0) return run.error("division by zero");
  if (operation == Operation::divide) return Value::of(left / right);
  const auto [quotient, remainder] = real_divmod(left, right);
  return Value::of(operation == Operation::floor_divide ? quotient : remainder);
}

Result<Value> repeat(Run& run, const Value& value, const Value& count) {
  const std::size_t times =
      count.integer() <= 0 ? 0 : static_cast<std::size_t>(std::min<Integer>(count.integer(), Integer{1} << 60));
  if (value.is_string()) {
    TESSERA_CHECK(run.reserve_each(times, value.text().size()));
    std::string text;
    if (value.text().empty()) return run.text({}, value.is_markup());
    text.reserve(times * value.text().size());
    for (std::size_t i = 0; i < times; ++i) text += value.text();
    return run.text(std::move(text), value.is_markup());
  }
  std::vector<Value> items;
  if (!value.items().empty()) {
    TESSERA_CHECK(run.reserve_each(times, value.items().size() * sizeof(Value)));
    for (std::size_t i = 0; i < times; ++i) items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return run.sequence(value.kind(), std::move(items));
}

Result<Value> add(Run& run, const Value& left, const Value& right) {
  if (left.is_string() && right.is_string()) return concatenate_text(run, left, right);
  if (left.is_sequence() && left.kind() == right.kind()) {
    TESSERA_CHECK(run.reserve_each(left.items().size() + right.items().size(), sizeof(Value)));
    std::vector<Value> items = left.items();
    items.insert(items.end(), right.items().begin(), right.items().end());
    return run.sequence(left.kind(), std::move(items));
  }
  return unsuitable(run, Operation::add, left, right);
}

std::size_t work_of(const Value& value) {
  return extent_of(value).weight + (value.is_string() ? value.text().size() / 32 : 0);
}

Result<bool> less_items(Run& run, const std::vector<Value>& left, const std::vector<Value>& right) {
  for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) {
    TESSERA_TRY(const bool same, equal(run, left[i], right[i]));
    if (!same) return less(run, left[i], right[i]);
  }
  return left.size() < right.size();
}

bool range_contains(const Range& range, const Value& needle) {
  if (!needle.is_number() || range.size == 0) return false;
  if (needle.is(Kind::real) && needle.real() != std::floor(needle.real())) return false;
  if (needle.is(Kind::real) && std::abs(needle.real()) > 1e15) return false;
  const Integer value = needle.is(Kind::real) ? static_cast<Integer>(needle.real()) : needle.integer();
  const Integer distance = value - range.begin;
  return distance % range.step == 0 && distance / range.step >= 0 && distance / range.step < range.size;
}

Result<bool> any_equal(Run& run, const std::vector<Value>& items, std::size_t& next, const Value& needle) {
  while (next < items.size()) {
    TESSERA_TRY(const bool same, equal(run, items[next++], needle));
    if (same) return true;
  }
  return false;
}

}  // namespace

Result<bool> equal(Run& run, const Value& left, const Value& right) {
  TESSERA_CHECK(run.step(std::min(work_of(left), work_of(right))));
  return equal(left, right);
}

Result<Value> binary(Run& run, Operation operation, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral())
      return integer_operation(run, operation, left.integer(), right.integer());
    return real_operation(run, operation, left.as_real(), right.as_real());
  }
  if (operation == Operation::add) return add(run, left, right);
  if (operation == Operation::multiply) {
    if ((left.is_string() || left.is_sequence()) && right.is_integral()) return repeat(run, left, right);
    if ((right.is_string() || right.is_sequence()) && left.is_integral()) return repeat(run, right, left);
  }
  if (operation == Operation::modulo && left.is_string()) {
    TESSERA_TRY(std::string text, format_printf(run, left.text(), right));
    return run.text(std::move(text), left.is_markup());
  }
  return unsuitable(run, operation, left, right);
}

Result<Value> unary(Run& run, Operation operation, const Value& operand) {
  if (operand.is_integral()) {
    if (operation == Operation::keep) return Value::of(operand.integer());
    return integer_operation(run, Operation::subtract, 0, operand.integer());
  }
  if (operand.is(Kind::real)) return Value::of(operation == Operation::keep ? operand.real() : -operand.real());
  if (operand.is_undefined()) return run.error(operand.reason());
  return run.error("a value of type " + std::string(type_name(operand)) + " has no sign");
}

Result<bool> less(Run& run, const Value& left, const Value& right) {
  TESSERA_CHECK(run.step());
  if (left.is_number() && right.is_number()) return compare_numbers(left, right) < 0;
  if (left.is_string() && right.is_string()) {
    TESSERA_CHECK(run.step(std::min(work_of(left), work_of(right))));
    return left.text() < right.text();
  }
  if (left.is_sequence() && left.kind() == right.kind()) return less_items(run, left.items(), right.items());
  return unsuitable(run, Operation::less, left, right);
}

Result<bool> contains(Run& run, const Value& container, const Value& needle) {
  TESSERA_CHECK(run.step());
  std::size_t next = 0;
  switch (container.kind()) {
    case Kind::undefined:
      return false;
    case Kind::string:
      if (!needle.is_string()) return unsuitable(run, Operation::in, needle, container);
      TESSERA_CHECK(run.step(work_of(container)));
      return find_text(container.text(), needle.text()) != std::string_view::npos;
    case Kind::list:
    case Kind::tuple:
    case Kind::view:
      return any_equal(run, container.items(), next, needle);
    case Kind::iterator:
      return any_equal(run, container.items(), container.as<Sequence>().next, needle);
    case Kind::dict:
      if (!hashable(needle)) return unsuitable(run, Operation::in, needle, container);
      if (container.dict().has_other_keys)
        TESSERA_CHECK(run.step(container.dict().entries.size() * extent_of(needle).weight));
      return container.dict().find(needle) != nullptr;
    case Kind::range:
      return range_contains(container.as<Range>(), needle);
    default:
      return unsuitable(run, Operation::in, needle, container);
  }
}

Result<bool> compare(Run& run, Operation operation, const Value& left, const Value& right) {
  switch (operation) {
    case Operation::equal:
      return equal(run, left, right);
    case Operation::not_equal: {
      TESSERA_TRY(const bool same, equal(run, left, right));
      return !same;
    }
    case Operation::in:
      return contains(run, right, left);
    case Operation::not_in: {
      TESSERA_TRY(const bool inside, contains(run, right, left));
      return !inside;
    }
    default:
      break;
  }
  const bool ordered = (left.is_number() && right.is_number()) || (left.is_string() && right.is_string()) ||
                       (left.is_sequence() && left.kind() == right.kind());
  if (!ordered) return unsuitable(run, operation, left, right);
  const bool swapped = operation == Operation::greater || operation == Operation::less_equal;
  const bool is_nan = left.is_number() && (std::isnan(left.as_real()) || std::isnan(right.as_real()));
  if (is_nan) return false;
  TESSERA_TRY(const bool result, swapped ? less(run, right, left) : less(run, left, right));
  return operation == Operation::less || operation == Operation::greater ? result : !result;
}

Result<Value> escape(Run& run, const Value& value) {
  if (value.is_markup()) return value;
  TESSERA_TRY(const std::string text, to_text(run, value));
  TESSERA_CHECK(run.reserve_each(5, text.size()));
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return run.text(std::move(out), true);
}

Result<Value> concatenate_text(Run& run, const Value& left, const Value& right) {
  const bool markup = left.is_markup() || right.is_markup();
  Value first = left, second = right;
  if (markup) {
    TESSERA_TRY(first, escape(run, left));
    TESSERA_TRY(second, escape(run, right));
  }
  TESSERA_CHECK(run.reserve(first.text().size() + second.text().size()));
  std::string text;
  text.reserve(first.text().size() + second.text().size());
  text += first.text();
  text += second.text();
  return run.text(std::move(text), markup);
}

}  // namespace tessera::jinja
