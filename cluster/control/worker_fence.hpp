// WorkerFence: what a node still obeys. Messages can come late: from a coordinator that was replaced, from a conductor
// that was frozen and does not know that its epoch is over, from a connection that outlived its purpose. Every command
// and every data frame passes here before it has an effect; numbers that are too low are refused.
//
//   prepare 4 ─► begin 4 ─► step 1 2 3 … ─► begin 5 (prepared meanwhile) ─► step 1 2 …      retire 4
//                └ from here on, epochs below 4 are over at this node: no step, no begin, no result of a step in flight
//
// Once every member of an epoch has accepted its begin, none of them contributes to an older one: one epoch computes.
//
// A prepare whose answer cannot be delivered (its connection ended meanwhile) has to be undone with forget(): that
// coordinator has given the epoch up here, and nobody would retire it.
//
// Pure; one object per node, shared by all its replicas. Not synchronised: the node guards it with one mutex (a call is
// a look-up). Every refusal is an Error `conflict` (or `unavailable` for an epoch that is not prepared here) whose
// message names both numbers; a refused call changes nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/control/node_info.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// The single checks, so that the simulation can show that each is needed.
enum class FenceCheck : std::uint8_t {
  prepare_term,    ///< a prepare of a replaced coordinator
  prepare_epoch,   ///< a prepare that is not newer than every epoch seen of the replica
  activate_term,   ///< an activate of a replaced coordinator
  hand_over_term,  ///< a hand_over of a replaced coordinator
  hand_over_from,  ///< a hand_over from an epoch that is not the one that computes here
  retire_term,     ///< a retire of a replaced coordinator
  begin_prepared,  ///< a begin of an epoch that is not prepared here (any more)
  begin_epoch,     ///< a begin of an epoch that is not newer than the one that has begun
  step_current,    ///< a step of another epoch or conductor than the one that has begun
  step_number,     ///< a step that is not the next one
  result_current,  ///< the result of a step whose epoch was left while it computed
};
inline constexpr std::size_t fence_checks = 11;
const char* to_string(FenceCheck check);

/// Which checks are on. Production uses all; only the simulation's mutation runs switch one off.
class FenceRules {
 public:
  static FenceRules all() { return {}; }
  static FenceRules without(FenceCheck check);
  bool on(FenceCheck check) const { return !off_[static_cast<std::size_t>(check)]; }

 private:
  std::array<bool, fence_checks> off_{};
};

class WorkerFence {
 public:
  explicit WorkerFence(FenceRules rules = FenceRules::all()) : rules_(rules) {}

  /// The term that a coordinator named when this node registered; a lower one than seen is refused.
  Result<void> observe(Term term);
  Term term() const { return term_; }

  // Commands of the coordinator.

  /// Before anything is allocated for the epoch, at every participant.
  Result<void> prepare(Term term, ReplicaId replica, Epoch epoch);
  /// At the root's node, before its conductor starts; contains the root's own begin.
  Result<void> activate(Term term, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation);
  /// At the old conductor's node: before it sends its transfer. `from` must be what computes here, `to` prepared; the
  /// node's own begin of `to` follows at the step boundary.
  Result<void> hand_over(Term term, ReplicaId replica, Epoch from, Epoch to);
  /// Before the epoch's shard and pages are freed. Its prepare, begin and steps are refused from then on. Unknown
  /// epoch: accepted.
  Result<void> retire(Term term, ReplicaId replica, Epoch epoch);

  // Frames on the data plane.

  /// A begin or transfer command, at every participant (donors too). From here on older epochs are over. Resets the
  /// step number to 0. `incarnation` of the conductor that will step the epoch.
  Result<void> begin(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation);
  /// A step command, before it computes; steps of an epoch count from 1 without gaps. At the root too.
  Result<void> step(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation, std::uint64_t number);
  /// Before a step's result leaves the node (partial sums, logits, sampled tokens): is its epoch still the one that
  /// computes?
  Result<void> result(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation) const;

  /// The prepare failed, or the epoch broke: as if retired, without a coordinator.
  void forget(ReplicaId replica, Epoch epoch);

  /// What this node holds, for its registration: prepared epochs and the one that has begun. `conducts` is left false:
  /// the executor knows.
  std::vector<HeldEpoch> held() const;
  /// The epoch that has begun here; 0: none.
  Epoch begun(ReplicaId replica) const;

 private:
  struct Replica {
    Epoch seen;                        ///< highest epoch of an accepted prepare or retire
    Epoch begun;                       ///< epoch of the last accepted begin: all below are over
    ConductorIncarnation incarnation;  ///< that steps it
    std::uint64_t step = 0;            ///< last accepted
    bool over = false;                 ///< `begun` was retired or broke
    std::vector<Epoch> prepared;       ///< whose shards are here, ascending; those that have begun too
  };
  Result<void> check_term(Term term, FenceCheck check) const;
  Result<void> check_begin(const Replica& state, ReplicaId replica, Epoch epoch) const;
  Result<void> check_current(const Replica& state, ReplicaId replica, Epoch epoch,
                             ConductorIncarnation incarnation) const;
  void forget_old_replicas();

  FenceRules rules_;
  Term term_;
  std::map<ReplicaId, Replica> replicas_;
};

/// Replicas whose numbers a node remembers; beyond it the oldest without an epoch are forgotten (ids are never reused).
inline constexpr std::size_t fenced_replicas_max = 4096;

}  // namespace tessera
