// Who plays in a story: names, species, and the words that go with them.
#pragma once

#include <string>

#include "examples/stories/phrases.hpp"

namespace tessera::stories {

enum class World { children, animals };

/// What a character is, and what every sentence about it needs.
struct Character {
  std::string name;
  std::string kind;  ///< "girl", "fox"
  std::string home;  ///< "in a cosy den under the hill"
  std::string hand;  ///< "hand", "paw", "wing" or "hoof"
  std::string went;  ///< how it moves: "walked", "hopped"
  bool female = false;
};

/// A child or an animal.
Character draw_character(Choice& choice, World world);
/// Mom, Dad, Grandma or Grandpa.
Character draw_elder(Choice& choice);

/// Sets {A}, {A.he}, {A.him}, {A.his}, {A.himself}, {A.kind}, {A.home}, {A.hand}, {A.went} for role "A".
void set_character(Phrases& phrases, const std::string& role, const Character& character);

}  // namespace tessera::stories
