// Access: who may ask a gateway what.
//
//   without keys:  programs of this machine (origin.hpp), and pages of the sites that were named (cors.hpp)
//   with keys:     whoever shows a key that is good, within its models and limits; /health/* and the page (which has
//                   nothing to tell, and asks with the key that it is given) answer everybody
#pragma once

#include <kj/async.h>
#include <memory>
#include <optional>
#include <string>

#include "gateway/http_call.hpp"
#include "gateway/key_ring.hpp"
#include "gateway/options.hpp"
#include "gateway/router.hpp"
#include "gateway/worker_pool.hpp"

namespace tessera::gateway {

/// The headers in which a request shows a key. Apart from the facts of a call, which are logged.
struct KeyHeaders {
  std::string authorization, api_key;
};

/// Owned by the gateway; what it is given outlives it. Any thread.
class Access {
 public:
  /// `router`: for whoever needs no key. `keys`: nullptr where there are none; they are looked up on `pool`.
  Access(const GatewayOptions& options, const Router& router, KeyRing* keys, WorkerPool& pool)
      : options_(options), router_(router), keys_(keys), pool_(pool) {}

  /// Answers a call that came in at `entrance`, or says why not. On the call's loop.
  kj::Promise<void> answer(HttpCall& call, const ListenOptions& entrance, const KeyHeaders& shown) const;

 private:
  const char* scheme() const;
  bool needs_key(const RouteMatch& match) const;
  /// Lets the call of a good key in, and keeps what it holds until it is over. `cors`: headers of its answer in any
  /// case. Errors: 403, 429.
  static std::optional<ApiError> admit(HttpCall& call, const RouteMatch& match, const std::shared_ptr<Caller>& caller,
                                       const ExtraHeaders& cors);

  const GatewayOptions& options_;
  const Router& router_;
  KeyRing* const keys_;
  WorkerPool& pool_;
};

}  // namespace tessera::gateway
