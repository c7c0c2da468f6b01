// PhaseTimes: how long each stream of a conductor waited for its place, was prefilled, and decoded, for whoever asked
// for it. The batching policy has no clock; this is told when it has changed something.
//
//   submit ── queue ──► admitted ── prefill ──► first token ── decode ──► last token
#pragma once

#include <map>
#include <optional>

#include "cluster/control/stream.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/batching/sequence.hpp"

namespace tessera {

/// Not synchronised: its owner holds the lock.
class PhaseTimes {
 public:
  /// Also when a frontend opens a stream again that is here: what it knows of before, it has added up.
  void submitted(SequenceKey key, TimePoint now);
  /// `runs(key)`: whether the stream is admitted. Asked for those that were not yet.
  template <typename Runs>
  void admit(TimePoint now, const Runs& runs) {
    for (auto& [key, life] : lives_)
      if (!life.admitted && runs(key)) life.admitted = now;
  }
  /// A step that computed something of it is done.
  void stepped(SequenceKey key);
  /// Tokens of it, or its end, go to its frontend. Nothing when it was never submitted here.
  std::optional<StreamPhases> told(SequenceKey key, TimePoint now);
  /// Of those for which is_here(key) does not hold.
  template <typename IsHere>
  void forget_unless(const IsHere& is_here) {
    std::erase_if(lives_, [&](const auto& life) { return !is_here(life.first); });
  }

 private:
  struct Life {
    TimePoint submitted;
    std::optional<TimePoint> admitted = {}, first_token = {};
    std::uint32_t steps = 0;
  };
  std::map<SequenceKey, Life> lives_;  ///< of streams that are here
};

}  // namespace tessera
