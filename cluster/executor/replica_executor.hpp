// ReplicaExecutor: everything that one node does for one replica. One thread runs the node's shard; where the replica's
// root rank is, the same thread is the conductor: it plans steps, sends them to the other nodes, samples, and delivers.
//
//   prepare(epoch 7) ──► preparing thread: open checkpoint, map slices, reserve KV, connect mesh ──► events.prepared
//   activate(7)      ──► executor thread:  begin → acks ─────────────────────────────────────────► events.activated
//   submit(stream)   ──► inbox ──► plan step → lease → command → shard → sample ─────────────────► events.updates
//   hand_over(7 → 8) ──► at a step boundary: transfer → KV pages → acks ────────────────► events.activated (new root)
//   retire(7)        ──► its connections are cut, so a step that waits in it wakes
//
// An epoch that breaks (a peer died, its bytes were corrupt) is reported once by events.broken. The conductor keeps its
// streams, without KV, for the next epoch that is activated on this node; their frontends notice nothing but a pause.
// A conductor that ends (its epoch is retired, or another node's epoch begins) sends `moved` for every stream.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/control/node_info.hpp"
#include "cluster/control/plan.hpp"
#include "cluster/control/stream.hpp"
#include "kernels/abi/kernel_abi.h"
#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"
#include "runtime/model/weight_check.hpp"

namespace tessera {

class DataListener;
class LeaseDesk;
class NodeFence;
struct ExchangeOptions;

/// The numeric profile that this build computes.
inline constexpr const char* executor_profile = "cpu-1";

struct ExecutorLimits {
  std::uint32_t streams_max =
      256;  ///< that wait for pages, beside those that run; submit() refuses beyond it (`exhausted`)
  double detached_seconds_max = 30;                  ///< a stream whose frontend stays away this long is dropped
  double waiting_seconds_max = 600;                  ///< a new stream that is not admitted in this time fails
  double connect_seconds_max = 20;                   ///< to join an epoch's mesh
  CheckPriority weight_check = CheckPriority::idle;  ///< of the check in the background
};

/// Times of one step, as the root rank saw it.
struct StepStatistics {
  Epoch epoch;
  std::uint32_t rows = 0;
  std::uint32_t tokens = 0;  ///< sampled
  double seconds = 0;        ///< from the command to the sampled tokens
  double wait_seconds = 0;   ///< of these, waiting for other shards
  double lease_seconds = 0;  ///< before it, waiting for the right to compute
};

/// What the executor reports; the actor that owns it implements this. Called on the executor's threads, in order for
/// one epoch, never after shutdown() returned. An implementation must not block and must not call the executor.
class ReplicaEvents {
 public:
  virtual ~ReplicaEvents() = default;
  /// Answers prepare().
  virtual void prepared(Epoch epoch, Result<void> result) = 0;
  /// On the new root's node, after activate() or hand_over(): every member has acknowledged, or why not (then there is
  /// no broken() of that epoch from here).
  virtual void activated(Epoch epoch, ConductorIncarnation incarnation, Result<void> result) = 0;
  /// The epoch cannot go on; at most once per epoch, and not after retire(). Every member may report it.
  virtual void broken(Epoch epoch, Error error) = 0;
  /// The copy of the checkpoint that this node reads is not what was deployed, or its bytes do not have their
  /// checksums: the error names file and dataset. Comes before prepared() or broken() tell that the epoch failed; also
  /// on a thread of its own, and may come again for another epoch.
  virtual void damaged(Epoch epoch, Error error) = 0;
  /// Tokens for frontends, of streams that submit() accepted or that a hand-over brought (those before their frontend
  /// came back: whoever has no place for one drops it; submit() sends it again).
  virtual void updates(std::vector<StreamUpdate> updates) = 0;
  /// After every step of the conductor here.
  virtual void stepped(const StepStatistics&) {}
};

/// A sample of what the executor does, for NodeLoad.
struct ExecutorLoad {
  std::uint64_t weight_bytes = 0;   ///< mapped by all live epochs
  std::uint64_t kv_bytes_used = 0;  ///< of pages that hold tokens, at the conductor's last step or the last command
  std::uint32_t shards = 0;
  std::uint32_t streams_running = 0;
  std::uint32_t streams_waiting = 0;
  std::uint32_t pages_used = 0;
  std::uint32_t pages = 0;
  double step_seconds_median = 0;  ///< over the last 64 steps
  double wait_share = 0;           ///< of these steps' time
  double tokens_per_second = 0;    ///< sampled, over the last 5 seconds; 0 where it does not conduct
  std::uint32_t pages_cached = 0;  ///< that no stream uses and that hold prefixes
  std::uint64_t prefix_tokens_queried = 0, prefix_tokens_hit = 0;  ///< PrefixCounts, since the executor was made
  std::uint64_t preempted = 0;                                     ///< of its conductors, since then
  StepRows step_rows;                                              ///< of the steps that were planned here, since then
  std::uint64_t kv_bytes = 0;                                      ///< of the KV caches of all live epochs
  std::uint64_t draft_tokens = 0, draft_tokens_accepted = 0;       ///< SpeculationCounts, likewise
};

/// What one executor is made of. Everything pointed to outlives it.
struct ExecutorParts {
  NodeId node;
  ReplicaId replica;
  const tessera_op_table* ops = nullptr;
  std::uint32_t threads = 1;
  DataListener* listener = nullptr;
  const ExchangeOptions* exchange = nullptr;
  NodeFence* fence = nullptr;   ///< the node's
  LeaseDesk* leases = nullptr;  ///< the node's
  const Clock* clock = nullptr;
  ReplicaEvents* events = nullptr;
  ExecutorLimits limits;
};

/// One per (node, replica). Every member function may be called from any thread and returns at once, except shutdown()
/// and the destructor. Stale numbers are refused with `conflict` (worker_fence.hpp) and change nothing.
class ReplicaExecutor {
 public:
  static Result<std::unique_ptr<ReplicaExecutor>> create(const ExecutorParts& parts);
  /// shutdown().
  ~ReplicaExecutor();
  ReplicaExecutor(const ReplicaExecutor&) = delete;
  ReplicaExecutor& operator=(const ReplicaExecutor&) = delete;

