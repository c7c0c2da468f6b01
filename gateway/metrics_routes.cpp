// Metrics, for Prometheus: under names of our own, and under those of vLLM.
#include "gateway/routes.hpp"

namespace tessera::gateway {

namespace {

constexpr const char* text_format = "text/plain; version=0.0.4; charset=utf-8";

using MakeText = std::string (Metrics::*)(const Moment&) const;

kj::Promise<void> scrape(HttpCall& call, Services& services, MakeText make_text) {
  return services.pool
      .run<std::string>([&services, make_text]() -> Outcome<std::string> {
        const Moment now{services.budget.running(), services.counters.connections, services.counters.turned_away,
                         services.models.load()};
        return (services.metrics.*make_text)(now);
      })
      .then([&call](Outcome<std::string> text) {
        return text ? call.send(200, text_format, *std::move(text)) : call.send_error(text.error());
      });
}

}  // namespace

void add_metrics_routes(Router& router, Services& services) {
  router.add("GET", "/metrics", [&services](HttpCall& call) { return scrape(call, services, &Metrics::text); });
  router.add("GET", "/metrics/compat",
             [&services](HttpCall& call) { return scrape(call, services, &Metrics::compatible_text); });
}

}  // namespace tessera::gateway
