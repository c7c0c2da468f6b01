// Conductor: the streams of one replica, where its root rank is. Puts the batching policy (ConductorCore), the samplers
// and the frontends' comings and goings together; knows nothing of threads of execution, connections or shards.
//
//   any thread:       submit · cancel · detach
//   executor thread:  plan_step → (shards compute) → take_logits … → step_done → take_updates
//
// It outlives epochs: when one breaks, the streams stay, their KV is forgotten, and they go on in the next.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "cluster/control/stream.hpp"
#include "cluster/executor/phase_times.hpp"
#include "kernels/abi/kernel_abi.h"
#include "runtime/base/clock.hpp"
#include "runtime/batching/conductor_core.hpp"
#include "runtime/device/thread_pool.hpp"
#include "runtime/model/sampling.hpp"
#include "runtime/model/vector_sum.hpp"

namespace tessera {

/// One per executor, as long as that; conducts between start() and end(). mutex_ guards everything except the samplers,
/// results and states of the step in flight, which only the executor's thread touches, and the pool for it.
class Conductor {
 public:
  /// `pool`: over whose threads sampling is spread, when the executor's thread takes logits; it outlives the conductor.
  Conductor(const tessera_op_table& ops, ThreadPool& pool, double detached_seconds_max, double waiting_seconds_max);

  // Any thread.

  /// See ReplicaExecutor::submit.
  Result<void> submit(StreamRequest request, TimePoint now);
  void cancel(StreamId id);
  void detach(StreamId id, TimePoint now);
  bool conducts() const;
  ConductorIncarnation incarnation() const;
  /// Counts go on when it ends and starts again.
  ConductorLoad load() const;

  // The executor's thread.

  /// Begins to conduct, without streams; or, when it conducts already, goes on with its streams under new limits: with
  /// their pages (kv_valid) or by replaying them.
  void start(const ConductorLimits& limits, ConductorIncarnation incarnation, bool kv_valid);
  /// Streams that another conductor handed over, valid pages included; detached until their frontends come. Only right
  /// after a start() that had no streams. `corrupt` when they contradict themselves.
  Result<void> adopt(std::vector<SequenceState> states, TimePoint now);
  /// A copy of all sequences for the next conductor.
  std::vector<SequenceState> sequences();
  /// Every stream gets `moved`; afterwards it does not conduct.
  std::vector<StreamUpdate> end();

  std::optional<StepPlan> plan_step(TimePoint now);
  /// Logits of plan.logits[first …]: [rows][vocab_size]. Samples or scores each, but for those that are void.
  void take_logits(const StepPlan& plan, std::uint32_t first, std::span<const float> logits);
  /// Of the row that is number `index` among those of the step that want one, in order; [dim].
  void take_hidden(std::uint32_t index, std::span<const float> state);
  /// All logits and hidden states were taken; the step took `seconds`. Returns the number of tokens that it gave.
  std::uint32_t step_done(const StepPlan& plan, double seconds);
  /// The step was planned and not taken: it is planned again.
  void step_abandoned();
  /// The step did not complete; its epoch is broken, so no page is trusted.
  void step_failed();

  /// What happened since the last call. A stream to which nothing happened for life_sign_seconds gets an empty update;
  /// one that was detached for too long is dropped, one that waits for too long to be admitted fails with `exhausted`,
  /// and one whose own time is over, waiting or running, with `timed_out`.
  std::vector<StreamUpdate> take_updates(TimePoint now);
  /// When take_updates is due at the latest; nothing without streams.
  std::optional<TimePoint> due() const;

  static constexpr double life_sign_seconds = 1;

 private:
  struct StreamSampler {
    Sampler sampler;
    std::size_t generated;  ///< tokens in its history
  };
  /// Rows of logits that are dealt with one after the other: one that is scored, or one that is sampled and the drafts
  /// behind it.
  struct LogitsRun {
    std::size_t begin, end;  ///< of StepPlan::logits
    StreamSampler* sampler;  ///< nullptr: they are scored, or their sequence is gone
  };
  std::vector<LogitsRun> logits_runs(const StepPlan& plan, std::size_t begin, std::size_t end);
  /// The sampler, with the sequence's whole history in it; nullptr when the sequence is gone.
  StreamSampler* sampler_of(SequenceKey key);
  /// Samples or scores at plan.logits[index], unless it is void.
  void take_row(const PlannedLogits& planned, std::size_t index, std::span<const float> logits, StreamSampler* sampler,
                SamplingScratch& scratch);
  void drop_detached(TimePoint now);
  void fail_waiting(TimePoint now);
  void fail_overdue(TimePoint now);

  const tessera_op_table& ops_;
  ThreadPool& pool_;
  const double detached_seconds_max_, waiting_seconds_max_;

  mutable std::mutex mutex_;
  /// Exchanges the core for one with other limits.
  void rebuild(const ConductorLimits& limits, bool kv_valid);
  /// Before the core goes: what it counted stays.
  void keep_counts();

  std::optional<ConductorCore> core_;
  std::vector<SequenceUpdate> untaken_;  ///< of the core before the last rebuild
  PrefixCounts prefix_;                  ///< of all cores before this one
  std::uint64_t preempted_ = 0;          ///< likewise
  SpeculationCounts speculation_;        ///< likewise
  ConductorIncarnation incarnation_;
  std::map<SequenceKey, TimePoint> detached_since_;
  std::map<SequenceKey, TimePoint> waiting_since_;  ///< of streams that were not admitted yet
  std::map<SequenceKey, TimePoint> deadlines_;      ///< of streams that have one
  std::map<SequenceKey, TimePoint> last_update_;    ///< of attached streams
  PhaseTimes phases_;

  /// Adds the hidden states of the step that is done to those of their sequences.
  void add_states(const StepPlan& plan);

  /// Of sequences that want one, as far as their states are computed.
  struct GrowingVector {
    VectorSum sum;
    bool normalised;
  };
  std::map<SequenceKey, GrowingVector> vectors_;

  std::vector<float> states_;  ///< of the step in flight, row by row
  std::map<SequenceKey, StreamSampler> samplers_;
  std::vector<LogitsResult> results_;
  std::vector<std::uint8_t> sampled_;     ///< of each of results_, 1: it is a token, not a score, and not void
  std::vector<SamplingScratch> scratch_;  ///< of each thread of the pool
};

}  // namespace tessera
