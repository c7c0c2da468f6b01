#include "gateway/key_usage.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::gateway {

namespace {

constexpr double minute_s = 60;
/// What sums of fractions may be off by.
constexpr double rounding = 1e-6;

ApiError limited(const std::string& message, std::chrono::milliseconds wait) {
  const auto seconds = std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(wait).count());
  return {429, "rate_limit_error",    message + "; try again in " + to_duration(wait),
          {},  "rate_limit_exceeded", static_cast<std::uint32_t>(std::min<std::int64_t>(seconds, 86'400))};
}

void add_headers(std::vector<std::pair<std::string, std::string>>& headers, const std::string& what, RateBucket& bucket,
                 TimePoint now) {
  const double left = std::max(0.0, std::floor(bucket.level(now) + rounding));
  const std::string prefix = "x-ratelimit-";
  headers.emplace_back(prefix + "limit-" + what, std::to_string(bucket.per_minute()));
  headers.emplace_back(prefix + "remaining-" + what, std::to_string(static_cast<std::uint64_t>(left)));
  headers.emplace_back(prefix + "reset-" + what, to_duration(bucket.time_until(bucket.per_minute(), now)));
}

}  // namespace

double RateBucket::level(TimePoint now) {
  level_ = std::min<double>(per_minute_, level_ + seconds_between(updated_, now) / minute_s * per_minute_);
  updated_ = now;
  return level_;
}

std::chrono::milliseconds RateBucket::time_until(double wanted, TimePoint now) {
  const double missing = wanted - level(now);
  if (missing <= 0) return std::chrono::milliseconds(0);
  // Somebody may owe a lot: more than a day is told as a day.
  const double seconds = std::min(missing / per_minute_ * minute_s, 86'400.0);
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1e3 - rounding)));
}

KeyUsage::KeyUsage(std::string key_name, const KeyLimits& limits, const Clock& clock)
    : key_name_(std::move(key_name)), limits_(limits), clock_(clock) {
  if (limits.requests_per_minute) requests_.emplace(*limits.requests_per_minute, clock.now());
  if (limits.tokens_per_minute) tokens_.emplace(*limits.tokens_per_minute, clock.now());
}

Outcome<KeyUsage::Permit> KeyUsage::begin() {
  const std::lock_guard lock(mutex_);
  const TimePoint now = clock_.now();
  if (limits_.concurrent_requests && running_ >= *limits_.concurrent_requests) {
    return limited("the key " + key_name_ + " has " + std::to_string(running_) + " of at most " +
                       std::to_string(*limits_.concurrent_requests) + " requests at once",
                   std::chrono::seconds(1));
  }
  if (requests_ && requests_->level(now) < 1 - rounding) {
    return limited("the key " + key_name_ + " may ask " + std::to_string(requests_->per_minute()) + " times a minute",
                   requests_->time_until(1, now));
  }
  if (tokens_ && tokens_->level(now) < 1 - rounding) {
    return limited("the key " + key_name_ + " may take " + std::to_string(tokens_->per_minute()) + " tokens a minute",
                   tokens_->time_until(1, now));
  }
  if (requests_) requests_->take(1, now);
  ++running_;
  return Permit(shared_from_this());
}

void KeyUsage::spend_tokens(std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  if (tokens_) tokens_->take(static_cast<double>(count), clock_.now());
}

std::vector<std::pair<std::string, std::string>> KeyUsage::headers() {
  const std::lock_guard lock(mutex_);
  const TimePoint now = clock_.now();
  std::vector<std::pair<std::string, std::string>> headers;
  if (requests_) add_headers(headers, "requests", *requests_, now);
  if (tokens_) add_headers(headers, "tokens", *tokens_, now);
  return headers;
}

std::uint32_t KeyUsage::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

void KeyUsage::end() {
  const std::lock_guard lock(mutex_);
  --running_;
}

std::string to_duration(std::chrono::milliseconds time) {
  if (time < std::chrono::seconds(1)) return std::to_string(time.count()) + "ms";
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(time).count();
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) return std::to_string(seconds / 60) + "m" + std::to_string(seconds % 60) + "s";
  return std::to_string(seconds / 3600) + "h" + std::to_string(seconds / 60 % 60) + "m" + std::to_string(seconds % 60) +
         "s";
}

}  // namespace tessera::gateway
