// LocalExchange: the Collective of shards that are threads of one process.
//
//   LocalExchange exchange(3);
//   thread r: shard(*exchange.endpoint(ShardRank{r})).run(…)
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "runtime/tensor/collective.hpp"

namespace tessera {

/// Bytes that an exchange by token rows must spare each shard of one process to pay.
inline constexpr std::uint64_t local_scatter_bytes_min = 384u << 10;

/// Outlives its endpoints. Any thread (mutex_); each endpoint is confined to its rank's thread.
class LocalExchange {
 public:
  explicit LocalExchange(std::uint32_t ranks, std::uint64_t scatter_bytes_min = local_scatter_bytes_min);
  /// Breaks the collective and returns when nobody is inside of a call any more.
  ~LocalExchange();
  LocalExchange(const LocalExchange&) = delete;
  LocalExchange& operator=(const LocalExchange&) = delete;
  Collective& endpoint(ShardRank rank);

  /// Breaks the collective: everyone who waits, and every later call, gets an error with this reason. When such a call
  /// returns, nobody reads the caller's memory any more.
  void abort(const std::string& reason);

 private:
  class Endpoint;
  /// What one rank offers the others during one exchange.
  struct Contribution {
    ExchangeTag tag;
    std::span<const float> values;       ///< for everyone
    std::span<const Segments> segments;  ///< for each rank
  };
  /// Publishes `mine`, waits for everyone, calls read(contributions), waits until all have read.
  template <typename Read>
  Result<void> exchange(ShardRank rank, const Contribution& mine, const Read& read);
  /// Blocks until every rank has arrived as often as this one.
  Result<void> barrier(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t scatter_bytes_min_;
  std::uint32_t waiting_ = 0;
  std::uint32_t inside_ = 0;   ///< calls under way
  std::uint32_t reading_ = 0;  ///< those that read contributions just now, without the lock
  std::uint64_t generation_ = 0;
  bool broken_ = false;
  std::string reason_;
  std::vector<Contribution> contributions_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
};

}  // namespace tessera
