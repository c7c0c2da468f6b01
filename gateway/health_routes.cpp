// Health, for whoever restarts or routes: live means that the server answers, ready that a model can produce a token.
#include <algorithm>

#include "gateway/routes.hpp"
#include "gateway/sse.hpp"

namespace tessera::gateway {

namespace {

kj::Promise<void> live(HttpCall& call) { return call.send_json(200, R"({"status":"live"})"); }

/// Deployments by whether they serve. One that waits, for example because there is no room for it, leaves the others
/// ready.
Outcome<Json> readiness(Services& services) {
  const auto models = services.models.list();
  Json serving = Json::array(), waiting = Json::array();
  if (models) {
    for (const ServedModel& model : *models) (model.serves ? serving : waiting).push_back(model.name);
  }
  const bool ready = !serving.empty() && !services.draining;
  Json json{{"status", ready ? "ready" : "not ready"}, {"serving", serving}, {"waiting", waiting}};
  if (services.draining) json["message"] = "the server ends and takes no more requests";
  if (!models) json["message"] = models.error().message;
  return json;
}

kj::Promise<void> ready(HttpCall& call, Services& services) {
  return services.pool.run<Json>([&services] { return readiness(services); }).then([&call](Outcome<Json> outcome) {
    if (!outcome) return call.send_error(outcome.error());
    return call.send_json((*outcome)["status"] == "ready" ? 200 : 503, to_text(*outcome));
  });
}

}  // namespace

void add_health_routes(Router& router, Services& services) {
  router.add("GET", "/health/live", live);
  router.add("GET", "/health/ready", [&services](HttpCall& call) { return ready(call, services); });
}

}  // namespace tessera::gateway
