#include "gateway/route_set.hpp"

#include <optional>

namespace tessera::gateway {

namespace {

constexpr RouteSet every_set[] = {RouteSet::openai, RouteSet::tfserving, RouteSet::inference, RouteSet::amp,
                                  RouteSet::health, RouteSet::metrics,   RouteSet::page};

std::optional<RouteSet> set_of(std::string_view name) {
  for (const RouteSet set : every_set) {
    if (name == to_string(set)) return set;
  }
  return {};
}

}  // namespace

const char* to_string(RouteSet set) {
  switch (set) {
    case RouteSet::openai:
      return "openai";
    case RouteSet::tfserving:
      return "tfserving";
    case RouteSet::inference:
      return "inference";
    case RouteSet::amp:
      return "amp";
    case RouteSet::health:
      return "health";
    case RouteSet::metrics:
      return "metrics";
    case RouteSet::page:
      return "page";
  }
  return "";
}

RouteSets RouteSets::all() {
  RouteSets sets;
  for (const RouteSet set : every_set) sets.add(set);
  return sets;
}

Result<RouteSets> RouteSets::parse(std::string_view text) {
  RouteSets sets;
  for (;;) {
    const std::size_t comma = text.find(',');
    const std::string_view name = text.substr(0, comma);
    const auto set = set_of(name);
    if (!set && name != "all") {
      std::string known = "all";
      for (const RouteSet each : every_set) known += std::string(", ") + to_string(each);
      return Error{ErrorCode::invalid_argument,
                   "there is no set of routes '" + std::string(name.substr(0, 64)) + "'; there are " + known};
    }
    if (set) {
      sets.add(*set);
    } else {
      sets = all();
    }
    if (comma == std::string_view::npos) return sets;
    text.remove_prefix(comma + 1);
  }
}

std::string to_text(RouteSets sets) {
  if (sets == RouteSets::all()) return "all";
  std::string text;
  for (const RouteSet set : every_set) {
    if (sets.has(set)) text += (text.empty() ? "" : ",") + std::string(to_string(set));
  }
  return text;
}

}  // namespace tessera::gateway
