// LocalStageLinks: the StageLinks of pipeline stages whose shards are threads of one process.
//
//   LocalStageLinks links({2, 3});                    // two stages, of two and three shards
//   thread (s, r): links.link(s, ShardRank{r}).receive(…); …; .send(…)
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/tensor/collective.hpp"

namespace tessera {

/// Outlives its links. Any thread (mutex_); each link is confined to its rank's thread.
class LocalStageLinks {
 public:
  explicit LocalStageLinks(std::vector<std::uint32_t> shards_of_stage);
  /// Breaks the links and returns when nobody is inside of a call any more.
  ~LocalStageLinks();
  LocalStageLinks(const LocalStageLinks&) = delete;
  LocalStageLinks& operator=(const LocalStageLinks&) = delete;
  StageLink& link(std::uint32_t stage, ShardRank rank);

  /// Everyone who waits, and every later call, gets an error with this reason.
  void abort(const std::string& reason);

 private:
  class Link;
  /// What lies ready for one receiver.
  struct Slot {
    bool full = false;
    ExchangeTag tag;
    std::span<const float> values;
  };
  Result<void> send(std::uint32_t stage, ShardRank rank, ExchangeTag tag, std::span<const float> x);
  Result<void> receive(std::uint32_t stage, ShardRank rank, ExchangeTag tag, std::span<float> x);
  Error broken_error() const;
  void leave();

  std::vector<std::uint32_t> shards_of_stage_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint32_t inside_ = 0;  ///< calls under way
  bool broken_ = false;
  std::string reason_;
  std::vector<std::vector<Slot>> slots_;  ///< per stage and rank
  std::vector<std::vector<std::unique_ptr<Link>>> links_;
};

}  // namespace tessera
