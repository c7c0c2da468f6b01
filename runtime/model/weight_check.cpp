#include "runtime/model/weight_check.hpp"

#include <pthread.h>
#include <sched.h>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

bool CheckedUnits::contains(const std::string& tensor, std::uint32_t unit) const {
  const std::lock_guard lock(mutex_);
  const auto found = tensors_.find(tensor);
  return found != tensors_.end() && unit < found->second.size() && found->second[unit];
}

void CheckedUnits::add(const std::string& tensor, std::uint32_t unit) {
  const std::lock_guard lock(mutex_);
  std::vector<bool>& units = tensors_[tensor];
  if (units.size() <= unit) units.resize(unit + 1);
  units[unit] = true;
}

Result<void> check_units(OpenCheckpoint& open, std::span<const TensorUnits> units, const std::function<bool()>& go_on) {
  for (const TensorUnits& run : units) {
    const TensorEntry* const entry = open.checkpoint->find(run.tensor);
    TESSERA_ENSURE(entry != nullptr);
    for (std::uint32_t unit = run.units.begin; unit < run.units.end; ++unit) {
      if (open.checked.contains(run.tensor, unit)) continue;
      if (!go_on()) return Error{ErrorCode::cancelled, open.checkpoint->source().name() + ": checking was stopped"};
      TESSERA_CHECK(open.checkpoint->verify_unit(*entry, unit));
      open.checked.add(run.tensor, unit);
    }
  }
  return {};
}

WeightCheck::WeightCheck(std::function<Result<void>(const GoOn&)> check, std::function<void(const Error&)> on_failure,
                         CheckPriority priority)
    : check_(std::move(check)), on_failure_(std::move(on_failure)), priority_(priority), thread_([this] { work(); }) {}

WeightCheck::WeightCheck(std::shared_ptr<const Checkpoint> checkpoint)
    : WeightCheck(
          [checkpoint = std::move(checkpoint)](const GoOn& go_on) {
            return checkpoint->verify([&](std::uint64_t, std::uint64_t) { return go_on(); });
          },
          [](const Error&) {}, CheckPriority::idle) {}

WeightCheck::WeightCheck(std::shared_ptr<OpenCheckpoint> open, std::vector<TensorUnits> units,
                         std::function<void(const Error&)> on_failure, CheckPriority priority)
    : WeightCheck([open = std::move(open),
                   units = std::move(units)](const GoOn& go_on) { return check_units(*open, units, go_on); },
                  std::move(on_failure), priority) {}

WeightCheck::~WeightCheck() {
  stop();
  // Its last unit must not wait behind everything else that the machine does. Where it is refused, it does.
  const sched_param parameter{};
  ::pthread_setschedparam(thread_.native_handle(), SCHED_OTHER, &parameter);
  thread_.join();
}

void WeightCheck::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  const std::lock_guard lock(report_mutex_);
}

std::optional<Error> WeightCheck::failure() const {
  if (!failed_.load(std::memory_order_acquire)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return failure_;
}

void WeightCheck::work() {
  if (priority_ == CheckPriority::idle) {
    const sched_param parameter{};
    // Where it is refused, the normal priority does.
    ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &parameter);
  }
  const Result<void> result = check_([this] { return !stopping_.load(std::memory_order_relaxed); });
  if (!result && result.error().code != ErrorCode::cancelled) {
    {
      const std::lock_guard lock(mutex_);
      failure_ = result.error();
      failed_.store(true, std::memory_order_release);
    }
    const std::lock_guard lock(report_mutex_);
    if (!stopping_.load(std::memory_order_relaxed)) on_failure_(result.error());
  }
  finished_.store(true, std::memory_order_release);
}

}  // namespace tessera
