#include "gateway/gateway.hpp"

#include <condition_variable>
#include <mutex>
#include <vector>

#include "gateway/http_thread.hpp"
#include "gateway/listen.hpp"
#include "gateway/routes.hpp"

namespace tessera::gateway {

/// Threads end first, then what they use.
struct Gateway::State {
  State(const GatewayOptions& given, ModelSource& models, ListenSocket listening)
      : options(given),
        listener(std::move(listening)),
        budget(given.streams_max),
        services{models, pool, budget, calendar, clock, metrics, counters},
        pool(given.workers) {
    add_health_routes(router, services);
    add_metrics_routes(router, services);
    add_page_routes(router);
    add_openai_model_routes(router, services);
    add_openai_completion_routes(router, services);
    add_tokenize_routes(router, services);
  }

  const GatewayOptions options;
  ListenSocket listener;
  const SystemWallClock calendar;
  const SystemClock clock;
  Metrics metrics;
  HttpCounters counters;
  StreamBudget budget;
  Services services;
  WorkerPool pool;
  Router router;
  std::vector<std::unique_ptr<HttpThread>> threads;
};

Result<std::unique_ptr<Gateway>> Gateway::start(const GatewayOptions& options, ModelSource& models) {
  TESSERA_TRY(ListenSocket listener, ListenSocket::open(options.host, options.port));
  auto state = std::make_unique<State>(options, models, std::move(listener));
  const HttpShared shared{state->options, state->router, state->counters, state->metrics, state->clock};
  for (std::size_t i = 0; i < options.http_threads; ++i) {
    TESSERA_TRY(auto thread, HttpThread::start(state->listener.descriptor(), shared));
    state->threads.push_back(std::move(thread));
  }
  return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
}

Gateway::Gateway(std::unique_ptr<State> state) : state_(std::move(state)) {}

Gateway::~Gateway() = default;

std::uint16_t Gateway::port() const { return state_->listener.port(); }

std::string Gateway::url() const {
  const std::string& host = state_->options.host;
  return "http://" + (host == "::1" ? "[::1]" : host) + ":" + std::to_string(port());
}

std::size_t Gateway::streams() const { return state_->budget.running(); }

bool Gateway::drain(std::chrono::milliseconds patience) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t threads = 0;
  };
  state_->services.draining = true;
  state_->listener.close();
  const auto waiting = std::make_shared<Waiting>();
  waiting->threads = state_->threads.size();
  for (const auto& thread : state_->threads) {
    thread->drain([waiting] {
      const std::lock_guard lock(waiting->mutex);
      --waiting->threads;
      waiting->changed.notify_all();
    });
  }
  std::unique_lock lock(waiting->mutex);
  return waiting->changed.wait_for(lock, patience, [&] { return waiting->threads == 0; });
}

}  // namespace tessera::gateway
