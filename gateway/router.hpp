// Router: which handler answers which method and path.
//
//   router.add("GET", "/v1/models/{}", [&](HttpCall& call) { return show(call, call.captured[0]); });
//
// A path is split at its slashes before anything is decoded, so a model id with a slash arrives as %2F and is one
// segment. HEAD is answered where GET is. The query is ignored.
#pragma once

#include <functional>
#include <kj/async.h>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http_call.hpp"

namespace tessera::gateway {

/// Answers the call; runs on the thread of the call's loop. The call lives until the promise is done or dropped.
using Handler = std::function<kj::Promise<void>(HttpCall&)>;

/// Filled once, then read by any thread.
class Router {
 public:
  /// `pattern`: segments, of which "{}" captures one.
  void add(std::string method, std::string_view pattern, Handler handler);
  /// Finds the handler and runs it; 404 and 405 otherwise.
  kj::Promise<void> route(HttpCall& call) const;

 private:
  struct Route {
    std::string method, pattern;
    std::vector<std::string> segments;
    Handler handler;
  };
  std::vector<Route> routes_;
};

/// The segments between slashes: "/v1/models" has two.
std::vector<std::string_view> split_path(std::string_view path);
/// Percent-decoding; nothing for a % that no two hexadecimal digits follow, and for a zero byte.
std::optional<std::string> decode_percent(std::string_view text);

}  // namespace tessera::gateway
