// HttpThread: one event loop with its connections, on a thread of its own. Several share one listening socket; the
// kernel gives each new connection to one of them.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "gateway/http_counters.hpp"
#include "gateway/metrics.hpp"
#include "gateway/options.hpp"
#include "gateway/router.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// What all threads of a gateway use; outlives them.
struct HttpShared {
  const GatewayOptions& options;
  const Router& router;
  HttpCounters& counters;
  Metrics& metrics;
  const Clock& clock;
};

/// Owned by the gateway. What it is given outlives it.
class HttpThread {
 public:
  /// `listener`: a socket that listens; the thread takes a number of its own for it.
  static Result<std::unique_ptr<HttpThread>> start(int listener, const HttpShared& gateway);
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
