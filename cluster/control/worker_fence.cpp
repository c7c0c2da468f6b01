#include "cluster/control/worker_fence.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace tessera {

namespace {

/// Epochs of one replica that a node keeps prepared at once; a coordinator has one pending beside the one that serves.
constexpr std::size_t prepared_max = 8;

std::string name(ReplicaId replica) { return "replica " + std::to_string(replica.value); }
std::string name(Epoch epoch) { return "epoch " + std::to_string(epoch.value); }

Error stale(std::string message) { return Error{ErrorCode::conflict, std::move(message)}; }

bool contains(const std::vector<Epoch>& epochs, Epoch epoch) {
  return std::find(epochs.begin(), epochs.end(), epoch) != epochs.end();
}

}  // namespace

const char* to_string(FenceCheck check) {
  switch (check) {
    case FenceCheck::prepare_term:
      return "prepare_term";
    case FenceCheck::prepare_epoch:
      return "prepare_epoch";
    case FenceCheck::activate_term:
      return "activate_term";
    case FenceCheck::hand_over_term:
      return "hand_over_term";
    case FenceCheck::hand_over_from:
      return "hand_over_from";
    case FenceCheck::retire_term:
      return "retire_term";
    case FenceCheck::begin_prepared:
      return "begin_prepared";
    case FenceCheck::begin_epoch:
      return "begin_epoch";
    case FenceCheck::step_current:
      return "step_current";
    case FenceCheck::step_number:
      return "step_number";
    case FenceCheck::result_current:
      return "result_current";
  }
  return "unknown";
}

FenceRules FenceRules::without(FenceCheck check) {
  FenceRules rules;
  rules.off_[static_cast<std::size_t>(check)] = true;
  return rules;
}

Result<void> WorkerFence::observe(Term term) {
  if (term < term_) {
    return stale("a coordinator of term " + std::to_string(term.value) + " was replaced by one of term " +
                 std::to_string(term_.value));
  }
  term_ = term;
  return {};
}

Result<void> WorkerFence::check_term(Term term, FenceCheck check) const {
  if (rules_.on(check) && term < term_) {
    return stale(std::string(to_string(check)) + ": the command's term " + std::to_string(term.value) +
                 " is over; this node obeys term " + std::to_string(term_.value));
  }
  return {};
}

Result<void> WorkerFence::prepare(Term term, ReplicaId replica, Epoch epoch) {
  TESSERA_CHECK(check_term(term, FenceCheck::prepare_term));
  Replica& state = replicas_[replica];
  if (rules_.on(FenceCheck::prepare_epoch) && epoch <= state.seen) {
    return stale(name(replica) + ": " + name(epoch) + " is not newer than " + name(state.seen) + ", seen before");
  }
  if (state.prepared.size() >= prepared_max) {
    return Error{ErrorCode::exhausted, name(replica) + ": " + std::to_string(prepared_max) +
                                           " epochs are prepared on this node; retire some before " + name(epoch)};
  }
  term_ = std::max(term_, term);
  state.seen = std::max(state.seen, epoch);
  if (!contains(state.prepared, epoch)) state.prepared.push_back(epoch);
  std::sort(state.prepared.begin(), state.prepared.end());
  forget_old_replicas();
  return {};
}

Result<void> WorkerFence::check_begin(const Replica& state, ReplicaId replica, Epoch epoch) const {
  if (rules_.on(FenceCheck::begin_prepared) && !contains(state.prepared, epoch)) {
    return Error{ErrorCode::unavailable, name(replica) + ": " + name(epoch) + " is not prepared on this node"};
  }
  if (rules_.on(FenceCheck::begin_epoch) && epoch <= state.begun) {
    return stale(name(replica) + ": " + name(epoch) + " cannot begin after " + name(state.begun));
  }
  return {};
}

Result<void> WorkerFence::activate(Term term, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation) {
  TESSERA_CHECK(check_term(term, FenceCheck::activate_term));
  TESSERA_CHECK(begin(replica, epoch, incarnation));
  term_ = std::max(term_, term);
  return {};
}

