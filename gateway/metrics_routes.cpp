// Metrics, for Prometheus.
#include "gateway/routes.hpp"

namespace tessera::gateway {

namespace {

constexpr const char* text_format = "text/plain; version=0.0.4; charset=utf-8";

kj::Promise<void> scrape(HttpCall& call, Services& services) {
  return services.pool
      .run<std::string>([&services]() -> Outcome<std::string> {
        return services.metrics.text(services.budget.running(), services.counters.connections, services.models.load());
      })
      .then([&call](Outcome<std::string> text) {
        return text ? call.send(200, text_format, *std::move(text)) : call.send_error(text.error());
      });
}

}  // namespace

void add_metrics_routes(Router& router, Services& services) {
  router.add("GET", "/metrics", [&services](HttpCall& call) { return scrape(call, services); });
}

}  // namespace tessera::gateway
