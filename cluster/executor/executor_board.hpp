// ExecutorBoard: what an executor's callers, its preparing thread and its executor thread tell each other. Everything
// that is posted wakes the executor's thread; a retire also cuts the epoch's connections at once, so that a step that
// waits in them wakes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster/exchange/socket.hpp"
#include "cluster/executor/epoch_shard.hpp"

namespace tessera {

struct ActivateOrder {
  Epoch epoch;
  ConductorIncarnation incarnation;
};
struct HandOverOrder {
  Epoch from, to;
  ConductorIncarnation incarnation;
};
struct RetireOrder {
  Epoch epoch;
};
/// An epoch that was prepared and is the executor thread's from now on.
struct PreparedOrder {
  std::unique_ptr<EpochShard> shard;
};
using ExecutorOrder = std::variant<ActivateOrder, HandOverOrder, RetireOrder, PreparedOrder>;

/// Owned by the executor; any thread (mutex_). Orders need no limit of their own: each passed the fence, which lets few
/// epochs of a replica exist, and they are taken between two steps.
class ExecutorBoard {
 public:
  // Orders, in order.
  void post(ExecutorOrder order);
  std::vector<ExecutorOrder> take_orders();
  void wake() { wake_.signal(); }
  const EventFd& wake_event() const { return wake_; }

  // Epochs that exist, from the beginning of their preparation until they are removed.
  void add(EpochShard& shard);
  /// Before it is destroyed.
  void remove(Epoch epoch);
  /// Aborts it if it is here; true then.
  bool abort(Epoch epoch, const std::string& reason, bool retired);
  /// Aborts those below `epoch` that are still being prepared.
  void abort_preparing_below(Epoch epoch);
  void abort_all(const std::string& reason);
  /// No longer being prepared: handed to the executor's thread, unless it was aborted meanwhile (then it comes back).
  std::unique_ptr<EpochShard> publish(std::unique_ptr<EpochShard> shard);
  /// `invalid_argument` when the epoch's root is on another node. Unknown epochs are somebody else's to refuse.
  Result<void> check_root(Epoch epoch) const;
  /// Whether a newer epoch here could make this node the conductor again.
  bool has_successor(Epoch than) const;
  /// The checkpoint of a content id, when an epoch here has it open and found no damage in it.
  std::shared_ptr<OpenCheckpoint> open_checkpoint(const std::string& content_id) const;
  std::uint64_t weight_bytes() const;
  std::uint64_t kv_bytes() const;
  std::uint32_t shards() const;

  // Where this node conducts; written by the executor's thread.
  void set_conducting(Epoch epoch);
  Epoch conducting() const;

  void stop();
  bool stopping() const;

 private:
  struct Entry {
    EpochShard* shard;
    bool preparing = true;
  };
  mutable std::mutex mutex_;
  EventFd wake_;
  std::vector<ExecutorOrder> orders_;
  std::map<Epoch, Entry> epochs_;
  Epoch conducting_;
  bool stopping_ = false;
};

}  // namespace tessera
