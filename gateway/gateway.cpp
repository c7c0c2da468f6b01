#include "gateway/gateway.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "cluster/auth/server_credentials.hpp"
#include "gateway/access.hpp"
#include "gateway/access_log.hpp"
#include "gateway/cors.hpp"
#include "gateway/http_thread.hpp"
#include "gateway/key_ring.hpp"
#include "gateway/listen.hpp"
#include "gateway/routes.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/open_files.hpp"

namespace tessera::gateway {

namespace {

/// Every family, set by set. Called once for whoever needs no key, and once for each key that is used.
void fill(Router& router, Services& services) {
  router.begin_set(RouteSet::health);
  add_health_routes(router, services);
  router.begin_set(RouteSet::metrics);
  add_metrics_routes(router, services);
  router.begin_set(RouteSet::page);
  add_page_routes(router);
  router.begin_set(RouteSet::openai);
  add_openai_model_routes(router, services);
  add_openai_completion_routes(router, services);
  add_openai_embedding_routes(router, services);
  add_tokenize_routes(router, services);
  router.begin_set(RouteSet::tfserving);
  add_tensorflow_routes(router, services);
  router.begin_set(RouteSet::inference);
  add_inference_routes(router, services);
  router.begin_set(RouteSet::amp);
  add_amp_routes(router, services);
  add_socket_routes(router, services);
}

}  // namespace

/// Threads end first, then the workers, then what both use.
struct Gateway::State {
  State(const GatewayOptions& given, ModelSource& models)
      : options(given),
        budget(given.streams_max),
        services{models, pool, budget, calendar, clock, metrics, counters, draining, ending},
        pool(worker),
        worker(given.workers, pool_tasks_max) {
    fill(router, services);
  }

  Result<void> open() {
    if (!options.key_file.empty()) {
      TESSERA_TRY(keys, KeyRing::open(options.key_file, calendar, [this](const ApiKey& key) {
                    return Caller::make(key, services, worker, fill, [this, key] { return keys->check(key); });
                  }));
    }
    if (!options.tls_certificate.empty()) {
      TESSERA_TRY(tls, load_server_credentials(options.tls_certificate, options.tls_key, calendar.now()));
    }
    if (!options.access_log.empty()) {
      TESSERA_TRY(access_log, AccessLog::open(options.access_log, options.reopen_access_log));
    }
    access = std::make_unique<Access>(options, router, keys.get(), pool);
    for (const ListenOptions& each : options.listen) {
      TESSERA_TRY(ListenSocket listener, ListenSocket::open(each));
      listeners.push_back(std::move(listener));
    }
    const HttpShared shared{options, *access,  tls ? &*tls : nullptr, counters, metrics,
                            clock,   calendar, access_log.get()};
    for (std::size_t i = 0; i < options.http_threads; ++i) {
      TESSERA_TRY(auto thread, HttpThread::start(listeners, shared));
      threads.push_back(std::move(thread));
    }
    return {};
  }

  const GatewayOptions options;
  const SystemWallClock calendar;
  const SystemClock clock;
  Metrics metrics;
  HttpCounters counters;
  StreamBudget budget;
  std::atomic<bool> draining{false};
  DrainSignal ending;
  Services services;
  WorkerPool pool;
  Router router;
  std::unique_ptr<KeyRing> keys;  ///< none: whoever may ask needs no key
  std::unique_ptr<Access> access;
  std::optional<Credentials> tls;         ///< none: plain HTTP
  std::unique_ptr<AccessLog> access_log;  ///< none: nobody asked for it
  std::vector<ListenSocket> listeners;
  BlockingWorker worker;
  std::vector<std::unique_ptr<HttpThread>> threads;
};

namespace {

/// That the rest of the process opens: checkpoints, its store, connections of the cluster.
constexpr std::uint64_t other_files = 256;
/// A connection's socket, and the number by which it is watched (connection_watch.hpp).
constexpr std::uint64_t files_per_connection = 2;

/// With no more connections than there are descriptors for: beyond that nobody could be told that there are too many.
GatewayOptions within_open_files(GatewayOptions options) {
  const std::uint64_t files = open_files_max();
  const std::uint64_t possible = (files - std::min(other_files, files / 2)) / files_per_connection;
  if (options.connections_max <= possible) return options;
  log_warning("the HTTP server takes " + std::to_string(possible) + " connections instead of " +
              std::to_string(options.connections_max) + ": this process may open " + std::to_string(files) +
              " files; raise that limit (ulimit -n)");
  options.connections_max = possible;
  return options;
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::start(const GatewayOptions& options, ModelSource& models) {
  TESSERA_CHECK(check_listen(options));
  TESSERA_CHECK(check_cors_origins(options.cors_origins, !options.key_file.empty()));
  auto state = std::make_unique<State>(within_open_files(options), models);
  TESSERA_CHECK(state->open());
  return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
}

Gateway::Gateway(std::unique_ptr<State> state) : state_(std::move(state)) {}

Gateway::~Gateway() = default;

std::uint16_t Gateway::port(std::size_t index) const { return state_->listeners[index].port(); }

std::string Gateway::url(std::size_t index) const {
  const std::string& host = state_->options.listen[index].host;
  return (state_->tls ? "https://" : "http://") + (host.find(':') == std::string::npos ? host : "[" + host + "]") +
         ":" + std::to_string(port(index));
}

std::size_t Gateway::streams() const { return state_->budget.running(); }

bool Gateway::drain(std::chrono::milliseconds patience) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t threads = 0;
  };
  state_->draining = true;
  state_->ending.notify();
  for (ListenSocket& listener : state_->listeners) listener.close();
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
