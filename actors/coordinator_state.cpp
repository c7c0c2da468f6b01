#include "actors/coordinator_state.hpp"

#include <algorithm>
#include <utility>

#include <caf/send.hpp>

#include "cluster/rpc/encoding.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

void CoordinatorActorState::start(caf::event_based_actor* self, CoordinatorParts parts, StoredState stored) {
  self_ = self;
  parts_ = std::move(parts);
  core_.emplace(parts_.options, Term{parts_.store->term()});
  take(core_->recover(parts_.clock->now(), std::move(stored)));
}

void CoordinatorActorState::register_node(const RegisterNode& message) {
  nodes_[message.from] = message.node;
  registrations_[message.from] = message.reply;
  step(NodeRegistered{message.from, message.info, message.held});
}

void CoordinatorActorState::heartbeat(const Heartbeat& message) {
  step(NodeBeat{message.from, message.load});
  if (core_->node_of(message.from)) {
    (*message.reply)({});
  } else {
    (*message.reply)(Error{ErrorCode::not_found, "the coordinator does not know this connection; register again"});
  }
}

void CoordinatorActorState::step(const CoordinatorInput& input) {
  if (deposed_) return;
  if (const auto* gone = std::get_if<NodeDisconnected>(&input)) {
    nodes_.erase(gone->from);
    registrations_.erase(gone->from);
  }
  take(core_->step(parts_.clock->now(), input));
}

void CoordinatorActorState::take(CoordinatorOutputs outputs) {
  for (CoordinatorOutput& output : outputs) outbox_.push_back(std::move(output));
  pump();
  tell_deploy_waiters();
}

void CoordinatorActorState::pump() {
  while (!outbox_.empty() && !committing_ && !deposed_) {
    if (std::holds_alternative<Persist>(outbox_.front()) || std::holds_alternative<Erase>(outbox_.front())) {
      if (!retry_due_) commit_front();
      return;
    }
    CoordinatorOutput output = std::move(outbox_.front());
    outbox_.pop_front();
    std::visit([this](auto& deed) { carry_out(deed); }, output);
  }
}

void CoordinatorActorState::commit_front() {
  // Neighbouring records go into one commit; of one key the last counts.
  std::map<std::string, StoreWrite> writes;
  std::size_t count = 0;
  for (const CoordinatorOutput& output : outbox_) {
    if (count == store_commit_writes_max) break;
    if (const auto* persist = std::get_if<Persist>(&output)) {
      const std::string key = key_of(persist->record);
      writes[key] = StoreWrite{key, encode_record(persist->record), {}, {}};
    } else if (const auto* erase = std::get_if<Erase>(&output)) {
      writes[erase->key] = StoreWrite{erase->key, std::nullopt, {}, {}};
    } else {
      break;
    }
    ++count;
  }
  committing_ = true;
  committing_outputs_ = count;
  std::vector<StoreWrite> list;
  for (auto& [key, write] : writes) list.push_back(std::move(write));
  const caf::actor self = caf::actor_cast<caf::actor>(self_);
  const bool posted = parts_.blocking->post([store = parts_.store, list = std::move(list), self] {
    caf::anon_send(self, StoreCommitted{store->commit(list)});
  });
  if (!posted) {
    committing_ = false;
    retry_due_ = true;
  }
}

void CoordinatorActorState::committed(const Result<std::uint64_t>& result) {
  committing_ = false;
  if (deposed_) return;
  if (!result) {
    if (result.error().code == ErrorCode::conflict) return deposed(result.error());
    // A full disk, a slow one: nothing that depends on the commit happens until it succeeds. Streams go on.
    if (const auto others = store_lines_.pass(parts_.clock->now()))
      log_error("the store refused a commit and is tried again" + others_text(*others) + ": " + result.error().message);
    retry_due_ = true;
    store_refused(result.error());
    return;
  }
  if (store_refuses_) log_info("the store takes commits again");
  store_refuses_.reset();
  outbox_.erase(outbox_.begin(), outbox_.begin() + static_cast<std::ptrdiff_t>(committing_outputs_));
  pump();
}

void CoordinatorActorState::store_refused(const Error& why) {
  store_refuses_ = why;
  const Error error{ErrorCode::exhausted,
                    "the coordinator cannot remember this now, and goes on with it when it can: " + why.message};
  for (auto& [token, waiting] : std::exchange(pending_, {})) {
    if (const auto* deploy = std::get_if<AskDeploy>(&waiting)) {
      (*deploy->reply)(error);
    } else if (const auto* plain = std::get_if<ReplyBox<void>>(&waiting)) {
      (**plain)(error);
    } else if (const auto* job = std::get_if<ReplyBox<JobRecord>>(&waiting); job && **job) {
      (**job)(error);
    }
  }
}

void CoordinatorActorState::deposed(const Error& why) {
  deposed_ = true;
  outbox_.clear();
  parts_.end_node(Error{ErrorCode::conflict, "this coordinator was replaced: " + why.message});
}

void CoordinatorActorState::time_passes() {
  if (deposed_) return;
  if (retry_due_) {
    retry_due_ = false;
    pump();
  }
  std::erase_if(deploy_waiters_, [](const DeployWaiter& waiter) { return waiter.progress.closed(); });
  for (std::size_t i = 0; i < job_watchers_.size();) {
    if (!job_watchers_[i].progress.closed()) {
      ++i;
      continue;
    }
    const JobWatcher gone = job_watchers_[i];
    job_watchers_.erase(job_watchers_.begin() + static_cast<std::ptrdiff_t>(i));
    const bool attached = std::any_of(job_watchers_.begin(), job_watchers_.end(),
                                      [&](const JobWatcher& other) { return other.attach && other.job == gone.job; });
    if (gone.attach && !attached) step(JobClientLost{gone.job});
  }
  step(Tick{});
}

RequestToken CoordinatorActorState::pending(PendingReply reply) {
  const RequestToken token{++last_token_};
  pending_.emplace(token, std::move(reply));
  return token;
}

NodeProxy* CoordinatorActorState::proxy(ConnectionId connection) {
  const auto found = nodes_.find(connection);
  return found == nodes_.end() ? nullptr : &found->second;
}

}  // namespace tessera
