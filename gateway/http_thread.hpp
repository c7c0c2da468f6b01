// HttpThread: one event loop with its connections, on a thread of its own. Several share the listening sockets; the
// kernel gives each new connection to one of them.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "cluster/auth/certificates.hpp"
#include "gateway/access.hpp"
#include "gateway/access_log.hpp"
#include "gateway/http_counters.hpp"
#include "gateway/listen.hpp"
#include "gateway/metrics.hpp"
#include "gateway/options.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// What all threads of a gateway use; outlives them.
struct HttpShared {
  const GatewayOptions& options;
  const Access& access;
  const Credentials* tls;  ///< nullptr: plain HTTP
  HttpCounters& counters;
  Metrics& metrics;
  const Clock& clock;
  const WallClock& calendar;
  AccessLog* access_log;  ///< nullptr: none
};

/// A listening socket, as one loop has it: under a number of its own.
struct Entrance {
  int descriptor;
  ListenOptions options;
};

/// Owned by the gateway. What it is given outlives it.
class HttpThread {
 public:
  /// The thread takes numbers of its own for the sockets.
  static Result<std::unique_ptr<HttpThread>> start(const std::vector<ListenSocket>& listeners,
                                                   const HttpShared& gateway);
  /// stop().
  ~HttpThread();
  HttpThread(const HttpThread&) = delete;
  HttpThread& operator=(const HttpThread&) = delete;

  /// Takes no new connection and no new request; `drained` is called, on the thread, once no request is worked on.
  void drain(std::function<void()> drained);
  /// Closes every connection, which ends their requests, and joins the thread. Idempotent.
  void stop();

 private:
  struct Shared;
  explicit HttpThread(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace tessera::gateway
