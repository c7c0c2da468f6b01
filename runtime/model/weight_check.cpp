#include "runtime/model/weight_check.hpp"

#include <pthread.h>
#include <sched.h>
#include <utility>

namespace tessera {

WeightCheck::WeightCheck(std::shared_ptr<const Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)), thread_([this] { work(); }) {}

WeightCheck::~WeightCheck() {
  stopping_.store(true, std::memory_order_relaxed);
  thread_.join();
}

std::optional<Error> WeightCheck::failure() const {
  if (!failed_.load(std::memory_order_acquire)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return failure_;
}

void WeightCheck::work() {
  // Idle priority: the check must never slow a token down. Where it is refused, the normal priority does.
  const sched_param parameter{};
  ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &parameter);
  const Result<void> result =
      checkpoint_->verify([this](std::uint64_t, std::uint64_t) { return !stopping_.load(std::memory_order_relaxed); });
  if (!result && result.error().code != ErrorCode::cancelled) {
    const std::lock_guard lock(mutex_);
    failure_ = result.error();
    failed_.store(true, std::memory_order_release);
  }
  finished_.store(true, std::memory_order_release);
}

}  // namespace tessera
