#include "cluster/executor/phase_times.hpp"

namespace tessera {

void PhaseTimes::submitted(SequenceKey key, TimePoint now) { lives_[key] = Life{now}; }

void PhaseTimes::stepped(SequenceKey key) {
  if (const auto found = lives_.find(key); found != lives_.end()) ++found->second.steps;
}

std::optional<StreamPhases> PhaseTimes::told(SequenceKey key, TimePoint now) {
  const auto found = lives_.find(key);
  if (found == lives_.end()) return {};
  Life& life = found->second;
  // Tokens that were there already go to a frontend that comes back, before it is admitted again.
  if (!life.admitted) life.admitted = now;
  if (!life.first_token) life.first_token = now;
  return StreamPhases{seconds_between(life.submitted, *life.admitted),
                      seconds_between(*life.admitted, *life.first_token), seconds_between(*life.first_token, now),
                      life.steps};
}

}  // namespace tessera
