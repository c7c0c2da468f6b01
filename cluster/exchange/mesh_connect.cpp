// Mesh::connect: dials the lower participants, answers the higher ones, until every pair has proved its keys.
#include <algorithm>
#include <optional>
#include <utility>

#include "cluster/exchange/handshake.hpp"
#include "cluster/exchange/host_lookup.hpp"
#include "cluster/exchange/link.hpp"
#include "cluster/exchange/mesh.hpp"
#include "cluster/exchange/waiter.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

constexpr double redial_seconds_min = 0.02;
constexpr double redial_seconds_max = 0.5;
/// A dialed connection that gives no link in this time is given up and dialed again. Longer than a listener holds
/// callers whose epoch it does not know yet, so that it is usually the listener who ends it.
constexpr double dial_seconds_max = early_seconds_max + 5;
/// A host answers a dial at once, whatever its processes do: after so long without an answer it is dialed again, and
/// after reach_dials_max such dials in a row it is out of reach. Longer than any round trip between members.
constexpr double reach_seconds_max = 0.75;
constexpr std::uint32_t reach_dials_max = 2;
/// From a caller's hello to its proof.
constexpr double answer_seconds_max = 5;
/// Callers that claim to be the same participant and have not proved it; the oldest is closed.
constexpr std::size_t claims_max = 4;

TimePoint later(TimePoint time, double seconds) {
  return time + std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

struct Attempt {
  Handshake handshake;
  TimePoint deadline;
  TimePoint reach_by = TimePoint::max();  ///< of a dial
};

}  // namespace

/// One run of connect(), on its thread.
class MeshConnector {
 public:
  MeshConnector(Mesh& mesh, TimePoint deadline) : mesh_(mesh), clock_(*mesh.options_.clock), deadline_(deadline) {
    slots_.resize(mesh.peers_.size());
  }

  Result<void> run() {
    for (;;) {
      if (mesh_.aborted()) return *mesh_.failure();
      const TimePoint now = clock_.now();
      if (now >= deadline_) return mesh_.fail(missing());
      for (IncomingCall& caller : mesh_.expectation_->take()) answer(std::move(caller), now);
      for (std::uint32_t i = 0; i < slots_.size(); ++i) {
        if (Result<void> fine = advance(i, now); !fine) return mesh_.fail(fine.error());
      }
      if (complete()) return publish();
      wait(now);
    }
  }

 private:
  struct Slot {
    std::vector<Attempt> attempts;  ///< one when dialing, up to claims_max when answering
    std::unique_ptr<Link> link;
    std::optional<HostLookup> lookup;  ///< of the dial that is to begin
    TimePoint dial_again{};
    double redial_seconds = redial_seconds_min;
    std::uint32_t dials = 0, unanswered = 0;
    std::string last_error = "it has not called";
  };

  bool dials(std::uint32_t peer) const { return peer < mesh_.self_.value; }

  HandshakeParts parts(std::uint32_t peer) const {
    HandshakeParts parts;
    parts.mine.cluster = mesh_.options_.cluster;
    parts.mine.replica = mesh_.replica_;
    parts.mine.epoch = mesh_.epoch_;
    parts.mine.from = mesh_.self_;
    parts.mine.to = {peer};
    parts.mine.encrypted = mesh_.options_.encrypted;
    draw_nonce(parts.mine.nonce);
    parts.secret = mesh_.keys_.keys[peer];
    parts.peer = mesh_.peers_[peer].name;
    return parts;
  }

  void answer(IncomingCall caller, TimePoint now) {
    const std::uint32_t from = caller.hello.from.value;
    if (from >= slots_.size() || from <= mesh_.self_.value) return;
    Slot& slot = slots_[from];
    if (slot.attempts.size() >= claims_max) slot.attempts.erase(slot.attempts.begin());
    slot.attempts.push_back({Handshake::answer(std::move(caller), parts(from)), later(now, answer_seconds_max)});
  }

  void dial(std::uint32_t peer, TimePoint now) {
    Slot& slot = slots_[peer];
    if (!slot.lookup) {
      slot.dial_again = later(now, slot.redial_seconds);
      slot.redial_seconds = std::min(2 * slot.redial_seconds, redial_seconds_max);
      slot.lookup.emplace(mesh_.peers_[peer].endpoint, mesh_.options_.resolve_host);
    }
    const auto answer = slot.lookup->take();
    if (!answer) {
      slot.last_error = "the address of its host is still being looked up";
      return;
    }
    slot.lookup.reset();
    const Result<std::vector<SocketAddress>>& addresses = *answer;
    if (!addresses || addresses->empty()) {
      slot.last_error = addresses ? "its host has no address" : addresses.error().message;
      return;
    }
    auto socket = start_dial((*addresses)[slot.dials++ % addresses->size()]);
    if (!socket) {
      slot.last_error = socket.error().message;
      return;
    }
    slot.attempts.push_back({Handshake::dial(std::move(*socket), parts(peer)), later(now, dial_seconds_max),
                             later(now, reach_seconds_max)});
  }

