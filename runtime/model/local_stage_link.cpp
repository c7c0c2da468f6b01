#include "runtime/model/local_stage_link.hpp"

#include <algorithm>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

class LocalStageLinks::Link final : public StageLink {
 public:
  Link(LocalStageLinks& links, std::uint32_t stage, ShardRank rank) : links_(links), stage_(stage), rank_(rank) {}
  Result<void> send(ExchangeTag tag, std::span<const float> x) override { return links_.send(stage_, rank_, tag, x); }
  Result<void> receive(ExchangeTag tag, std::span<float> x) override { return links_.receive(stage_, rank_, tag, x); }

 private:
  LocalStageLinks& links_;
  std::uint32_t stage_;
  ShardRank rank_;
};

LocalStageLinks::LocalStageLinks(std::vector<std::uint32_t> shards_of_stage)
    : shards_of_stage_(std::move(shards_of_stage)) {
  for (std::uint32_t stage = 0; stage < shards_of_stage_.size(); ++stage) {
    slots_.emplace_back(shards_of_stage_[stage]);
    links_.emplace_back();
    for (std::uint32_t rank = 0; rank < shards_of_stage_[stage]; ++rank) {
      links_.back().push_back(std::make_unique<Link>(*this, stage, ShardRank{rank}));
    }
  }
}

LocalStageLinks::~LocalStageLinks() {
  abort("the links end");
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return inside_ == 0; });
}

StageLink& LocalStageLinks::link(std::uint32_t stage, ShardRank rank) { return *links_[stage][rank.value]; }

void LocalStageLinks::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!broken_) reason_ = reason;
  broken_ = true;
  changed_.notify_all();
}

Error LocalStageLinks::broken_error() const { return Error{ErrorCode::cancelled, "another shard stopped: " + reason_}; }

void LocalStageLinks::leave() {
  if (--inside_ == 0) changed_.notify_all();
}

Result<void> LocalStageLinks::send(std::uint32_t stage, ShardRank rank, ExchangeTag tag, std::span<const float> x) {
  TESSERA_ENSURE(stage + 1 < shards_of_stage_.size());
  std::unique_lock lock(mutex_);
  ++inside_;
  std::vector<Slot>& slots = slots_[stage + 1];
  const std::uint32_t senders = shards_of_stage_[stage];
  for (std::size_t to = rank.value; to < slots.size(); to += senders) slots[to] = {true, tag, x};
  changed_.notify_all();
  // The receivers copy under the lock, so nobody reads `x` after this call, broken or not.
  changed_.wait(lock, [&] {
    bool taken = true;
    for (std::size_t to = rank.value; to < slots.size(); to += senders) taken = taken && !slots[to].full;
    return broken_ || taken;
  });
  leave();
  if (broken_) return broken_error();
  return {};
}

Result<void> LocalStageLinks::receive(std::uint32_t stage, ShardRank rank, ExchangeTag tag, std::span<float> x) {
  TESSERA_ENSURE(stage > 0);
  std::unique_lock lock(mutex_);
  ++inside_;
  Slot& slot = slots_[stage][rank.value];
  changed_.wait(lock, [&] { return broken_ || slot.full; });
  if (!broken_) {
    TESSERA_ENSURE(slot.tag == tag && slot.values.size() == x.size());
    std::copy(slot.values.begin(), slot.values.end(), x.begin());
    slot.full = false;
    changed_.notify_all();
  }
  leave();
  if (broken_) return broken_error();
  return {};
}

}  // namespace tessera
