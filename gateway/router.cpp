#include "gateway/router.hpp"

#include <optional>
#include <set>

namespace tessera::gateway {

namespace {

constexpr std::string_view capture = "{}";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// What the pattern captures of a path that fits.
std::optional<std::vector<std::string>> match(const std::vector<std::string>& pattern,
                                              const std::vector<std::string_view>& path) {
  if (pattern.size() != path.size()) return {};
  std::vector<std::string> captured;
  for (std::size_t i = 0; i < path.size(); ++i) {
    auto segment = decode_percent(path[i]);
    if (!segment) return {};
    if (pattern[i] == capture) {
      if (segment->empty()) return {};
      captured.push_back(*std::move(segment));
    } else if (*segment != pattern[i]) {
      return {};
    }
  }
  return captured;
}

ApiError no_such_path(const HttpRequestFacts& request) {
  return {404,
          "invalid_request_error",
          "Invalid URL (" + request.method + " " + shortened(request.path) + ")",
          {},
          "unknown_url"};
}

}  // namespace

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> segments;
  if (path.starts_with('/')) path.remove_prefix(1);
  for (;;) {
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

std::optional<std::string> decode_percent(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return {};
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return {};
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

void Router::add(std::string method, std::string_view pattern, Handler handler) {
  Route route{set_, std::move(method), std::string(pattern), {}, std::move(handler)};
  for (const std::string_view segment : split_path(pattern)) route.segments.emplace_back(segment);
  routes_.push_back(std::move(route));
}

RouteMatch Router::find(const HttpRequestFacts& request, RouteSets offered) const {
  const std::vector<std::string_view> path = split_path(request.path);
  RouteMatch found;
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    const Route& route = routes_[i];
    if (!offered.has(route.set)) continue;
    auto captured = match(route.segments, path);
    if (!captured) continue;
    found.pattern = route.pattern;
    found.set = route.set;
    if (route.method == request.method || (route.method == "GET" && request.method == "HEAD")) {
      found.route = i;
      found.captured = *std::move(captured);
      return found;
    }
    found.methods.push_back(route.method);
  }
  return found;
}

kj::Promise<void> Router::answer(HttpCall& call, const RouteMatch& match) const {
  const HttpRequestFacts& request = call.request();
  if (match.route) {
    call.captured = match.captured;
    return routes_[*match.route].handler(call);
  }
  if (match.methods.empty()) return call.send_error(no_such_path(request));
  std::string allowed;
  for (const std::string& method : std::set<std::string>(match.methods.begin(), match.methods.end()))
    allowed += (allowed.empty() ? "" : ", ") + method;
  return call.send_error({405,
                          "invalid_request_error",
                          "Not allowed to " + request.method + " on " + shortened(request.path) + "; use " + allowed,
                          {},
                          "method_not_allowed"},
                         {{"Allow", allowed}});
}

}  // namespace tessera::gateway