Result<void> WorkerFence::hand_over(Term term, ReplicaId replica, Epoch from, Epoch to) {
  TESSERA_CHECK(check_term(term, FenceCheck::hand_over_term));
  const Replica& state = replicas_[replica];
  if (rules_.on(FenceCheck::hand_over_from) && (from != state.begun || state.over)) {
    return stale(name(replica) + ": " + name(from) + " cannot hand over to " + name(to) + ": it does not compute here" +
                 (state.begun > from ? ", " + name(state.begun) + " does" : ""));
  }
  term_ = std::max(term_, term);
  return {};
}

Result<void> WorkerFence::retire(Term term, ReplicaId replica, Epoch epoch) {
  TESSERA_CHECK(check_term(term, FenceCheck::retire_term));
  term_ = std::max(term_, term);
  replicas_[replica].seen = std::max(replicas_[replica].seen, epoch);  // also a prepare that is still on its way
  forget(replica, epoch);
  forget_old_replicas();
  return {};
}

Result<void> WorkerFence::begin(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation) {
  Replica& state = replicas_[replica];
  TESSERA_CHECK(check_begin(state, replica, epoch));
  state.begun = epoch;
  state.incarnation = incarnation;
  state.step = 0;
  state.over = false;
  return {};
}

Result<void> WorkerFence::check_current(const Replica& state, ReplicaId replica, Epoch epoch,
                                        ConductorIncarnation incarnation) const {
  if (epoch == state.begun && incarnation == state.incarnation && !state.over) return {};
  return stale(name(replica) + ": " + name(epoch) + " of conductor " + std::to_string(incarnation.value) +
               " does not compute on this node; " +
               (state.over ? name(state.begun) + " was the last"
                           : name(state.begun) + " of conductor " + std::to_string(state.incarnation.value) + " does"));
}

Result<void> WorkerFence::step(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation, std::uint64_t number) {
  Replica& state = replicas_[replica];
  if (rules_.on(FenceCheck::step_current)) TESSERA_CHECK(check_current(state, replica, epoch, incarnation));
  if (rules_.on(FenceCheck::step_number) && number != state.step + 1) {
    return stale(name(replica) + ", " + name(epoch) + ": step " + std::to_string(number) + " does not follow step " +
                 std::to_string(state.step));
  }
  state.step = number;
  return {};
}

Result<void> WorkerFence::result(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation) const {
  if (!rules_.on(FenceCheck::result_current)) return {};
  const auto it = replicas_.find(replica);
  return check_current(it == replicas_.end() ? Replica{} : it->second, replica, epoch, incarnation);
}

void WorkerFence::forget(ReplicaId replica, Epoch epoch) {
  const auto it = replicas_.find(replica);
  if (it == replicas_.end()) return;
  std::erase(it->second.prepared, epoch);
  if (it->second.begun == epoch) it->second.over = true;
}

/// Only replicas that hold nothing here: a node never takes part in so many at once.
void WorkerFence::forget_old_replicas() {
  for (auto it = replicas_.begin(); it != replicas_.end() && replicas_.size() > fenced_replicas_max;)
    it = it->second.prepared.empty() ? replicas_.erase(it) : std::next(it);
}

std::vector<HeldEpoch> WorkerFence::held() const {
  std::vector<HeldEpoch> held;
  for (const auto& [replica, state] : replicas_) {
    for (const Epoch epoch : state.prepared) {
      const bool active = epoch == state.begun && !state.over;
      held.push_back({replica, epoch, active, false, active ? state.incarnation : ConductorIncarnation{}});
    }
  }
  return held;
}

Epoch WorkerFence::begun(ReplicaId replica) const {
  const auto it = replicas_.find(replica);
  return it == replicas_.end() || it->second.over ? Epoch{} : it->second.begun;
}

}  // namespace tessera
