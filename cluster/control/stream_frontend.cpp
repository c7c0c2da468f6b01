#include "cluster/control/stream_frontend.hpp"

#include <algorithm>
#include <utility>

#include "cluster/control/replica_routing.hpp"

namespace tessera {

namespace {

/// The next try will say the same.
bool lasting_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::not_found:
    case ErrorCode::unsupported:
    case ErrorCode::denied:
    case ErrorCode::cancelled:
      return true;
    case ErrorCode::corrupt:
    case ErrorCode::io:
    case ErrorCode::exhausted:
    case ErrorCode::unavailable:
    case ErrorCode::timed_out:
    case ErrorCode::conflict:
      return false;
  }
  return true;
}

/// In place: GCC 12 takes a variant that is moved for uninitialised.
template <typename Output>
void put(std::vector<StreamOutput::Any>& out, Output output) {
  out.emplace_back(std::in_place_type<Output>, std::move(output));
}

}  // namespace

StreamFrontend::StreamFrontend(StreamRequest request, const StreamTimeouts& timeouts, const std::string& session)
    : request_(std::move(request)),
      timeouts_(timeouts),
      routing_key_(routing_key(request_, session)),
      backoff_(timeouts.backoff_first) {}

std::vector<StreamOutput::Any> StreamFrontend::step(TimePoint now, StreamInput::Any input) {
  Outputs out;
  if (phase_ == Phase::ended) return out;
  if (deadline_ && now >= *deadline_ && !std::holds_alternative<StreamInput::Cancel>(input)) {
    close(out, true);
    fail({ErrorCode::timed_out, "stream " + to_string(request_.id) + ": its deadline of " +
                                    std::to_string(timeouts_.deadline.count()) + " ms is over after " +
                                    std::to_string(request_.delivered.size()) + " tokens; give it more time"},
         out);
    return out;
  }
  std::visit([&](auto& each) { on(now, each, out); }, input);
  return out;
}

std::optional<TimePoint> StreamFrontend::wakeup() const {
  if (phase_ == Phase::ended || phase_ == Phase::idle) return {};
  TimePoint next = deadline_ ? std::min(due_, *deadline_) : due_;
  if (doubt_due_ && (phase_ == Phase::open || phase_ == Phase::opening)) next = std::min(next, *doubt_due_);
  return next;
}

void StreamFrontend::on(TimePoint now, const StreamInput::Start&, Outputs& out) {
  if (phase_ != Phase::idle) return;
  if (timeouts_.deadline.count() > 0) deadline_ = now + timeouts_.deadline;
  locate(now, out);
}

void StreamFrontend::on(TimePoint now, StreamInput::Located& input, Outputs& out) {
  if (input.attempt != attempt_) return;
  if (phase_ == Phase::open || phase_ == Phase::opening) {
    doubt_due_ = now + timeouts_.doubt;
    if (replaced(input)) relocate(now, out, true);
    return;
  }
  if (phase_ != Phase::locating) return;
  if (!input.candidates) {
    // A damaged checkpoint stays damaged; elsewhere `corrupt` speaks of one connection.
    const bool damaged = input.candidates.error().code == ErrorCode::corrupt;
    if (damaged || lasting(input.candidates.error())) return fail(input.candidates.error(), out);
    return relocate(now, out, true);
  }
  replicas_ = input.candidates->size();
  if (replicas_ == 0) return relocate(now, out, true);
  location_ = choose(*input.candidates);
  request_.replica = location_->replica;
  // Who was left behind would compute it for nobody until its patience ends.
  if (left_ && left_->location.replica != location_->replica) put(out, *std::exchange(left_, std::nullopt));
  left_ = StreamOutput::Close{attempt_, *location_, true};
  phase_ = Phase::opening;
  due_ = now + timeouts_.open;
  doubt_due_ = now + timeouts_.doubt;
  StreamOutput::Open open{attempt_, *location_, request_};
  // What is left, rounded up: this end counts exactly.
  if (deadline_) open.request.timeout = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - now);
  put(out, std::move(open));
}

void StreamFrontend::on(TimePoint now, StreamInput::Opened& input, Outputs& out) {
  if (input.attempt != attempt_ || phase_ != Phase::opening) return;
  if (!input.result) {
    // Full here, but perhaps not at another replica.
    const bool others = input.result.error().code == ErrorCode::exhausted && avoided_.size() + 1 < replicas_;
    if (!others && lasting(input.result.error())) return fail(input.result.error(), out);
    return relocate(now, out);
  }
  avoided_.clear();
  stays_ = false;
  phase_ = Phase::open;
  ++opens_;
  trust(now);
}

void StreamFrontend::on(TimePoint now, StreamInput::Update& input, Outputs& out) {
  if (input.attempt != attempt_ || (phase_ != Phase::open && phase_ != Phase::opening)) return;
  StreamUpdate& update = input.update;
  if (update.id != request_.id || update.incarnation != location_->incarnation) return;
  if (phase_ == Phase::open) trust(now);
  const std::size_t before = request_.delivered.size();
  if (!take_scores(update, out) || !take_tokens(update, out)) {
    if (phase_ != Phase::ended) relocate(now, out);
    return;
  }
  if (request_.delivered.size() > before) {
    backoff_ = timeouts_.backoff_first;
    if (!cached_) cached_ = update.cached_tokens;
  }
  if (update.phases) phases_ = update.phases;
  if (update.failed) {
    close(out, false);
    return fail(std::move(*update.failed), out);
  }
  if (update.finished) {
    if (*update.finished == FinishReason::end_token && !ends_with_end_token()) return relocate(now, out);
    // Of a conductor that does not know what was asked.
    if (request_.vector.has_value() == update.vector.empty()) {
      close(out, false);
      return fail({ErrorCode::unsupported, "deployment " + request_.deployment + ": its conductor gives " +
                                               (request_.vector ? "no vectors" : "a vector for text")},
                  out);
    }
    close(out, false);
    phase_ = Phase::ended;
    put(out, StreamOutput::Finished{*update.finished, std::move(update.vector)});
    return;
  }
  if (update.moved) relocate(now, out, true);
}

