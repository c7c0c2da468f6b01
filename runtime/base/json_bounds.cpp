#include "runtime/base/json_bounds.hpp"

#include <vector>

namespace tessera {

namespace {

/// Brackets, commas and colons outside of strings.
class Scan {
 public:
  explicit Scan(const JsonBounds& bounds) : bounds_(bounds), keys_at_(bounds.nesting + 1) {}

  std::optional<std::string> take(char c) {
    if (c == '[' || c == '{') {
      if (++depth_ > bounds_.nesting) return "is nested more than " + std::to_string(bounds_.nesting) + " levels deep";
      keys_at_[depth_] = 0;
      ++values_;
    }
    if ((c == ']' || c == '}') && depth_ > 0) --depth_;
    if (c == ',') ++values_;
    if (values_ > bounds_.values) return "has more than " + std::to_string(bounds_.values) + " values";
    if (c == ':' && (++keys_ > bounds_.keys || ++keys_at_[depth_] > bounds_.object_keys)) {
      return "has an object of more than " + std::to_string(bounds_.object_keys) + " keys, or more than " +
             std::to_string(bounds_.keys) + " keys in all";
    }
    return {};
  }

 private:
  const JsonBounds& bounds_;
  std::vector<std::size_t> keys_at_;  ///< of the innermost object of each depth
  std::size_t depth_ = 0, values_ = 1, keys_ = 0;
};

}  // namespace

std::optional<std::string> json_exceeds(std::string_view text, const JsonBounds& bounds) {
  Scan scan(bounds);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (auto exceeded = scan.take(c)) return exceeded;
  }
  return {};
}

}  // namespace tessera
