#include "examples/stories/cast.hpp"

#include <array>
#include <iterator>

namespace tessera::stories {

namespace {

struct Species {
  const char *kind, *home, *hand, *went;
};

constexpr const char* girls[] = {"Mia",  "Lily",  "Anna", "Rosa", "Emma", "Nora", "Zoe",  "Ella", "Lucy",
                                 "Ruby", "Clara", "Ivy",  "Maya", "Sara", "Amy",  "Jane", "Kate", "Alma"};
constexpr const char* boys[] = {"Tom",  "Ben",   "Max",  "Leo",   "Sam",  "Finn", "Jack", "Noah", "Oscar",
                                "Theo", "Peter", "Adam", "Jonas", "Luca", "Omar", "Paul", "Tim",  "Emil"};
constexpr const char* she_animals[] = {"Daisy", "Pearl", "Hazel", "Luna",  "Tilly", "Bella",
                                       "Coco",  "Fern",  "Olive", "Poppy", "Misty", "Greta"};
constexpr const char* he_animals[] = {"Pip",  "Bruno", "Milo", "Teddy",  "Rusty", "Otto",
                                      "Toby", "Gus",   "Nico", "Barney", "Felix", "Hugo"};

constexpr const char* child_homes[] = {
    "in a small house by the sea",      "in a yellow house near the forest", "in a little town", "on a farm",
    "in a tall house next to the park", "in a village between two hills"};

constexpr Species species[] = {
    {"fox", "in a den under the hill", "paw", "ran"},
    {"rabbit", "in a warm hole in the meadow", "paw", "hopped"},
    {"bear", "in a cave near the river", "paw", "walked"},
    {"mouse", "in a tiny house under an old tree", "paw", "ran"},
    {"squirrel", "high up in an oak tree", "paw", "jumped"},
    {"hedgehog", "under a pile of leaves", "paw", "walked"},
    {"duck", "in the reeds by the pond", "wing", "waddled"},
    {"frog", "on a green leaf in the pond", "hand", "hopped"},
    {"owl", "in the hollow of a tall tree", "wing", "flew"},
    {"kitten", "in a basket in a warm barn", "paw", "ran"},
    {"puppy", "in a red dog house on a farm", "paw", "ran"},
    {"otter", "by the river", "paw", "ran"},
    {"beaver", "in a house of sticks on the river", "paw", "walked"},
    {"turtle", "next to a quiet lake", "hand", "walked"},
    {"badger", "in a deep hole in the forest", "paw", "walked"},
    {"goat", "in a stable on a green hill", "hoof", "jumped"},
};

template <std::size_t Count>
const char* one_of(Choice& choice, const char* const (&list)[Count]) {
  return list[choice.below(Count)];
}

}  // namespace

Character draw_character(Choice& choice, World world) {
  Character character;
  character.female = choice.percent(50);
  if (world == World::children) {
    character.name = character.female ? one_of(choice, girls) : one_of(choice, boys);
    character.kind = character.female ? "girl" : "boy";
    character.home = one_of(choice, child_homes);
    character.hand = "hand";
    character.went = "walked";
    return character;
  }
  character.name = character.female ? one_of(choice, she_animals) : one_of(choice, he_animals);
  const Species& drawn = species[choice.below(std::size(species))];
  character.kind = drawn.kind;
  character.home = drawn.home;
  character.hand = drawn.hand;
  character.went = drawn.went;
  return character;
}

Character draw_elder(Choice& choice) {
  constexpr const char* names[] = {"Mom", "Dad", "Grandma", "Grandpa"};
  const std::size_t which = choice.below(std::size(names));
  Character elder;
  elder.name = names[which];
  elder.female = which % 2 == 0;
  return elder;
}

void set_character(Phrases& phrases, const std::string& role, const Character& character) {
  phrases.set(role, character.name);
  phrases.set(role + ".he", character.female ? "she" : "he");
  phrases.set(role + ".him", character.female ? "her" : "him");
  phrases.set(role + ".his", character.female ? "her" : "his");
  phrases.set(role + ".himself", character.female ? "herself" : "himself");
  phrases.set(role + ".kind", character.kind);
  phrases.set(role + ".home", character.home);
  phrases.set(role + ".hand", character.hand);
  phrases.set(role + ".went", character.went);
}

}  // namespace tessera::stories
