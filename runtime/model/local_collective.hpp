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

/// Outlives its endpoints. Any thread (mutex_); each endpoint is confined to its rank's thread.
class LocalExchange {
 public:
  explicit LocalExchange(std::uint32_t ranks);
  ~LocalExchange();
  Collective& endpoint(ShardRank rank);

  /// Breaks the collective: everyone who waits, and every later call, gets an error with this reason.
  void abort(const std::string& reason);

 private:
  class Endpoint;
  /// Publishes `mine`, waits for everyone, copies all contributions in rank order if `all` is not empty, waits again.
  Result<void> exchange(ShardRank rank, ExchangeTag tag, std::span<const float> mine,
                        std::span<const std::uint64_t> counts, std::span<float> all);
  /// Blocks until every rank has arrived as often as this one.
  Result<void> barrier(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::uint32_t waiting_ = 0;
  std::uint64_t generation_ = 0;
  bool broken_ = false;
  std::string reason_;
  struct Contribution {
    ExchangeTag tag;
    std::span<const float> values;
  };
  std::vector<Contribution> contributions_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
};

}  // namespace tessera
