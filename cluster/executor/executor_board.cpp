#include "cluster/executor/executor_board.hpp"

#include <string>
#include <utility>

namespace tessera {

void ExecutorBoard::post(ExecutorOrder order) {
  const std::lock_guard lock(mutex_);
  orders_.push_back(std::move(order));
  wake_.signal();
}

std::vector<ExecutorOrder> ExecutorBoard::take_orders() {
  const std::lock_guard lock(mutex_);
  wake_.clear();
  return std::exchange(orders_, {});
}

void ExecutorBoard::add(EpochShard& shard) {
  const std::lock_guard lock(mutex_);
  epochs_.emplace(shard.epoch(), Entry{&shard});
  if (stopping_) shard.abort("the node shuts down", true);
}

void ExecutorBoard::remove(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  epochs_.erase(epoch);
}

bool ExecutorBoard::abort(Epoch epoch, const std::string& reason, bool retired) {
  const std::lock_guard lock(mutex_);
  const auto entry = epochs_.find(epoch);
  if (entry == epochs_.end()) return false;
  entry->second.shard->abort(reason, retired);
  return true;
}

void ExecutorBoard::abort_preparing_below(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  for (auto& [number, entry] : epochs_) {
    if (number < epoch && entry.preparing) entry.shard->abort("a newer epoch is prepared", true);
  }
}

void ExecutorBoard::abort_all(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  for (auto& [number, entry] : epochs_) entry.shard->abort(reason, true);
}

std::unique_ptr<EpochShard> ExecutorBoard::publish(std::unique_ptr<EpochShard> shard) {
  const std::lock_guard lock(mutex_);
  if (shard->mesh().aborted()) return shard;
  epochs_.at(shard->epoch()).preparing = false;
  orders_.push_back(PreparedOrder{std::move(shard)});
  wake_.signal();
  return nullptr;
}

Result<void> ExecutorBoard::check_root(Epoch epoch) const {
  const std::lock_guard lock(mutex_);
  const auto entry = epochs_.find(epoch);
  if (entry == epochs_.end() || entry->second.shard->root()) return {};
  return Error{ErrorCode::invalid_argument, "the root of epoch " + std::to_string(epoch.value) +
                                                " is not on this node; activate it where its root is"};
}

bool ExecutorBoard::has_successor(Epoch than) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, entry] : epochs_) {
    if (number > than && entry.shard->root() && !entry.shard->mesh().aborted()) return true;
  }
  return false;
}

std::shared_ptr<OpenCheckpoint> ExecutorBoard::open_checkpoint(const std::string& content_id) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, entry] : epochs_) {
    // What was found damaged may be another file than the next plan names, or be restored by now.
    const bool sound = !entry.preparing && !entry.shard->damage();
    if (sound && entry.shard->plan().content_id == content_id) return entry.shard->open();
  }
  return nullptr;
}

std::uint64_t ExecutorBoard::kv_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& [number, entry] : epochs_)
    if (!entry.preparing) sum += entry.shard->plan().kv_pages * entry.shard->kv_page_bytes();
  return sum;
}

std::uint64_t ExecutorBoard::weight_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& [number, entry] : epochs_) sum += entry.preparing ? 0 : entry.shard->weight_bytes();
  return sum;
}

std::uint32_t ExecutorBoard::shards() const {
  const std::lock_guard lock(mutex_);
  std::uint32_t sum = 0;
  for (const auto& [number, entry] : epochs_) sum += entry.preparing || entry.shard->donor() ? 0 : 1;
  return sum;
}

void ExecutorBoard::set_conducting(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  conducting_ = epoch;
}

Epoch ExecutorBoard::conducting() const {
  const std::lock_guard lock(mutex_);
  return conducting_;
}

void ExecutorBoard::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.signal();
}

bool ExecutorBoard::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

}  // namespace tessera
