#include "gateway/access.hpp"

#include <utility>

#include "gateway/cors.hpp"
#include "gateway/origin.hpp"
#include "gateway/shown_key.hpp"

namespace tessera::gateway {

namespace {

/// What a call keeps until it is over. The permit goes first.
struct Admission {
  std::shared_ptr<Caller> caller;
  KeyUsage::Permit permit;
};

}  // namespace

const char* Access::scheme() const { return options_.tls_certificate.empty() ? "http" : "https"; }

bool Access::needs_key(const RouteMatch& match) const {
  if (keys_ == nullptr || match.set == RouteSet::health || match.set == RouteSet::page) return false;
  return match.set != RouteSet::metrics || !options_.open_metrics;
}

std::optional<ApiError> Access::admit(HttpCall& call, const RouteMatch& match, const std::shared_ptr<Caller>& caller,
                                      const ExtraHeaders& cors) {
  call.record.key = caller->key().name;
  // They tell of every model.
  if (match.set == RouteSet::metrics && !caller->key().models.empty()) {
    return ApiError{403,
                    "permission_error",
                    "this API key is for some models only, and metrics tell of all",
                    {},
                    "permission_denied"};
  }
  call.standing_headers = [usage = caller->usage(), cors] {
    ExtraHeaders headers = usage->headers();
    headers.insert(headers.end(), cors.begin(), cors.end());
    return headers;
  };
  auto permit = caller->usage()->begin();
  if (!permit) return permit.error();
  call.held = std::make_shared<const Admission>(Admission{caller, *std::move(permit)});
  return {};
}

kj::Promise<void> Access::answer(HttpCall& call, const ListenOptions& entrance, const KeyHeaders& shown) const {
  const HttpRequestFacts& request = call.request();
  const RouteMatch match = router_.find(request, entrance.sets);
  call.route = match.pattern;
  const bool is_welcome_page = is_welcome(options_.cors_origins, request.origin);
  ExtraHeaders cors;
  if (!options_.cors_origins.empty()) {
    cors = cors_headers(options_.cors_origins, request.origin);
    call.standing_headers = [cors] { return cors; };
  }
  // With keys, whoever has none learns only what everybody may know, under whatever name the server is reached.
  if (keys_ == nullptr) {
    const std::string origin = is_welcome_page ? std::string() : request.origin;
    if (const auto error = check_origin(request.host, origin, entrance.host, scheme())) return call.send_error(*error);
  }
  // Browsers ask for leave without a key.
  if (is_welcome_page && request.method == "OPTIONS" && !request.asked_method.empty())
    return call.send(204, {}, {}, preflight_headers(request.asked_headers));
  if (!needs_key(match)) return router_.answer(call, match);
  const auto secret = shown_key(shown.authorization, shown.api_key);
  if (!secret) return call.send_error(secret.error());
  return pool_.run<std::shared_ptr<Caller>>([keys = keys_, secret = *secret] { return keys->find(secret); })
      .then([&call, match, cors](Outcome<std::shared_ptr<Caller>> caller) {
        if (!caller) return call.send_error(caller.error());
        if (const auto error = admit(call, match, *caller, cors)) return call.send_error(*error);
        return (*caller)->router().answer(call, match);
      });
}

}  // namespace tessera::gateway
