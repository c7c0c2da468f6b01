#include "gateway/router.hpp"

#include <optional>
#include <set>

#include "gateway/error_shape.hpp"

namespace tessera::gateway {

namespace {

constexpr std::string_view capture = "{}";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// What "{}" captures of a segment, or "{}:predict" before the verb; nothing where it does not fit.
std::optional<std::string> captured_segment(const std::string& pattern, std::string_view segment) {
  const std::string_view verb = std::string_view(pattern).substr(capture.size());
  // Cut off before it is decoded: an encoded colon belongs to the name.
  if (!verb.empty() && !has_verb(segment, verb)) return {};
  auto decoded = decode_percent(segment.substr(0, segment.size() - verb.size()));
  if (decoded && decoded->empty()) return {};
  return decoded;
}

/// What the pattern captures of a path that fits.
std::optional<std::vector<std::string>> match(const std::vector<std::string>& pattern,
                                              const std::vector<std::string_view>& path) {
  if (pattern.size() != path.size()) return {};
  std::vector<std::string> captured;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const bool captures = pattern[i].starts_with(capture);
    auto segment = captures ? captured_segment(pattern[i], path[i]) : decode_percent(path[i]);
    if (!segment || (!captures && *segment != pattern[i])) return {};
    if (captures) captured.push_back(*std::move(segment));
  }
  return captured;
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
  if (match.methods.empty()) return call.send_error(no_such_path(request.method, request.path));
  std::string allowed;
  for (const std::string& method : std::set<std::string>(match.methods.begin(), match.methods.end()))
    allowed += (allowed.empty() ? "" : ", ") + method;
  return call.send_error(wrong_method(request.method, request.path, allowed), {{"Allow", allowed}});
}

}  // namespace tessera::gateway
