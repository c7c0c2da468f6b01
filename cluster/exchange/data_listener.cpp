#include "cluster/exchange/data_listener.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <map>
#include <mutex>
#include <netdb.h>
#include <poll.h>
#include <string>
#include <thread>
#include <utility>

#include "cluster/exchange/hello_reader.hpp"
#include "cluster/exchange/waiter.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/log_limit.hpp"
#include "runtime/base/most_crowded.hpp"

namespace tessera {

namespace {

/// Between two lines in the log about strangers.
constexpr double log_seconds_min = 5;
/// Without descriptors or memory the system refuses to accept; the next try is this much later.
constexpr double accept_pause_seconds = 0.1;

TimePoint later(TimePoint time, double seconds) {
  return time + std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

struct HalfOpen {
  Socket socket;
  HelloReader reader;
  TimePoint deadline;
  std::string host;  ///< from where, without the port
};

/// "" for what is no address of a network.
std::string host_of(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST] = "";
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  return ::getnameinfo(generic, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST) == 0 ? host : "";
}

struct Early {
  IncomingCall caller;
  TimePoint deadline;
};

CallKey key_of(const Hello& hello) { return {hello.replica, hello.epoch, hello.to}; }

}  // namespace

/// Shared by an expectation and the listener's thread.
struct DataListener::Expectation::Box {
  std::mutex mutex;
  std::vector<IncomingCall> callers;
  EventFd event;

  /// False when it is full.
  bool put(IncomingCall caller) {
    const std::lock_guard lock(mutex);
    if (callers.size() >= waiting_callers_max) return false;
    callers.push_back(std::move(caller));
    event.signal();
    return true;
  }
};

/// The thread and what it works on. `mutex_` guards everything that expect(), ~Expectation() and counters() share with
/// it; the half-open connections are the thread's alone.
class DataListener::Loop {
 public:
  Loop(Socket listening, const ExchangeOptions& options)
      : options_(options), port_(local_port(listening)), listening_(std::move(listening)) {
    thread_ = std::thread([this] { run(); });
  }
  ~Loop() {
    stopping_.store(true);
    wake_.signal();
    thread_.join();
  }

  std::uint16_t port() const { return port_; }
  const ExchangeOptions& options() const { return options_; }
  ListenerCounters counters() const {
    const std::lock_guard lock(mutex_);
    return counters_;
  }

  Result<void> expect(const CallKey& key, const std::shared_ptr<Expectation::Box>& box) {
    const std::lock_guard lock(mutex_);
    if (!boxes_.emplace(key, box).second) {
      return Error{ErrorCode::conflict, "replica " + std::to_string(key.replica.value) + ", epoch " +
                                            std::to_string(key.epoch.value) + " is being prepared here already"};
    }
    for (auto early = early_.begin(); early != early_.end();) {
      if (key_of(early->caller.hello) != key) {
        ++early;
        continue;
      }
      if (box->put(std::move(early->caller))) ++counters_.handed_over;
      early = early_.erase(early);
    }
    return {};
  }
  void forget(const CallKey& key) {
    const std::lock_guard lock(mutex_);
    boxes_.erase(key);
  }

 private:
  void run() {
    while (!stopping_.load()) {
      const int timeout = poll_timeout();
      poll_set_.clear();
      poll_set_.push_back({wake_.fd(), POLLIN, 0});
      poll_set_.push_back({options_.clock->now() < accept_again_ ? -1 : listening_.fd(), POLLIN, 0});
      for (const HalfOpen& half : half_open_) poll_set_.push_back({half.socket.fd(), POLLIN, 0});
      ::poll(poll_set_.data(), poll_set_.size(), timeout);
      if (poll_set_[0].revents != 0) wake_.clear();
      serve_half_open();
      if (poll_set_[1].revents != 0) accept_all();
      expire();
      report();
    }
  }

