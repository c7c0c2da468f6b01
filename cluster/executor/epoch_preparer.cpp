#include "cluster/executor/epoch_preparer.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace tessera {

namespace {

Error overtaken(Epoch epoch) {
  return Error{ErrorCode::cancelled,
               "the preparation of epoch " + std::to_string(epoch.value) + " was stopped: it was retired or overtaken"};
}

}  // namespace

EpochPreparer::EpochPreparer(const ExecutorParts& parts, ComputeContext context, ExecutorBoard& board)
    : parts_(parts), context_(context), board_(board), thread_([this] { work(); }) {}

EpochPreparer::~EpochPreparer() { stop(); }

void EpochPreparer::push(Job job) {
  const std::lock_guard lock(mutex_);
  line_.push_back(std::move(job));
  changed_.notify_one();
}

void EpochPreparer::prepare(EpochPlan plan, EpochKeys keys) {
  const Epoch epoch = plan.epoch;
  {
    const std::lock_guard lock(mutex_);
    for (Job& job : line_) {
      if (job.old == nullptr && job.epoch < epoch && !job.refused) job.refused = overtaken(job.epoch);
    }
  }
  board_.abort_preparing_below(epoch);
  push({epoch, std::move(plan), std::move(keys), {}, {}});
}

void EpochPreparer::refuse(Epoch epoch, Error error) { push({epoch, {}, {}, std::move(error), {}}); }

void EpochPreparer::cancel(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  for (Job& job : line_) {
    if (job.old == nullptr && job.epoch == epoch && !job.refused) job.refused = overtaken(epoch);
  }
}

bool EpochPreparer::has_successor(Epoch than) const {
  const std::lock_guard lock(mutex_);
  if (rooting_ > than) return true;
  return std::any_of(line_.begin(), line_.end(), [&](const Job& job) { return job.epoch > than && roots_here(job); });
}

bool EpochPreparer::roots_here(const Job& job) const {
  const EpochPlan& plan = job.plan;
  const bool ready = job.old == nullptr && !job.refused && plan.epoch.value != 0;
  return ready && plan.root() < plan.participants.size() && plan.root_node() == parts_.node;
}

void EpochPreparer::destroy(std::unique_ptr<EpochShard> shard) {
  const Epoch epoch = shard->epoch();
  push({epoch, {}, {}, {}, std::move(shard)});
}

void EpochPreparer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

Result<void> EpochPreparer::prepare_job(Job& job) {
  TESSERA_TRY(auto shard, EpochShard::create(parts_, std::move(job.plan), job.keys));
  const auto open = board_.open_checkpoint(shard->plan().content_id);
  board_.add(*shard);
  {
    // A newer plan that came between taking this job and adding it found nothing to abort.
    const std::lock_guard lock(mutex_);
    for (const Job& other : line_) {
      if (other.old == nullptr && !other.refused && other.epoch > job.epoch)
        shard->abort("a newer epoch is prepared", true);
    }
  }
  // Who reads every byte first may be slower than the others, who wait for it in the mesh.
  const double patience = shard->plan().check_first ? check_first_patience : 1;
  const TimePoint deadline =
      parts_.clock->now() + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                std::chrono::duration<double>(patience * parts_.limits.connect_seconds_max));
  const Result<void> result = shard->prepare(open, context_, deadline);
  if (result) {
    shard = board_.publish(std::move(shard));
    if (shard == nullptr) return {};
  }
  const bool stopped = shard->retired();
  board_.remove(job.epoch);
  if (const auto damage = shard->damage()) return *damage;
  if (stopped) return overtaken(job.epoch);
  return result ? shard->mesh().failure().value_or(overtaken(job.epoch)) : result.error();
}

void EpochPreparer::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !line_.empty(); });
    if (stopping_) return;
    Job job = std::move(line_.front());
    line_.pop_front();
    rooting_ = roots_here(job) ? job.epoch : Epoch{};
    lock.unlock();
    if (job.old != nullptr) {
      job.old.reset();
    } else {
      const ReplicaId replica = job.plan.replica;
      const bool passed_fence = job.plan.epoch.value != 0;
      Result<void> result = job.refused ? Result<void>(*job.refused) : prepare_job(job);
      if (!result && passed_fence) parts_.fence->ask([&](WorkerFence& fence) { fence.forget(replica, job.epoch); });
      if (!board_.stopping()) parts_.events->prepared(job.epoch, std::move(result));
    }
    lock.lock();
    rooting_ = {};
  }
}

}  // namespace tessera
