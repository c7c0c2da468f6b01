// Services: what the routes of a gateway share.
#pragma once

#include <atomic>
#include <string>

#include "gateway/http_counters.hpp"
#include "gateway/metrics.hpp"
#include "gateway/models.hpp"
#include "gateway/stream_budget.hpp"
#include "gateway/worker_pool.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/rng.hpp"

namespace tessera::gateway {

/// Owned by the gateway; outlives its threads. Any thread.
struct Services {
  ModelSource& models;
  WorkerPool& pool;
  StreamBudget& budget;
  const WallClock& calendar;
  const Clock& clock;
  Metrics& metrics;
  const HttpCounters& counters;
  std::atomic<bool> draining{false};  ///< no longer ready
};

/// 32 random hexadecimal digits.
std::string draw_reply_id();

}  // namespace tessera::gateway
