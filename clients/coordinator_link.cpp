#include "clients/coordinator_link.hpp"

#include <algorithm>

namespace tessera::frontend {

CoordinatorLink::CoordinatorLink(RpcThread& thread, Timers& timers, DialOptions options)
    : thread_(thread), timers_(timers), options_(std::move(options)) {}

void CoordinatorLink::start() { dial(); }

void CoordinatorLink::stop() {
  stopped_ = true;
  fail_waiting(Error{ErrorCode::cancelled, "the client is being closed"});
  client_.reset();
}

void CoordinatorLink::with_connection(TimePoint deadline, Reply<Connected> reply) {
  if (stopped_) return reply(Error{ErrorCode::cancelled, "the client is being closed"});
  if (client_) return reply(Connected{*client_, number_});
  if (waiting_.size() >= waiting_calls_max) {
    return reply(Error{ErrorCode::exhausted, std::to_string(waiting_calls_max) +
                                                 " calls wait for the coordinator already; wait for their answers"});
  }
  const std::uint64_t id = next_waiting_++;
  const Timers::Key timer = timers_.at(deadline, [this, id] {
    auto node = waiting_.extract(id);
    if (!node.empty()) node.mapped().reply(absence());
  });
  waiting_.emplace(id, Waiting{std::move(reply), timer});
}

Error CoordinatorLink::absence() const {
  const std::string where = "the coordinator " + options_.server.name + " at " + to_string(options_.endpoint);
  if (!last_error_) return {ErrorCode::timed_out, where + " does not answer; is it overloaded, or stopped?"};
  const bool may_pass = last_error_->code == ErrorCode::unavailable || last_error_->code == ErrorCode::timed_out;
  if (!may_pass) return {last_error_->code, where + ": " + last_error_->message};
  return {last_error_->code, where + " cannot be reached (" + last_error_->message + "); is the cluster up?"};
}

void CoordinatorLink::dial() {
  if (stopped_) return;
  CoordinatorClient::connect(
      thread_, options_,
      [this](const Error& error) {
        client_.reset();
        last_error_ = error;
        backoff_ = redial_first;
        dial_later();
      },
      [this](Result<CoordinatorClient> client) { on_dialled(std::move(client)); });
}

void CoordinatorLink::dial_later() {
  if (stopped_) return;
  timers_.after(backoff_, [this] { dial(); });
  backoff_ = std::min(backoff_ * 2, redial_max);
}

void CoordinatorLink::on_dialled(Result<CoordinatorClient> client) {
  if (stopped_) return;
  if (!client) {
    last_error_ = client.error();
    const ErrorCode code = client.error().code;
    // Time does not heal a refusal: whoever waits hears it, at the second time in a row, as a coordinator that dies in
    // the handshake looks the same. It is dialled again all the same, for later calls.
    const bool refused = code != ErrorCode::unavailable && code != ErrorCode::timed_out;
    if (refused && refused_) fail_waiting(absence());
    refused_ = refused;
    return dial_later();
  }
  client_ = *std::move(client);
  ++number_;
  refused_ = false;
  last_error_.reset();
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& [id, call] : waiting) {
    timers_.cancel(call.timer);
    call.reply(Connected{*client_, number_});
  }
}

void CoordinatorLink::fail_waiting(const Error& error) {
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& [id, call] : waiting) {
    timers_.cancel(call.timer);
    call.reply(error);
  }
}

}  // namespace tessera::frontend
