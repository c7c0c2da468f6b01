// Services: what the routes of a gateway share.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "gateway/api_error.hpp"
#include "gateway/drain_signal.hpp"
#include "gateway/http_counters.hpp"
#include "gateway/metrics.hpp"
#include "gateway/models.hpp"
#include "gateway/stream_budget.hpp"
#include "gateway/worker_pool.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/rng.hpp"

namespace tessera::gateway {

/// Owned by the gateway, or by a caller (caller.hpp) whose models are its own; outlives the calls that it is for and
/// what they do on workers. Any thread.
struct Services {
  ModelSource& models;
  WorkerPool& pool;
  StreamBudget& budget;
  const WallClock& calendar;
  const Clock& clock;
  Metrics& metrics;
  const HttpCounters& counters;
  const std::atomic<bool>& draining;  ///< no longer ready
  DrainSignal& ending;                ///< told after `draining` is set
  /// Why the key by which these services are used is good no more, if so; empty where there are no keys. Looks at a
  /// file: not on an event loop.
  std::function<std::optional<ApiError>()> check_key = {};
};

/// 32 random hexadecimal digits.
std::string draw_reply_id();

}  // namespace tessera::gateway
