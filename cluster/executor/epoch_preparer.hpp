// EpochPreparer: the thread that prepares epochs and frees old ones, so that neither holds up the step that is running.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "cluster/executor/executor_board.hpp"
#include "cluster/executor/node_fence.hpp"

namespace tessera {

/// Owned by the executor. Any thread (mutex_). The line holds at most one plan that is not refused: a newer plan
/// cancels the older ones.
class EpochPreparer {
 public:
  /// Everything passed outlives it.
  EpochPreparer(const ExecutorParts& parts, ComputeContext context, ExecutorBoard& board);
  /// stop().
  ~EpochPreparer();
  EpochPreparer(const EpochPreparer&) = delete;
  EpochPreparer& operator=(const EpochPreparer&) = delete;

  /// The plan passed the fence. Answered by events.prepared, on this thread.
  void prepare(EpochPlan plan, EpochKeys keys);
  /// Only answers.
  void refuse(Epoch epoch, Error error);
  /// Takes an epoch out of the line; one that is being prepared is aborted through the board.
  void cancel(Epoch epoch);
  /// Whether a newer epoch whose root is here waits to be prepared, or is being prepared.
  bool has_successor(Epoch than) const;
  void destroy(std::unique_ptr<EpochShard> shard);
  /// Whoever is being prepared was aborted before. Joins the thread; answers nobody any more.
  void stop();

 private:
  struct Job {
    Epoch epoch;
    EpochPlan plan;
    EpochKeys keys;
    std::optional<Error> refused;
    std::unique_ptr<EpochShard> old;  ///< only to be destroyed
  };
  void push(Job job);
  bool roots_here(const Job& job) const;
  void work();
  Result<void> prepare_job(Job& job);

  const ExecutorParts& parts_;
  ComputeContext context_;
  ExecutorBoard& board_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> line_;
  Epoch rooting_;  ///< that is being prepared, and has its root here
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tessera