  /// Answered by events.prepared, also when it is refused. A newer epoch cancels the preparation of older ones.
  void prepare(EpochPlan plan, EpochKeys keys);
  /// To the root's node of a prepared epoch. Answered here when it is refused, else by events.activated.
  Result<void> activate(Term term, Epoch epoch, ConductorIncarnation incarnation);
  /// To the conductor's node of `from`. Answered here when it is refused; else by events.activated at the root's node
  /// of `to`, or events.broken of `to` wherever it was noticed.
  Result<void> hand_over(Term term, Epoch from, Epoch to, ConductorIncarnation incarnation);
  /// Cuts the epoch's connections, frees its memory; its conductor, if it is still here, ends. Unknown epochs are fine.
  Result<void> retire(Term term, Epoch epoch);

  /// Opens or resumes a stream. `unavailable` when the conductor is not here, `exhausted` when it has too many streams,
  /// `invalid_argument` for prompt and parameters. A stream that is already here goes on behind `delivered`: what the
  /// frontend lacks is sent again.
  Result<void> submit(StreamRequest request);
  /// Ends the stream and frees its pages within one step. Unknown streams are fine.
  void cancel(StreamId id);
  /// The stream's frontend went away; it has detached_seconds_max to come back by submit().
  void detach(StreamId id);

  std::vector<HeldEpoch> held() const;
  ExecutorLoad load() const;
  /// The checkpoint with this content id, while an epoch here has it open (else null): it stays readable when its path
  /// does not.
  std::shared_ptr<const Checkpoint> open_checkpoint(const std::string& content_id) const;
  /// Cuts everything, joins the threads. Streams get no update.
  void shutdown();

 private:
  class Impl;
  explicit ReplicaExecutor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera
