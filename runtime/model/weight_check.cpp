#include "runtime/model/weight_check.hpp"

#include <pthread.h>
#include <sched.h>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/log.hpp"

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

void CheckedUnits::begin(const SourceStamp& stamp) {
  const std::lock_guard lock(mutex_);
  if (stamp_ && *stamp_ != stamp) tensors_.clear();
  stamp_ = stamp;
}

Result<void> check_units(OpenCheckpoint& open, std::span<const TensorUnits> units, const std::function<bool()>& go_on) {
  // Before the bytes are read: whoever writes meanwhile makes another stamp.
  TESSERA_TRY(const SourceStamp stamp, open.checkpoint->source().stamp());
  open.checked.begin(stamp);
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

WeightCheck::WeightCheck(std::function<Result<void>(const GoOn&)> check, std::shared_ptr<OpenCheckpoint> watched,
                         std::function<void(const Error&)> on_failure, CheckPriority priority)
    : check_(std::move(check)),
      watched_(std::move(watched)),
      on_failure_(std::move(on_failure)),
      priority_(priority),
      thread_([this] { work(); }) {}

WeightCheck::WeightCheck(std::shared_ptr<const Checkpoint> checkpoint)
    : WeightCheck(
          [checkpoint = std::move(checkpoint)](const GoOn& go_on) {
            return checkpoint->verify([&](std::uint64_t, std::uint64_t) { return go_on(); });
          },
          nullptr, [](const Error&) {}, CheckPriority::idle) {}

WeightCheck::WeightCheck(std::shared_ptr<OpenCheckpoint> open, std::vector<TensorUnits> units,
                         std::function<void(const Error&)> on_failure, CheckPriority priority)
    : WeightCheck([open, units = std::move(units)](const GoOn& go_on) { return check_units(*open, units, go_on); },
                  open, std::move(on_failure), priority) {}

WeightCheck::~WeightCheck() {
  stop();
  // Its last unit must not wait behind everything else that the machine does. Where it is refused, it does.
  const sched_param parameter{};
  ::pthread_setschedparam(thread_.native_handle(), SCHED_OTHER, &parameter);
  thread_.join();
}

void WeightCheck::stop() {
  {
    const std::lock_guard lock(wait_mutex_);
    stopping_.store(true, std::memory_order_relaxed);
  }
  stopped_.notify_all();
  const std::lock_guard lock(report_mutex_);
}

bool WeightCheck::wait() {
  std::unique_lock lock(wait_mutex_);
  return !stopped_.wait_for(lock, file_watch_interval, [this] { return stopping_.load(std::memory_order_relaxed); });
}

std::optional<Error> WeightCheck::failure() const {
  if (!failed_.load(std::memory_order_acquire)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return failure_;
}

Result<void> WeightCheck::watch() {
  const auto go_on = [this] { return !stopping_.load(std::memory_order_relaxed); };
  if (!watched_) return check_(go_on);
  const CheckpointSource& source = watched_->checkpoint->source();
  for (;;) {
    TESSERA_TRY(const SourceStamp stamp, source.stamp());
    TESSERA_CHECK(check_(go_on));
    finished_.store(true, std::memory_order_release);
    for (;;) {
      if (!wait()) return {};
      TESSERA_TRY(const SourceStamp now, source.stamp());
      if (now != stamp) break;
    }
    log_info(source.name() + " has been written to, or renamed, while it is served: its weights are checked again");
  }
}

void WeightCheck::work() {
  if (priority_ == CheckPriority::idle) {
    const sched_param parameter{};
    // Where it is refused, the normal priority does.
    ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &parameter);
  }
  const Result<void> result = watch();
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
