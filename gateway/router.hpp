// Router: which handler answers which method and path.
//
//   router.add("GET", "/v1/models/{}", [&](HttpCall& call) { return show(call, call.captured[0]); });
//
// Routes are added set by set (route_set.hpp), and found among the sets that a listener offers. Several routers that
// were filled alike, each for other services, find the same routes.
//
// A path is split at its slashes before anything is decoded, so a model id with a slash arrives as %2F and is one
// segment. HEAD is answered where GET is. The query is ignored. "{}:predict" captures what stands before a final verb,
// which comes in any case; ids such as "ft:base:mine" may have colons of their own.
#pragma once

#include <functional>
#include <kj/async.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http_call.hpp"
#include "gateway/route_set.hpp"

namespace tessera::gateway {

/// Answers the call; runs on the thread of the call's loop. The call lives until the promise is done or dropped.
using Handler = std::function<kj::Promise<void>(HttpCall&)>;

/// What a request asks for.
struct RouteMatch {
  std::optional<std::size_t> route;    ///< none: the path has no such method, or there is no such path
  std::optional<RouteSet> set;         ///< of the path; none: there is no such path
  std::string pattern = "other";       ///< for metrics
  std::vector<std::string> captured;   ///< decoded
  std::vector<std::string> methods{};  ///< of the path, where it has not the one that was asked for
};

/// Filled once, then read by any thread.
class Router {
 public:
  /// The routes that are added from now on belong to `set`.
  void begin_set(RouteSet set) { set_ = set; }
  /// `pattern`: segments, of which "{}" captures one, and "{}:verb" one without the verb.
  void add(std::string method, std::string_view pattern, Handler handler);
  /// Among the routes of the sets that are offered; others are as if they were not there.
  RouteMatch find(const HttpRequestFacts& request, RouteSets offered) const;
  /// Runs the handler; 404 and 405 where there is none. `match`: of this router, or one that was filled alike.
  kj::Promise<void> answer(HttpCall& call, const RouteMatch& match) const;

 private:
  struct Route {
    RouteSet set;
    std::string method, pattern;
    std::vector<std::string> segments;
    Handler handler;
  };
  RouteSet set_ = RouteSet::openai;
  std::vector<Route> routes_;
};

/// The segments between slashes: "/v1/models" has two.
std::vector<std::string_view> split_path(std::string_view path);
/// Percent-decoding; nothing for a % that no two hexadecimal digits follow, and for a zero byte.
std::optional<std::string> decode_percent(std::string_view text);

}  // namespace tessera::gateway
