// The filters by file; filters.cpp looks through all of them.
#pragma once

#include <span>
#include <string_view>

#include "runtime/text/jinja/filters.hpp"

namespace tessera::jinja {

struct NamedFilter {
  std::string_view name;
  FilterFunction call;
};

std::span<const NamedFilter> text_filters();
std::span<const NamedFilter> number_filters();
std::span<const NamedFilter> sequence_filters();
std::span<const NamedFilter> choosing_filters();

/// How filters reach into elements: attribute="a.b.0". Integers choose elements; undefined results become `otherwise`.
class AttributePath {
 public:
  /// None: the element itself. `many`: several paths, separated by commas.
  static Result<AttributePath> parse(Run& run, const std::optional<Value>& attribute);
  static Result<std::vector<AttributePath>> parse_many(Run& run, const std::optional<Value>& attribute);
  Result<Value> get(Run& run, const Value& element) const;

  std::optional<Value> otherwise;
  bool ignore_case = false;  ///< strings in lower case

 private:
  std::vector<Value> parts_;
};

/// Whether an optional argument is given and true.
inline bool flag(const std::optional<Value>& value, bool otherwise = false) {
  return value ? truth(*value) : otherwise;
}

}  // namespace tessera::jinja
