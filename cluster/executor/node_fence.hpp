// NodeFence: the node's WorkerFence with the one mutex that guards it.
//
//   if (auto allowed = fence.ask([&](WorkerFence& f) { return f.step(replica, epoch, incarnation, 7); }); !allowed) …
#pragma once

#include <mutex>

#include "cluster/control/worker_fence.hpp"

namespace tessera {

/// One per node, shared by its executors and whoever else asks; outlives them. Any thread (mutex_).
class NodeFence {
 public:
  /// Calls question(WorkerFence&) under the lock; it must only look up.
  template <typename Question>
  auto ask(const Question& question) {
    const std::lock_guard lock(mutex_);
    return question(fence_);
  }

 private:
  std::mutex mutex_;
  WorkerFence fence_;
};

}  // namespace tessera
