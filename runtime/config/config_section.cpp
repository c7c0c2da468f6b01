#include "runtime/config/config_section.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

namespace tessera {

namespace {

/// Values from the file are repeated in messages only as far as a line can take.
constexpr std::size_t shown_bytes_max = 60;

std::string shown(const std::string& text) {
  const std::string start = text.substr(0, shown_bytes_max);
  std::string result = "\"";
  for (const char c : start) result += c >= ' ' && c <= '~' ? c : '?';
  return result + (text.size() > shown_bytes_max ? "…\"" : "\"");
}

const char* kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

/// Insertions, deletions, changes and swaps of neighbours that lead from one word to the other (optimal string
/// alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  std::iota(cost[0].begin(), cost[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      cost[i][j] = std::min({change, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

Result<toml::table> parse_toml(std::string_view text, const std::filesystem::path& file, const std::string& kind) {
  if (text.size() > config_bytes_max) {
    return Error{ErrorCode::invalid_argument,
                 file.string() + " is longer than " + std::to_string(config_bytes_max) + " bytes: it is not " + kind};
  }
  try {
    return toml::parse(text, file.string());
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    return Error{ErrorCode::invalid_argument, file.string() + ":" + std::to_string(at.line) + ":" +
                                                  std::to_string(at.column) +
                                                  ": it is not valid TOML: " + std::string(error.description())};
  }
}

Error ConfigFaults::error(const std::filesystem::path& file) const {
  std::vector<Fault> sorted = faults_;
  std::ranges::stable_sort(sorted, {}, &Fault::line);
  std::string text;
  for (std::size_t i = 0; i < sorted.size() && i < config_faults_max; ++i) {
    text += (i == 0 ? "" : "\n") + file.string() + ":" + std::to_string(sorted[i].line) + ": " +
            (sorted[i].key.empty() ? "" : sorted[i].key + ": ") + sorted[i].what;
  }
  if (sorted.size() > config_faults_max) {
    text += "\nand " + std::to_string(sorted.size() - config_faults_max) + " more faults in " + file.string();
  }
  return Error{ErrorCode::invalid_argument, text};
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& choices) {
  constexpr std::size_t word_bytes_max = 64;
  if (word.size() > word_bytes_max) return std::nullopt;
  const std::string* best = nullptr;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const std::string& choice : choices) {
    const std::size_t distance = edit_distance(word, choice);
    if (distance < least && distance <= std::max<std::size_t>(1, choice.size() / 3)) {
      least = distance;
      best = &choice;
    }
  }
  return best ? std::optional(*best) : std::nullopt;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& choices) {
  const auto near = nearest(word, choices);
  return near ? "; did you mean \"" + *near + "\"?" : ".";
}

std::string one_of(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  }
  return text;
}

const toml::node* ConfigSection::find(const std::string& key) {
  known_.insert(key);
  return table_.get(key);
}

std::size_t ConfigSection::line(const std::string& key) const {
  const toml::node* const node = table_.get(key);
  return node ? node->source().begin.line : table_.source().begin.line;
}

void ConfigSection::fault(const std::string& key, const std::string& what) {
  faults_.add(line(key), name_of(key), what);
}

void ConfigSection::wrong_kind(const std::string& key, const toml::node& node, const std::string& wanted) {
  fault(key, std::string("it is ") + kind_of(node) + "; write " + wanted);
}

std::optional<std::string> ConfigSection::text(const std::string& key) {
  const toml::node* const node = find(key);
  if (!node) return std::nullopt;
  const auto* const value = node->as_string();
  if (!value) {
    wrong_kind(key, *node, "a text in quotes");
    return std::nullopt;
  }
  return value->get();
}

std::optional<std::int64_t> ConfigSection::integer(const std::string& key, std::int64_t min, std::int64_t max) {
  const toml::node* const node = find(key);
  if (!node) return std::nullopt;
  const std::string wanted = "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
  const auto* const value = node->as_integer();
  if (!value) {
    wrong_kind(key, *node, wanted);
    return std::nullopt;
  }
  if (value->get() < min || value->get() > max) {
    fault(key, std::to_string(value->get()) + " is out of range; write " + wanted);
    return std::nullopt;
  }
  return value->get();
}

std::optional<std::vector<std::int64_t>> ConfigSection::integers(const std::string& key, std::int64_t min,
                                                                 std::int64_t max) {
  const toml::node* const node = find(key);
  if (!node) return std::nullopt;
  const std::string wanted = "whole numbers from " + std::to_string(min) + " to " + std::to_string(max);
  const toml::array* const array = node->as_array();
  if (!array) {
    wrong_kind(key, *node, "an array of " + wanted);
    return std::nullopt;
  }
  if (array->empty()) {
    fault(key, "it is empty; write " + wanted);
    return std::nullopt;
  }
  std::vector<std::int64_t> values;
  for (const toml::node& element : *array) {
    const auto* const value = element.as_integer();
    if (!value) {
      wrong_kind(key, element, "only " + wanted + " in the array");
      return std::nullopt;
    }
    if (value->get() < min || value->get() > max) {
      fault(key, std::to_string(value->get()) + " is out of range; write " + wanted);
      return std::nullopt;
    }
    values.push_back(value->get());
  }
  return values;
}

std::optional<double> ConfigSection::number(const std::string& key, const std::function<bool(double)>& allowed,
                                            const std::string& limits) {
  const toml::node* const node = find(key);
  if (!node) return std::nullopt;
  const std::optional<double> value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value) {
    wrong_kind(key, *node, "a number " + limits);
    return std::nullopt;
  }
  if (!std::isfinite(*value) || !allowed(*value)) {
    std::ostringstream text;
    text << *value;
    fault(key, text.str() + " is out of range; write a number " + limits);
    return std::nullopt;
  }
  return value;
}

std::optional<bool> ConfigSection::boolean(const std::string& key) {
  const toml::node* const node = find(key);
  if (!node) return std::nullopt;
  const auto* const value = node->as_boolean();
  if (!value) {
    wrong_kind(key, *node, "true or false");
    return std::nullopt;
  }
  return value->get();
}

std::optional<std::vector<std::string>> ConfigSection::texts(const std::string& key) {
  const toml::node* const node = find(key);
  if (!node) return std::nullopt;
  const toml::array* const array = node->as_array();
  if (!array || array->empty()) {
    if (array) {
      fault(key, "it is empty; write at least one text in quotes");
    } else {
      wrong_kind(key, *node, "an array of texts, such as [\"…\"]");
    }
    return std::nullopt;
  }
  std::vector<std::string> values;
  for (const toml::node& element : *array) {
    const auto* const value = element.as_string();
    if (!value) {
      wrong_kind(key, element, "only texts in quotes in the array");
      return std::nullopt;
    }
    if (std::ranges::find(values, value->get()) != values.end()) {
      fault(key, shown(value->get()) + " is there twice; write it once");
      return std::nullopt;
    }
    values.push_back(value->get());
  }
  return values;
}

std::optional<std::string> ConfigSection::choice(const std::string& key, const std::vector<std::string>& choices) {
  const auto value = text(key);
  if (!value || std::ranges::find(choices, *value) != choices.end()) return value;
  fault(key, shown(*value) + " is not accepted" + suggestion(*value, choices) + " Accepted: " + one_of(choices));
  return std::nullopt;
}

const toml::table* ConfigSection::table(const std::string& key) {
  const toml::node* const node = find(key);
  if (!node) return nullptr;
  if (!node->is_table()) wrong_kind(key, *node, "a table: [" + name_of(key) + "]");
  return node->as_table();
}

std::vector<const toml::table*> ConfigSection::tables(const std::string& key) {
  const toml::node* const node = find(key);
  if (!node) return {};
  const toml::array* const array = node->as_array();
  if (!array || !std::all_of(array->begin(), array->end(), [](const toml::node& e) { return e.is_table(); })) {
    wrong_kind(key, *node, "tables: a [[" + name_of(key) + "]] for each");
    return {};
  }
  std::vector<const toml::table*> found;
  for (const toml::node& element : *array) found.push_back(element.as_table());
  return found;
}

void ConfigSection::finish() {
  const std::vector<std::string> accepted(known_.begin(), known_.end());
  for (const auto& [key, node] : table_) {
    const std::string name(key.str());
    if (known_.contains(name)) continue;
    faults_.add(key.source().begin.line, name_of(name.size() <= shown_bytes_max ? name : shown(name)),
                "unknown key" + suggestion(name, accepted) + " Accepted here: " + one_of(accepted));
  }
}

}  // namespace tessera
