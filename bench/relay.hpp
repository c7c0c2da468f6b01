// Relay: a network between two ends of a loopback connection: what it takes arrives after a delay, and no faster than a
// rate. For measuring the exchange where the kernel has no netem.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cluster/control/plan.hpp"
#include "cluster/exchange/socket.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::bench {

/// A host's incoming link; shared by all connections that end there.
class IncomingLink {
 public:
  /// When the last of `bytes` that leave now has arrived there, the delay not counted.
  TimePoint passes(TimePoint now, std::size_t bytes, double bytes_per_second);

 private:
  std::mutex mutex_;
  TimePoint free_at_{};
};

struct RelayNetwork {
  std::atomic<std::int64_t> delay_ns{0};
  std::atomic<double> bytes_per_second{0};  ///< 0: no limit
};

/// Listens on a port of its own and joins every caller with `target`, each direction on a thread. What it refers to
/// outlives it.
class Relay {
 public:
  Relay(const Endpoint& target, RelayNetwork& network, IncomingLink& to_target, IncomingLink& to_caller,
        const Clock& clock);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  std::uint16_t port() const { return port_; }

 private:
  void accept_callers();
  void pump(int from, int to, IncomingLink& link);

  Endpoint target_;
  RelayNetwork& network_;
  IncomingLink& to_target_;
  IncomingLink& to_caller_;
  const Clock& clock_;
  Socket listening_;
  std::uint16_t port_ = 0;
  std::atomic<bool> ending_{false};
  std::vector<Socket> sockets_;
  std::vector<std::thread> pumps_;
  std::thread acceptor_;
};

}  // namespace tessera::bench
