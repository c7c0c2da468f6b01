#include "runtime/model/local_collective.hpp"

#include <cstring>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

void copy(std::span<const float> from, float* to) {
  // A rank's own contribution may already be in its place.
  if (!from.empty() && from.data() != to) std::memcpy(to, from.data(), from.size_bytes());
}

}  // namespace

class LocalExchange::Endpoint final : public Collective {
 public:
  Endpoint(LocalExchange& exchange, ShardRank rank) : exchange_(exchange), rank_(rank) {}
  ShardRank rank() const override { return rank_; }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(exchange_.contributions_.size()); }

  Result<void> all_gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                          std::span<float> all) override {
    TESSERA_ENSURE(counts.size() == size() && mine.size() == counts[rank_.value]);
    return exchange_.exchange(rank_, {tag, mine, {}}, [&](std::span<const Contribution> contributions) {
      float* out = all.data();
      for (std::size_t peer = 0; peer < contributions.size(); ++peer) {
        TESSERA_ENSURE(contributions[peer].tag == tag && contributions[peer].values.size() == counts[peer]);
        copy(contributions[peer].values, out);
        out += counts[peer];
      }
      TESSERA_ENSURE(out == all.data() + all.size());
    });
  }

  Result<void> gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                      std::span<float> all) override {
    if (rank_.value == 0) return all_gather(tag, mine, counts, all);
    return exchange_.exchange(rank_, {tag, mine, {}}, [](std::span<const Contribution>) {});
  }

  Result<void> all_to_all(ExchangeTag tag, std::span<const Segments> send,
                          std::span<const std::span<float>> receive) override {
    TESSERA_ENSURE(send.size() == size() && receive.size() == size());
    return exchange_.exchange(rank_, {tag, {}, send}, [&](std::span<const Contribution> contributions) {
      for (std::size_t peer = 0; peer < contributions.size(); ++peer) {
        TESSERA_ENSURE(contributions[peer].tag == tag);
        std::size_t done = 0;
        for (const std::span<const float> segment : contributions[peer].segments[rank_.value]) {
          TESSERA_ENSURE(segment.size() <= receive[peer].size() - done);
          copy(segment, receive[peer].data() + done);
          done += segment.size();
        }
        TESSERA_ENSURE(done == receive[peer].size());
      }
    });
  }

  bool prefer_scatter(std::uint64_t spared) const override { return spared >= exchange_.scatter_bytes_min_; }

 private:
  LocalExchange& exchange_;
  ShardRank rank_;
};

LocalExchange::LocalExchange(std::uint32_t ranks, std::uint64_t scatter_bytes_min)
    : scatter_bytes_min_(scatter_bytes_min), contributions_(ranks) {
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    endpoints_.push_back(std::make_unique<Endpoint>(*this, ShardRank{rank}));
}

LocalExchange::~LocalExchange() {
  abort("the exchange ends");
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return inside_ == 0; });
}

Collective& LocalExchange::endpoint(ShardRank rank) { return *endpoints_[rank.value]; }

void LocalExchange::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!broken_) reason_ = reason;
  broken_ = true;
  changed_.notify_all();
}

Result<void> LocalExchange::barrier(std::unique_lock<std::mutex>& lock) {
  if (!broken_ && ++waiting_ == contributions_.size()) {
    waiting_ = 0;
    ++generation_;
    changed_.notify_all();
  } else {
    const std::uint64_t generation = generation_;
    changed_.wait(lock, [&] { return broken_ || generation_ != generation; });
  }
  if (broken_) return Error{ErrorCode::cancelled, "another shard stopped: " + reason_};
  return {};
}

template <typename Read>
Result<void> LocalExchange::exchange(ShardRank rank, const Contribution& mine, const Read& read) {
  std::unique_lock lock(mutex_);
  ++inside_;
  contributions_[rank.value] = mine;
  Result<void> result = barrier(lock);
  if (result) {
    // Contributions stay as they are until the second barrier, so they may be read without the lock.
    ++reading_;
    lock.unlock();
    read(contributions_);
    lock.lock();
    if (--reading_ == 0) changed_.notify_all();
    result = barrier(lock);
  }
  // Broken: others may still read what this rank offered, which is the caller's memory.
  if (!result) changed_.wait(lock, [this] { return reading_ == 0; });
  if (--inside_ == 0) changed_.notify_all();
  return result;
}

}  // namespace tessera
