#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "runtime/text/jinja/filter_tables.hpp"
#include "runtime/text/jinja/literals.hpp"
#include "runtime/text/jinja/number_format.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"

namespace tessera::jinja {

namespace {

/// int(real), if it has one.
std::optional<Integer> truncated(double value) {
  if (!std::isfinite(value) || std::abs(value) > 1.7e38) return std::nullopt;
  return static_cast<Integer>(value);
}

Result<Value> integer(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "int", arguments, {"default", "base"}));
  if (value.is_undefined()) return run.error(value.reason());
  const Value otherwise = bound[0].value_or(Value::of(0));
  if (value.is_integral()) return Value::of(value.integer());
  if (value.is(Kind::real)) {
    const auto result = truncated(value.real());
    return result ? Value::of(*result) : otherwise;
  }
  if (!value.is_string()) return otherwise;
  std::int64_t base = 10;
  if (bound[1]) {
    TESSERA_TRY(base, integer_argument(run, *bound[1], "the base of int"));
  }
  if (base != 0 && (base < 2 || base > 36)) return run.error("the base of int must be 0, or 2 to 36");
  TESSERA_CHECK(run.step(value.text().size() / 8));
  if (const auto result = parse_integer(value.text(), static_cast<int>(base))) return Value::of(*result);
  if (const auto real = parse_real(value.text())) {
    if (const auto result = truncated(*real)) return Value::of(*result);
  }
  return otherwise;
}

Result<Value> real(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "float", arguments, {"default"}));
  if (value.is_undefined()) return run.error(value.reason());
  if (value.is_number()) return Value::of(value.as_real());
  if (value.is_string()) {
    TESSERA_CHECK(run.step(value.text().size() / 8));
    if (const auto result = parse_real(value.text())) return Value::of(*result);
  }
  return bound[0].value_or(Value::of(0.0));
}

Result<Value> absolute(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "abs", arguments, {}));
  if (value.is(Kind::real)) return Value::of(std::abs(value.real()));
  if (value.is_integral() && value.integer() >= 0) return Value::of(value.integer());
  return unary(run, Operation::negate, value);
}

/// Half to even in the exact decimal digits, as Python's round().
double rounded(double value, int digits) {
  if (!std::isfinite(value) || digits > 340) return value;
  if (digits >= 0) return std::strtod(format_real(value, 'f', digits, false).c_str(), nullptr);
  const double unit = std::pow(10.0, -digits);
  if (std::isinf(unit)) return 0.0 * value;
  return std::nearbyint(value / unit) * unit;
}

Result<Value> round_integer(Run& run, Integer value, std::int64_t digits) {
  if (digits >= 0) return Value::of(value);
  if (digits < -38) return Value::of(Integer{0});
  Integer unit = 1;
  for (std::int64_t i = digits; i < 0; ++i) unit *= 10;
  const Integer rest = ((value % unit) + unit) % unit;
  const Integer down = value - rest;
  const bool up = rest > unit - rest || (rest == unit - rest && (down / unit) % 2 != 0);
  const auto result = up ? checked_add(down, unit) : std::optional(down);
  return result ? Result<Value>(Value::of(*result)) : run.error("a number is too large");
}

Result<Value> round(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "round", arguments, {"precision", "method"}));
  if (value.is_undefined()) return run.error(value.reason());
  if (!value.is_number())
    return run.error("round needs a number, not a value of type " + std::string(type_name(value)));
  std::int64_t digits = 0;
  if (bound[0]) {
    TESSERA_TRY(digits, integer_argument(run, *bound[0], "the precision of round"));
  }
  std::string_view method = "common";
  if (bound[1]) {
    TESSERA_TRY(method, text_argument(run, *bound[1], "the method of round"));
  }
  digits = std::clamp<std::int64_t>(digits, -400, 400);
  if (method == "common") {
    if (value.is_integral()) return round_integer(run, value.integer(), digits);
    return Value::of(rounded(value.real(), static_cast<int>(digits)));
  }
  if (method != "ceil" && method != "floor") return run.error("the method of round must be common, ceil or floor");
  // As the reference computes it: the integer over 10 ** precision.
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = value.as_real() * unit;
  if (!std::isfinite(scaled)) return run.error("round cannot make an integer of this number");
  return Value::of((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Result<Value> sum(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "sum", arguments, {"attribute", "start"}));
  TESSERA_TRY(const AttributePath path, AttributePath::parse(run, bound[0]));
  TESSERA_TRY(const std::vector<Value> elements, elements_of(run, value));
  Value total = bound[1].value_or(Value::of(0));
  if (total.is_string()) return run.error("sum cannot add strings; use join");
  for (const Value& element : elements) {
    TESSERA_TRY(const Value part, path.get(run, element));
    TESSERA_TRY(total, binary(run, Operation::add, total, part));
  }
  return total;
}

Result<Value> file_size(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "filesizeformat", arguments, {"binary"}));
  if (value.is_string() && !parse_real(value.text())) return run.error("filesizeformat needs a number");
  TESSERA_TRY(const Value number, real(run, value, {}));
  const bool binary_units = flag(bound[0]);
  const double base = binary_units ? 1024 : 1000, bytes = number.real();
  if (bytes == 1) return run.text("1 Byte");
  if (!std::isfinite(bytes)) return run.error("filesizeformat needs a finite number");
  if (bytes < base) return run.text(decimal(truncated(bytes).value_or(0)) + " Bytes");
  static constexpr std::string_view decimal_names = "kMGTPEZY", binary_names = "KMGTPEZY";
  double unit = base;
  std::size_t name = 0;
  while (name + 1 < decimal_names.size() && bytes >= unit * base) {
    unit *= base;
    ++name;
  }
  const std::string prefix(1, (binary_units ? binary_names : decimal_names)[name]);
  return run.text(format_real(base * bytes / (unit * base), 'f', 1, false) + " " + prefix +
                  (binary_units ? "iB" : "B"));
}

constexpr NamedFilter filters[] = {
    {"abs", absolute}, {"filesizeformat", file_size}, {"float", real}, {"int", integer}, {"round", round}, {"sum", sum},
};

}  // namespace

std::span<const NamedFilter> number_filters() { return filters; }

}  // namespace tessera::jinja
