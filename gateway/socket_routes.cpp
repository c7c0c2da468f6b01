// Texts of one model over a WebSocket, as they are generated.
#include "gateway/generation_plan.hpp"
#include "gateway/generation_route.hpp"
#include "gateway/routes.hpp"
#include "gateway/socket_session.hpp"

namespace tessera::gateway {

namespace {

ApiError upgrade_required() {
  return {426,
          "invalid_request_error",
          "this is a WebSocket: connect with the headers of its handshake (RFC 6455, version 13)",
          {},
          "upgrade_required"};
}

/// A model that is not there is told before the handshake, as a status.
kj::Promise<void> open(HttpCall& call, Services& services, std::string model) {
  if (!call.request().opens_web_socket) return call.send_error(upgrade_required(), {{"Upgrade", "websocket"}});
  if (const auto error = check_draining(services)) return call.send_error(*error);
  return services.pool
      .run<bool>([&services, model]() -> Outcome<bool> {
        TESSERA_TRY(const ModelWithText found, find_model(services.models, model));
        return true;
      })
      .then([&call, &services, model](Outcome<bool> found) {
        if (!found) return call.send_error(found.error());
        auto session = kj::heap<SocketSession>(call, services, model, call.accept_web_socket());
        auto promise = session->run();
        return promise.attach(kj::mv(session));
      });
}

}  // namespace

void add_socket_routes(Router& router, Services& services) {
  router.add("GET", "/v1/models/{}/stream",
             [&services](HttpCall& call) { return open(call, services, call.captured[0]); });
}

}  // namespace tessera::gateway
