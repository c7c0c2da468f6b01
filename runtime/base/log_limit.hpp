// LogLimit: lets a line into the log now and then, for events that somebody else can cause as often as they like.
//
//   if (const auto others = limit_.pass(clock.now())) log_warning("closed a connection" + others_text(*others));
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/base/clock.hpp"

namespace tessera {

/// Not thread-safe: confined to whoever owns it.
class LogLimit {
 public:
  explicit LogLimit(std::chrono::milliseconds interval) : interval_(interval) {}

  /// Whether a line may be written now; then how many were left out since the last one.
  std::optional<std::uint64_t> pass(TimePoint now) {
    if (last_ && now - *last_ < interval_) {
      ++left_out_;
      return std::nullopt;
    }
    last_ = now;
    const std::uint64_t others = left_out_;
    left_out_ = 0;
    return others;
  }

 private:
  std::chrono::milliseconds interval_;
  std::optional<TimePoint> last_;
  std::uint64_t left_out_ = 0;
};

/// " (and 7 others before)"; nothing for none.
inline std::string others_text(std::uint64_t others) {
  return others == 0 ? std::string() : " (and " + std::to_string(others) + " others before)";
}

}  // namespace tessera
