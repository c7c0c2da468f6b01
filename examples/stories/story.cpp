#include "examples/stories/story.hpp"

#include <algorithm>
#include <vector>

#include "examples/stories/cast.hpp"
#include "examples/stories/phrases.hpp"
#include "examples/stories/plot.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera::stories {

namespace {

/// Stories that come out too long or too short are written again; nearly all are right at once.
constexpr std::uint32_t attempts_max = 64;

const Draw traits = {"trait",
                     {"little", "kind", "curious", "brave little", "cheerful", "clever", "playful", "quiet", "gentle",
                      "friendly little"}};
const Draw colors = {"color",
                     {"red", "blue", "green", "yellow", "white", "orange", "pink", "brown", "shiny", "golden"}};
const Draw things = {"thing",
                     {"ball", "kite", "drum", "hat", "scarf", "lantern", "bell", "boat", "basket", "blanket", "whistle",
                      "flag", "umbrella", "doll", "bucket", "toy horse"}};
const Draw places = {
    "at/place",
    {"in the park/the park", "in the garden/the garden", "on the beach/the beach", "in the meadow/the meadow",
     "by the pond/the pond", "at the playground/the playground", "under the old oak tree/the old oak tree",
     "on the hill/the hill", "in the forest/the forest", "by the river/the river"}};

constexpr std::string_view introductions[] = {
    "[Once upon a time,|Once] there was a~ {trait} {A.kind} named {A}. {A.he} lived {A.home}[| with {E}].",
    "{A} was a~ {trait} {A.kind} who lived {A.home}[| with {E}].",
    "{A.home}, there lived a~ {trait} {A.kind} named {A}.",
    "There once was a~ {trait} {A.kind}. {A.his} name was {A}, and {A.he} lived {A.home}.",
    "A long time ago, a~ {trait} {A.kind} lived {A.home}. {A.his} name was {A}.",
    "This is the story of {A}, a~ {trait} {A.kind} who lived {A.home}.",
};
constexpr std::string_view hobby =
    "{A} [loved to|liked to] [sing in the morning|draw pictures|look at the clouds|collect shiny stones|listen to "
    "stories|run in the grass|make up songs|count the birds].";

constexpr std::string_view best_friend =
    "[{A.his} best friend was a~ {B.kind} named {B}.|{A} had a good friend, a~ {B.kind} named {B}.]";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != std::string_view::npos; text.remove_prefix(std::min(text.size(), end + 1))) {
    end = text.find(separator);
    parts.push_back(text.substr(0, end));
  }
  return parts;
}

void draw(Phrases& phrases, Choice& choice, const Draw& from) {
  std::vector<std::string_view> left = from.entries;
  for (const std::string_view names : split(from.names, ',')) {
    TESSERA_ENSURE(!left.empty());
    const std::size_t which = choice.below(left.size());
    const std::vector<std::string_view> fields = split(left[which], '/'), keys = split(names, '/');
    TESSERA_ENSURE(fields.size() == keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) phrases.set(std::string(keys[i]), fields[i]);
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(which));
  }
}

/// Two children, a child and an animal, or two animals; of different names, and animals of different species.
void draw_cast(Phrases& phrases, Choice& choice) {
  const World world = choice.percent(50) ? World::children : World::animals;
  const Character hero = draw_character(choice, world);
  const World other = world == World::children && choice.percent(60) ? World::children : World::animals;
  Character friend_of_hero = draw_character(choice, other);
  // "He" and "she" say who is meant, most of the time.
  const bool mixed = choice.percent(75);
  while (friend_of_hero.name == hero.name || (other == World::animals && friend_of_hero.kind == hero.kind) ||
         (mixed && friend_of_hero.female == hero.female)) {
    friend_of_hero = draw_character(choice, other);
  }
  set_character(phrases, "A", hero);
  set_character(phrases, "B", friend_of_hero);
  set_character(phrases, "E", draw_elder(choice));
}

std::string tell(const Plot& plot, Choice& choice) {
  Phrases phrases(choice);
  draw_cast(phrases, choice);
  for (const Draw* const common : {&traits, &colors, &things, &places}) draw(phrases, choice, *common);
  for (const Draw& own : plot.draws) draw(phrases, choice, own);
  std::string text = phrases.sentence(introductions[choice.below(std::size(introductions))]);
  if (choice.percent(40)) text += " " + phrases.sentence(hobby);
  if (plot.friends && choice.percent(40)) text += " " + phrases.sentence(best_friend);
  for (const std::string_view step : plot.steps) {
    const bool optional = step.starts_with('?');
    if (optional && choice.percent(50)) continue;
    text += " " + phrases.sentence(step.substr(optional ? 1 : 0));
  }
  return text;
}

}  // namespace

std::span<const Plot> all_plots() {
  static const std::vector<Plot> plots = [] {
    std::vector<Plot> all;
    for (auto part : {friendship_plots(), courage_plots(), home_plots(), outdoor_plots()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return plots;
}

std::size_t count_words(std::string_view text) {
  std::size_t words = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool blank = text[at] == ' ' || text[at] == '\n';
    words += !blank && (at == 0 || text[at - 1] == ' ' || text[at - 1] == '\n') ? 1 : 0;
  }
  return words;
}

Story write_story(std::uint64_t seed, std::uint64_t number) {
  for (std::uint32_t attempt = 0; attempt < attempts_max; ++attempt) {
    Choice choice(seed, number, attempt);
    const std::span<const Plot> plots = all_plots();
    const Plot& plot = plots[choice.below(plots.size())];
    Story story{tell(plot, choice), plot.name};
    const std::size_t words = count_words(story.text);
    if (words >= story_words_min && words <= story_words_max) return story;
  }
  TESSERA_ENSURE(false);
  return {};
}

}  // namespace tessera::stories
