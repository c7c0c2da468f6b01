// World: simulated time, processes and links. Everything that happens is an event in one queue, everything random comes
// from one generator, so a seed is a run.
//
//   process     can be killed (its connections end, its timers never fire) or frozen (everything that comes waits until
//   it
//               thaws, as for a stopped process whose sockets fill)
//   link        host to host, one way: delayed, narrow, or cut for a while (what is sent meanwhile arrives when it
//               heals); a lost packet is sent again later, and holds up what was sent after it
//   connection  two ends, in order, like TCP; an end that closes is noticed by the other after what was sent before
//   frame       addressed to a host, and deliberately worse than the real data plane's keyed connections: it can arrive
//               twice or never, and reach the next process of the host. The fences must hold without the transport's
//               help.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/clock.hpp"

namespace tessera::sim {

using namespace std::chrono_literals;
using Duration = std::chrono::nanoseconds;
using Action = std::function<void()>;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed * 0x9e3779b97f4a7c15u + 1) {}
  std::uint64_t bits() { return engine_(); }
  /// In [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + engine_() % (high - low + 1); }
  Duration between(Duration low, Duration high) {
    return Duration(static_cast<std::int64_t>(
        between(static_cast<std::uint64_t>(low.count()), static_cast<std::uint64_t>(high.count()))));
  }
  bool chance(double probability) { return static_cast<double>(engine_() >> 11) * 0x1p-53 < probability; }

 private:
  std::mt19937_64 engine_;
};

struct Process : std::enable_shared_from_this<Process> {
  explicit Process(std::string host_name) : host(std::move(host_name)) {}
  virtual ~Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  std::string host;
  bool alive = true, frozen = false;
  std::deque<Action> inbox;  ///< while it is frozen
};
using ProcessPtr = std::shared_ptr<Process>;

/// One end of a connection.
struct ConnectionEnd {
  std::uint64_t connection = 0;
  int side = 0;
  auto operator<=>(const ConnectionEnd&) const = default;
};

class World {
 public:
  static constexpr std::size_t message_bytes = 300;  ///< of a message whose size does not matter

  World(std::uint64_t seed, bool trace) : random_(seed), trace_(trace) {}

  TimePoint now() const { return now_; }
  Random& random() { return random_; }
  void after(Duration delay, Action event);
  /// Runs in the process when it is alive and not frozen then, or as soon as it thaws.
  void timer(Process& process, Duration delay, Action event);
  /// Until `end`, or `done` says so, or an invariant is violated. False at `end`.
  bool run(TimePoint end, const std::function<bool()>& done);

  void kill(Process& process);
  void freeze(Process& process) { process.frozen = true; }
  void thaw(Process& process);

  /// Nothing from one host reaches the other before `until`.
  void cut(const std::string& from, const std::string& to, TimePoint until);
  void slow_down(const std::string& from, const std::string& to, Duration delay);
  /// What is sent waits until everything before it has passed at this rate.
  void narrow(const std::string& from, const std::string& to, std::uint64_t bytes_per_second);
  void heal();

  /// `closed[side]` runs at that end when the other end closed or its process died.
  std::uint64_t connect(Process& a, Process& b, Action a_closed, Action b_closed);
  /// Runs at the other end, in order with what else was sent.
  void send(ConnectionEnd from, Action event, std::size_t bytes = message_bytes);
  void close(ConnectionEnd end);
  bool is_open(ConnectionEnd end) const;
  /// Resets a random connection: both ends find it closed.
  void break_some_connection();
  /// All that the process has: its network went away and came back.
  void break_connections_of(const Process& process);

  /// To whatever process `find` gives when it arrives; in order per pair of hosts, but see the mix.
  void frame(const std::string& from, const std::string& to, const std::function<ProcessPtr()>& find,
             std::function<void(Process&)> event, std::size_t bytes = message_bytes);
  /// A frame that comes once and in order, for what no fence watches and the real connection's order is needed.
  void sure_frame(const std::string& from, const std::string& to, const std::function<ProcessPtr()>& find,
                  std::function<void(Process&)> event);
  struct FrameMix {
    double lost = 0, doubled = 0, late = 0;  ///< probabilities
  };
  FrameMix frames;
  double packets_lost = 0;  ///< probability that a message has to be sent again

  bool tracing() const { return trace_; }
  void trace(const std::string& text) const;
  /// The run has failed; the first reason is kept.
  void violated(const std::string& text);
  const std::string& violation() const { return violation_; }
  std::uint64_t events() const { return order_; }

 private:
  struct Scheduled {
    TimePoint when;
    std::uint64_t order;
    Action event;
    bool operator<(const Scheduled& other) const { return std::pair(other.when, other.order) < std::pair(when, order); }
  };
  struct Connection {
    std::weak_ptr<Process> process[2];
    Action closed[2];
    bool open[2] = {true, true};
    TimePoint last[2];  ///< arrival of what was sent last from this side
  };
  struct Narrow {
    std::uint64_t bytes_per_second;
    TimePoint free_at{};
  };
  TimePoint arrival(const std::string& from, const std::string& to, std::size_t bytes = message_bytes);
  void break_connection(std::uint64_t id);
  void arrive(TimePoint when, const std::function<ProcessPtr()>& find, const std::function<void(Process&)>& event);
  void post(const ProcessPtr& process, Action event);
  void tell_closed(ConnectionEnd closer);

  Random random_;
  bool trace_;
  TimePoint now_{};
  std::uint64_t order_ = 0;
  std::priority_queue<Scheduled> queue_;
  std::map<std::pair<std::string, std::string>, TimePoint> cuts_;
  std::map<std::pair<std::string, std::string>, Duration> slow_;
  std::map<std::pair<std::string, std::string>, Narrow> narrow_;
  std::map<std::pair<std::string, std::string>, TimePoint> last_frame_;
  std::map<std::uint64_t, Connection> connections_;
  std::uint64_t next_connection_ = 1;
  std::string violation_;
};

}  // namespace tessera::sim