  /// Fails only if another try is useless.
  Result<void> advance(std::uint32_t peer, TimePoint now) {
    if (peer == mesh_.self_.value) return {};
    Slot& slot = slots_[peer];
    const bool idle = dials(peer) && !slot.link && slot.attempts.empty();
    if (idle && (slot.lookup || now >= slot.dial_again)) dial(peer, now);
    for (auto attempt = slot.attempts.begin(); attempt != slot.attempts.end();) {
      auto done = attempt->handshake.advance();
      const bool reached = !attempt->handshake.reaching();
      if (reached) slot.unanswered = 0;
      if (done && !*done && now < (reached ? attempt->deadline : attempt->reach_by)) {
        ++attempt;
        continue;
      }
      if (done && !*done && !reached && ++slot.unanswered >= reach_dials_max) {
        return Error{ErrorCode::unavailable, mesh_.peers_[peer].name + " at " + to_string(mesh_.peers_[peer].endpoint) +
                                                 ": its host does not answer; check the network between the two"};
      }
      if (done && *done) {
        // A caller who proves itself again has lost the connection that it had.
        slot.link = attempt->handshake.take_link();
      } else {
        const Error error = done ? Error{ErrorCode::timed_out, "it did not finish the handshake"} : done.error();
        slot.last_error = error.message;
        // Callers may be anyone; whoever listens where the plan says is meant.
        if (dials(peer) && (error.code == ErrorCode::unsupported || error.code == ErrorCode::denied)) return error;
      }
      attempt = slot.attempts.erase(attempt);
    }
    return {};
  }

  bool complete() const {
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      if (i != mesh_.self_.value && !slots_[i].link) return false;
    }
    return true;
  }

  Result<void> publish() {
    {
      const std::lock_guard lock(mesh_.mutex_);
      if (mesh_.failure_) return *mesh_.failure_;
      for (std::size_t i = 0; i < slots_.size(); ++i) mesh_.peers_[i].link = std::move(slots_[i].link);
    }
    // Whoever calls later is nobody's.
    mesh_.expectation_.reset();
    for (PairKey& key : mesh_.keys_.keys) wipe(key);
    return {};
  }

  void wait(TimePoint now) {
    TimePoint next = deadline_;
    std::vector<pollfd> poll_set = {{mesh_.abort_event_.fd(), POLLIN, 0}, {mesh_.expectation_->event_fd(), POLLIN, 0}};
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      if (slot.lookup) {
        poll_set.push_back({slot.lookup->event_fd(), POLLIN, 0});
      } else if (dials(i) && !slot.link && slot.attempts.empty()) {
        next = std::min(next, slot.dial_again);
      }
      for (const Attempt& attempt : slot.attempts) {
        next = std::min(next, attempt.handshake.reaching() ? attempt.reach_by : attempt.deadline);
        poll_set.push_back({attempt.handshake.fd(), attempt.handshake.events(), 0});
      }
    }
    ::poll(poll_set.data(), poll_set.size(), poll_milliseconds(seconds_between(now, next)));
  }

  Error missing() const {
    std::string text = "epoch " + std::to_string(mesh_.epoch_.value) + " of replica " +
                       std::to_string(mesh_.replica_.value) + ": no data connection in time with";
    const char* separator = " ";
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      if (i == mesh_.self_.value || slots_[i].link) continue;
      text += separator + mesh_.peers_[i].name;
      if (dials(i)) text += " at " + to_string(mesh_.peers_[i].endpoint);
      text += " (" + slots_[i].last_error + ")";
      separator = ", ";
    }
    return Error{ErrorCode::timed_out, text + "; check that it runs and that its data port can be reached"};
  }

  Mesh& mesh_;
  const Clock& clock_;
  const TimePoint deadline_;
  std::vector<Slot> slots_;
};

Result<void> Mesh::connect(TimePoint deadline) {
  if (expectation_error_) return *expectation_error_;
  TESSERA_ENSURE(expectation_ != nullptr);
  if (keys_.keys.size() != peers_.size()) {
    return fail(Error{ErrorCode::invalid_argument, "epoch " + std::to_string(epoch_.value) + " has " +
                                                       std::to_string(peers_.size()) + " participants and " +
                                                       std::to_string(keys_.keys.size()) + " keys"});
  }
  return MeshConnector(*this, deadline).run();
}

}  // namespace tessera
