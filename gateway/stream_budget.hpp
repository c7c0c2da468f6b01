// StreamBudget: how many streams of a gateway run at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

namespace tessera::gateway {

/// Any thread. Outlives its permits.
class StreamBudget {
 public:
  explicit StreamBudget(std::size_t streams_max) : streams_max_(streams_max) {}

  /// The right to run some streams, given back when it is destroyed.
  class Permit {
   public:
    Permit(StreamBudget& budget, std::size_t count) : budget_(&budget), count_(count) {}
    Permit(Permit&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)), count_(other.count_) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (budget_ != nullptr) budget_->running_ -= count_;
    }

   private:
    StreamBudget* budget_;
    std::size_t count_;
  };

  /// Nothing when there are too many already.
  std::optional<Permit> take(std::size_t count) {
    if (running_.fetch_add(count) + count <= streams_max_) return Permit(*this, count);
    running_ -= count;
    return {};
  }
  std::size_t running() const { return running_; }
  std::size_t streams_max() const { return streams_max_; }

 private:
  const std::size_t streams_max_;
  std::atomic<std::size_t> running_{0};
};

}  // namespace tessera::gateway
