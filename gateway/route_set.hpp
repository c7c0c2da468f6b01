// RouteSet: the family that a route belongs to, so that a listener can offer some families only:
//
//   --listen 127.0.0.1:8501=tfserving,health
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera::gateway {

enum class RouteSet : std::uint8_t { openai, tfserving, inference, amp, health, metrics, page };

/// "openai" …
const char* to_string(RouteSet set);

/// Some of them; a value.
class RouteSets {
 public:
  static RouteSets all();
  /// "openai,health", or "all". Errors: invalid_argument.
  static Result<RouteSets> parse(std::string_view text);

  void add(RouteSet set) { bits_ |= bit(set); }
  bool has(RouteSet set) const { return (bits_ & bit(set)) != 0; }
  bool operator==(const RouteSets&) const = default;

 private:
  static std::uint32_t bit(RouteSet set) { return 1u << static_cast<unsigned>(set); }
  std::uint32_t bits_ = 0;
};

/// "all", or the names with commas between them.
std::string to_text(RouteSets sets);

}  // namespace tessera::gateway