  /// Until the next deadline, in milliseconds; -1: none.
  int poll_timeout() {
    std::optional<TimePoint> next;
    const auto consider = [&](TimePoint time) { next = next ? std::min(*next, time) : time; };
    const TimePoint now = options_.clock->now();
    if (now < accept_again_) consider(accept_again_);
    if (!half_open_.empty()) consider(half_open_.front().deadline);
    const std::lock_guard lock(mutex_);
    if (!early_.empty()) consider(early_.front().deadline);
    if (strangers_ > 0) consider(log_again_);
    if (!next) return -1;
    return poll_milliseconds(seconds_between(now, *next));
  }

  void accept_all() {
    // Bounded, so that a flood of connections does not keep those that already talk waiting.
    for (std::size_t i = 0; i < half_open_connections_max; ++i) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      Socket socket(
          ::accept4(listening_.fd(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket) {
        const int error = errno;
        if (error != EAGAIN && error != EINTR && error != ECONNABORTED) pause_accepting(error);
        return;
      }
      prepare_data_socket(socket);
      if (half_open_.size() >= half_open_connections_max) {
        const auto source = [](const HalfOpen& half) -> std::string_view { return half.host; };
        half_open_.erase(find_most_crowded(half_open_, source));
        stranger(&ListenerCounters::crowded_out, "too many connections at once");
      }
      half_open_.push_back(
          {std::move(socket), {}, later(options_.clock->now(), hello_seconds_max), host_of(address, size)});
      const std::lock_guard lock(mutex_);
      ++counters_.accepted;
    }
  }

  void pause_accepting(int error) {
    const TimePoint now = options_.clock->now();
    accept_again_ = later(now, accept_pause_seconds);
    if (const auto others = accept_lines_.pass(now)) {
      log_warning("data plane: cannot accept a connection" + others_text(*others) + ": " + system_message(error) +
                  "; it tries again (a limit on open files is raised with ulimit -n)");
    }
  }

  void serve_half_open() {
    // Those polled are the first ones; accept_all() comes after.
    std::size_t polled = poll_set_.size() - 2;
    for (std::size_t i = 0, at = 0; i < polled; ++i) {
      if (poll_set_[2 + i].revents == 0) {
        ++at;
        continue;
      }
      HalfOpen& half = half_open_[at];
      const auto complete = half.reader.advance(half.socket.fd());
      if (complete && !*complete) {
        ++at;
        continue;
      }
      if (complete) {
        greet(std::move(half));
      } else {
        stranger(&ListenerCounters::malformed, complete.error().message);
      }
      half_open_.erase(half_open_.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }

  void greet(HalfOpen half) {
    const auto message = decode_hello(half.reader.bytes());
    if (!message) return stranger(&ListenerCounters::malformed, message.error().message);
    const Hello* hello = std::get_if<Hello>(&*message);
    if (hello == nullptr) return stranger(&ListenerCounters::malformed, "it does not begin with a hello");
    if (const auto refusal = check_hello(*hello, options_)) {
      const std::vector<std::byte> answer = encode_hello(*refusal);
      send_some(half.socket.fd(), answer.data(), answer.size());
      return stranger(&ListenerCounters::refused, refusal->text);
    }
    hand_over({std::move(half.socket), *hello, half.reader.bytes()});
  }

  void hand_over(IncomingCall caller) {
    std::unique_lock lock(mutex_);
    const auto box = boxes_.find(key_of(caller.hello));
    if (box != boxes_.end()) {
      const bool taken = box->second->put(std::move(caller));
      ++(taken ? counters_.handed_over : counters_.crowded_out);
      return;
    }
    const auto same_caller = [&](const Early& early) {
      return key_of(early.caller.hello) == key_of(caller.hello) && early.caller.hello.from == caller.hello.from;
    };
    const auto count = std::count_if(early_.begin(), early_.end(), same_caller);
    if (static_cast<std::size_t>(count) >= early_connections_per_caller_max) {
      early_.erase(std::find_if(early_.begin(), early_.end(), same_caller));
      ++counters_.crowded_out;
    } else if (early_.size() >= early_connections_max) {
      early_.pop_front();
      ++counters_.crowded_out;
    }
    early_.push_back({std::move(caller), later(options_.clock->now(), early_seconds_max)});
    ++counters_.held_early;
  }

  void expire() {
    const TimePoint now = options_.clock->now();
    while (!half_open_.empty() && half_open_.front().deadline <= now) {
      half_open_.pop_front();
      stranger(&ListenerCounters::too_slow, "it said no hello in time");
    }
    const std::lock_guard lock(mutex_);
    while (!early_.empty() && early_.front().deadline <= now) {
      early_.pop_front();
      ++counters_.expired;
    }
  }

  /// Counts one; the log hears of it at most every log_seconds_min.
  void stranger(std::uint64_t ListenerCounters::*counter, const std::string& what) {
    const std::lock_guard lock(mutex_);
    ++(counters_.*counter);
    ++strangers_;
    last_stranger_ = what;
  }

  void report() {
    const TimePoint now = options_.clock->now();
    std::string line;
    {
      const std::lock_guard lock(mutex_);
      if (strangers_ == 0 || now < log_again_) return;
      line = "data plane: closed " + std::to_string(strangers_) +
             " connection(s) that no epoch could use; the last one: " + last_stranger_;
      strangers_ = 0;
      log_again_ = later(now, log_seconds_min);
    }
    log_warning(line);
  }

  const ExchangeOptions options_;
  const std::uint16_t port_;
  Socket listening_;
  EventFd wake_;
  std::atomic<bool> stopping_{false};
  std::vector<pollfd> poll_set_;
  std::deque<HalfOpen> half_open_;  ///< oldest first
  TimePoint accept_again_{};
  LogLimit accept_lines_{std::chrono::milliseconds(static_cast<int>(1e3 * log_seconds_min))};

  mutable std::mutex mutex_;
  ListenerCounters counters_;
  std::map<CallKey, std::shared_ptr<Expectation::Box>> boxes_;
  std::deque<Early> early_;  ///< oldest first
  std::uint64_t strangers_ = 0;
  std::string last_stranger_;
  TimePoint log_again_{};
  std::thread thread_;
};

Result<std::unique_ptr<DataListener>> DataListener::start(const Endpoint& at, const ExchangeOptions& options) {
  TESSERA_ENSURE(options.clock != nullptr);
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (options.cluster.empty() || options.cluster.size() > cluster_name_bytes_max ||
      !std::all_of(options.cluster.begin(), options.cluster.end(), printable)) {
    return Error{ErrorCode::invalid_argument, "the cluster's name must have 1 to " +
                                                  std::to_string(cluster_name_bytes_max) +
                                                  " printable ASCII characters; choose another one"};
  }
  TESSERA_TRY(auto listening, listen_tcp(at));
  return std::unique_ptr<DataListener>(new DataListener(std::make_unique<Loop>(std::move(listening), options)));
}

DataListener::DataListener(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
DataListener::~DataListener() = default;

std::uint16_t DataListener::port() const { return loop_->port(); }
const ExchangeOptions& DataListener::options() const { return loop_->options(); }
ListenerCounters DataListener::counters() const { return loop_->counters(); }

Result<std::unique_ptr<DataListener::Expectation>> DataListener::expect(const CallKey& key) {
  std::unique_ptr<Expectation> expectation(new Expectation());
  expectation->box_ = std::make_shared<Expectation::Box>();
  expectation->key_ = key;
  TESSERA_CHECK(loop_->expect(key, expectation->box_));
  expectation->listener_ = this;  // only now: its end forgets the key
  return expectation;
}

DataListener::Expectation::~Expectation() {
  if (listener_ != nullptr) listener_->loop_->forget(key_);
}

int DataListener::Expectation::event_fd() const { return box_->event.fd(); }

std::vector<IncomingCall> DataListener::Expectation::take() {
  const std::lock_guard lock(box_->mutex);
  box_->event.clear();
  return std::exchange(box_->callers, {});
}

}  // namespace tessera
