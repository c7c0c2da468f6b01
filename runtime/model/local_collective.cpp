#include "runtime/model/local_collective.hpp"

#include <cstring>

#include "runtime/base/ensure.hpp"

namespace tessera {

class LocalExchange::Endpoint final : public Collective {
 public:
  Endpoint(LocalExchange& exchange, ShardRank rank) : exchange_(exchange), rank_(rank) {}
  ShardRank rank() const override { return rank_; }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(exchange_.contributions_.size()); }
  Result<void> all_gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                          std::span<float> all) override {
    return exchange_.exchange(rank_, tag, mine, counts, all);
  }
  Result<void> gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                      std::span<float> all) override {
    return exchange_.exchange(rank_, tag, mine, counts, rank_.value == 0 ? all : std::span<float>{});
  }

 private:
  LocalExchange& exchange_;
  ShardRank rank_;
};

LocalExchange::LocalExchange(std::uint32_t ranks) : contributions_(ranks) {
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    endpoints_.push_back(std::make_unique<Endpoint>(*this, ShardRank{rank}));
}

LocalExchange::~LocalExchange() = default;

Collective& LocalExchange::endpoint(ShardRank rank) { return *endpoints_[rank.value]; }

void LocalExchange::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!broken_) reason_ = reason;
  broken_ = true;
  arrived_.notify_all();
}

Result<void> LocalExchange::barrier(std::unique_lock<std::mutex>& lock) {
  if (!broken_ && ++waiting_ == contributions_.size()) {
    waiting_ = 0;
    ++generation_;
    arrived_.notify_all();
  } else {
    const std::uint64_t generation = generation_;
    arrived_.wait(lock, [&] { return broken_ || generation_ != generation; });
  }
  if (broken_) return Error{ErrorCode::cancelled, "another shard stopped: " + reason_};
  return {};
}

Result<void> LocalExchange::exchange(ShardRank rank, ExchangeTag tag, std::span<const float> mine,
                                     std::span<const std::uint64_t> counts, std::span<float> all) {
  TESSERA_ENSURE(counts.size() == contributions_.size() && mine.size() == counts[rank.value]);
  std::unique_lock lock(mutex_);
  contributions_[rank.value] = {tag, mine};
  TESSERA_CHECK(barrier(lock));
  if (!all.empty()) {
    // Contributions stay as they are until the second barrier, so they may be read without the lock.
    lock.unlock();
    float* out = all.data();
    for (std::size_t peer = 0; peer < contributions_.size(); ++peer) {
      TESSERA_ENSURE(contributions_[peer].tag == tag && contributions_[peer].values.size() == counts[peer]);
      if (counts[peer] > 0) std::memcpy(out, contributions_[peer].values.data(), counts[peer] * sizeof(float));
      out += counts[peer];
    }
    TESSERA_ENSURE(out == all.data() + all.size());
    lock.lock();
  }
  return barrier(lock);
}

}  // namespace tessera