void StreamFrontend::on(TimePoint now, const StreamInput::Disconnected& input, Outputs& out) {
  if (input.attempt == attempt_ && (phase_ == Phase::open || phase_ == Phase::opening)) relocate(now, out);
}

void StreamFrontend::on(TimePoint, const StreamInput::Cancel&, Outputs& out) {
  close(out, true);
  fail({ErrorCode::cancelled, "stream " + to_string(request_.id) + " was cancelled"}, out);
}

void StreamFrontend::on(TimePoint now, const StreamInput::Tick&, Outputs& out) {
  if (phase_ == Phase::idle) return;
  const bool there = phase_ == Phase::open || phase_ == Phase::opening;
  if (there && now < due_ && doubt_due_ && now >= *doubt_due_) {
    doubt_due_.reset();
    put(out, StreamOutput::Locate{attempt_, request_.deployment});
  }
  if (now < due_) return;
  if (phase_ == Phase::backing_off) return locate(now, out);
  relocate(now, out);
}

void StreamFrontend::locate(TimePoint now, Outputs& out) {
  ++attempt_;
  phase_ = Phase::locating;
  due_ = now + timeouts_.locate;
  put(out, StreamOutput::Locate{attempt_, request_.deployment});
}

void StreamFrontend::trust(TimePoint now) {
  due_ = now + timeouts_.silence;
  doubt_due_ = now + timeouts_.doubt;
}

bool StreamFrontend::replaced(const StreamInput::Located& answer) const {
  // That nobody serves at the moment says nothing: this one may go on.
  if (!answer.candidates || answer.candidates->empty()) return false;
  return std::none_of(answer.candidates->begin(), answer.candidates->end(),
                      [this](const StreamCandidate& each) { return each.location == *location_; });
}

const StreamLocation& StreamFrontend::choose(const std::vector<StreamCandidate>& candidates) {
  std::vector<RoutedReplica> replicas;
  std::vector<const StreamLocation*> locations;
  const auto take = [&](bool all) {
    for (const StreamCandidate& each : candidates) {
      const ReplicaId replica = each.location.replica;
      if (!all && std::find(avoided_.begin(), avoided_.end(), replica) != avoided_.end()) continue;
      replicas.push_back({replica, each.streams});
      locations.push_back(&each.location);
    }
  };
  if (stays_ && location_) {
    for (const StreamCandidate& each : candidates) {
      if (each.location.replica == location_->replica) return each.location;
    }
  }
  take(false);
  if (replicas.empty()) {
    avoided_.clear();
    take(true);
  }
  return *locations[choose_replica(routing_key_, replicas)];
}

void StreamFrontend::relocate(TimePoint now, Outputs& out, bool stays) {
  const bool tried = phase_ == Phase::opening || phase_ == Phase::open;
  close(out, false);
  if (tried) {
    stays_ = stays;
    if (!stays && std::find(avoided_.begin(), avoided_.end(), location_->replica) == avoided_.end())
      avoided_.push_back(location_->replica);
  }
  earlier_phases_ = phases();
  phases_.reset();
  phase_ = Phase::backing_off;
  due_ = now + backoff_;
  backoff_ = std::min(backoff_ * 2, timeouts_.backoff_max);
}

void StreamFrontend::close(Outputs& out, bool cancel) {
  if (phase_ == Phase::opening || phase_ == Phase::open) put(out, StreamOutput::Close{attempt_, *location_, cancel});
}

void StreamFrontend::fail(Error error, Outputs& out) {
  phase_ = Phase::ended;
  put(out, StreamOutput::Failed{std::move(error)});
}

std::optional<StreamPhases> StreamFrontend::phases() const {
  if (!phases_) return earlier_phases_;
  return earlier_phases_ ? *earlier_phases_ + *phases_ : *phases_;
}

bool StreamFrontend::take_tokens(const StreamUpdate& update, Outputs& out) {
  for (const StreamToken& token : update.tokens) {
    const std::size_t next = request_.delivered.size();
    if (token.index > next) return false;
    if (token.index < next) {
      if (request_.delivered[token.index] == token.token) continue;
      close(out, true);
      fail({ErrorCode::corrupt, "stream " + to_string(request_.id) + ": token " + std::to_string(token.index) +
                                    " was delivered as " + std::to_string(request_.delivered[token.index]) +
                                    " and computed again as " + std::to_string(token.token) +
                                    "; a worker computes wrong values"},
           out);
      return false;
    }
    request_.delivered.push_back(token.token);
    put(out, StreamOutput::Deliver{token});
  }
  return true;
}

bool StreamFrontend::take_scores(const StreamUpdate& update, Outputs& out) {
  for (const PromptScore& score : update.scores) {
    if (score.index > scores_ + 1) return false;
    if (score.index <= scores_) continue;
    scores_ = score.index;
    put(out, StreamOutput::DeliverScore{score});
  }
  return true;
}

bool StreamFrontend::ends_with_end_token() const {
  const std::vector<TokenId>& ends = request_.end_tokens;
  return !request_.delivered.empty() && std::find(ends.begin(), ends.end(), request_.delivered.back()) != ends.end();
}

/// A full queue is an answer to a new request; one that has been running waits for its turn.
bool StreamFrontend::lasting(const Error& error) const {
  if (error.code == ErrorCode::exhausted) return opens_ == 0 && request_.delivered.empty();
  return lasting_code(error.code);
}

}  // namespace tessera
