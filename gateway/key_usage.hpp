// KeyUsage: what is asked with one key, held to its limits. Rates are buckets: what a minute allows is there at first,
// flows in evenly and is never more. How many tokens a request takes shows only at its end: it is let in while any are
// left, and what it takes beyond that is owed.
//
//   auto permit = usage->begin();                // 429, or the right to answer one request
//   usage->spend_tokens(12);
//   usage->headers();                            // x-ratelimit-remaining-requests: 59 …
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/api_error.hpp"
#include "gateway/key_book.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::gateway {

/// One rate. Not synchronised.
class RateBucket {
 public:
  RateBucket(std::uint32_t per_minute, TimePoint now)
      : per_minute_(per_minute), level_(static_cast<double>(per_minute)), updated_(now) {}

  std::uint32_t per_minute() const { return per_minute_; }
  /// Below zero: owed.
  double level(TimePoint now);
  void take(double count, TimePoint now) { level_ = level(now) - count; }
  /// Until `wanted` are there.
  std::chrono::milliseconds time_until(double wanted, TimePoint now);

 private:
  std::uint32_t per_minute_;
  double level_;
  TimePoint updated_;
};

/// Any thread (mutex_). Outlived by its permits' share of it; the clock outlives both.
class KeyUsage : public std::enable_shared_from_this<KeyUsage> {
 public:
  KeyUsage(std::string key_name, const KeyLimits& limits, const Clock& clock);

  /// One request that runs; over when it is destroyed.
  class Permit {
   public:
    explicit Permit(std::shared_ptr<KeyUsage> usage) : usage_(std::move(usage)) {}
    Permit(Permit&&) noexcept = default;
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (usage_) usage_->end();
    }

   private:
    std::shared_ptr<KeyUsage> usage_;
  };

  /// Errors: 429 with retry-after; then nothing is taken.
  Outcome<Permit> begin();
  void spend_tokens(std::uint64_t count);
  /// x-ratelimit-*: of the rates that are limited, as they stand.
  std::vector<std::pair<std::string, std::string>> headers();
  std::uint32_t running() const;

 private:
  void end();

  const std::string key_name_;
  const KeyLimits limits_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::optional<RateBucket> requests_, tokens_;
  std::uint32_t running_ = 0;
};

/// As OpenAI's headers have it: "12ms", "1s", "6m0s"; rounded up to seconds from one second on.
std::string to_duration(std::chrono::milliseconds time);

}  // namespace tessera::gateway
