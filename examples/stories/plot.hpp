// Plot: the skeleton of a story, as a table of templates.
//
// The roles are A, the hero; B, the friend; E, the elder ({E} is "Mom", "Dad", "Grandma" or "Grandpa"). Every plot also
// has {trait}, {color}, {thing} (a toy or the like that one can carry) and a place to play: {at} ("in the park") and
// {place} ("the park").
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace tessera::stories {

/// Values that are drawn once per story. `names` is one name, or names for the fields of an entry ("what/parts", as in
/// "a kite/paper and two sticks"), or names for different entries of one list ("first,second").
struct Draw {
  std::string_view names;
  std::vector<std::string_view> entries;
};

struct Plot {
  std::string_view name;
  bool friends = true;  ///< whether A and B know each other when the story begins
  std::vector<Draw> draws;
  /// One or more sentences each; those with a '?' in front are told in half of the stories. The introduction of the
  /// hero comes before them.
  std::vector<std::string_view> steps;
};

/// All plots, in an order that is part of what a seed means. Any thread.
std::span<const Plot> all_plots();

// By kind, each in a file of its own.
std::vector<Plot> friendship_plots();
std::vector<Plot> courage_plots();
std::vector<Plot> home_plots();
std::vector<Plot> outdoor_plots();

}  // namespace tessera::stories
