// find_most_crowded: who makes room for a newcomer where places are limited and whoever holds them may be a stranger.
//
//   places, oldest first:  a b a c a      a newcomer from anywhere takes the place of the first a
//
// Whoever floods a listener crowds out their own connections, and nobody else's: a caller from elsewhere keeps a place
// however many come.
#pragma once

#include <cstddef>
#include <map>
#include <string_view>

namespace tessera {

/// Of `places`, oldest first and not empty, the oldest of the source that holds most of them; of several such sources,
/// the one that has waited longest. `source_of(place)` is a text that lives as long as the place.
template <typename Places, typename SourceOf>
auto find_most_crowded(Places& places, SourceOf source_of) {
  std::map<std::string_view, std::size_t> counts;
  for (const auto& place : places) ++counts[source_of(place)];
  auto found = places.begin();
  std::size_t most = 0;
  for (auto place = places.begin(); place != places.end(); ++place) {
    const std::size_t count = counts[source_of(*place)];
    if (count <= most) continue;
    most = count;
    found = place;
  }
  return found;
}

}  // namespace tessera
