// ConfigSection: one table of a TOML file, read key by key; whatever is wrong is noted with its line, and reading goes
// on, so that one look at the file shows all its faults.
//
//   ConfigSection timeouts(table, "timeouts", faults);
//   if (auto misses = timeouts.integer("misses", 2, 100)) config.misses = *misses;
//   timeouts.finish();          // keys that nobody asked for are unknown
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <toml++/toml.h>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

inline constexpr std::size_t config_bytes_max = 1u << 20;
/// Faults that a message lists; the others are counted.
inline constexpr std::size_t config_faults_max = 10;

/// Errors: invalid_argument, naming file, line and column, where the text is too long or no TOML. `kind` says what the
/// file should be: "a cluster's configuration". Never throws.
Result<toml::table> parse_toml(std::string_view text, const std::filesystem::path& file, const std::string& kind);

/// What is wrong with a file. One thread.
class ConfigFaults {
 public:
  void add(std::size_t line, const std::string& key, const std::string& what) { faults_.push_back({line, key, what}); }
  bool any() const { return !faults_.empty(); }
  /// By line, "FILE:LINE: KEY: what" each; the first config_faults_max.
  Error error(const std::filesystem::path& file) const;

 private:
  struct Fault {
    std::size_t line;
    std::string key, what;
  };
  std::vector<Fault> faults_;
};

/// The one of `choices` that was probably meant, or nothing.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& choices);
/// Ends a sentence about a word that is not accepted: with a question for the nearest one, or a full stop.
std::string suggestion(std::string_view word, const std::vector<std::string>& choices);

class ConfigSection {
 public:
  /// `path` names it in messages; empty: the file's top. All three outlive the section.
  ConfigSection(const toml::table& table, std::string path, ConfigFaults& faults)
      : table_(table), path_(std::move(path)), faults_(faults) {}

  // Each is nothing when the key is not there or its value is wrong, which has been noted then.
  std::optional<std::string> text(const std::string& key);
  std::optional<std::int64_t> integer(const std::string& key, std::int64_t min, std::int64_t max);
  /// With or without a point; `limits` says in words what is allowed, such as "above 0 and below 1".
  std::optional<double> number(const std::string& key, const std::function<bool(double)>& allowed,
                               const std::string& limits);
  std::optional<bool> boolean(const std::string& key);
  /// An array of whole numbers of a range, at least one.
  std::optional<std::vector<std::int64_t>> integers(const std::string& key, std::int64_t min, std::int64_t max);
  /// An array of texts, each at most once, at least one.
  std::optional<std::vector<std::string>> texts(const std::string& key);
  /// A text that must be one of `choices`.
  std::optional<std::string> choice(const std::string& key, const std::vector<std::string>& choices);
  const toml::table* table(const std::string& key);
  /// An array of tables.
  std::vector<const toml::table*> tables(const std::string& key);

  bool has(const std::string& key) const { return table_.contains(key); }
  /// Notes a fault of the key's value; of the section where the key is not there.
  void fault(const std::string& key, const std::string& what);
  /// Line of the key's value, or of the section.
  std::size_t line(const std::string& key) const;
  void finish();

 private:
  const toml::node* find(const std::string& key);
  std::string name_of(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  void wrong_kind(const std::string& key, const toml::node& node, const std::string& wanted);

  const toml::table& table_;
  std::string path_;
  ConfigFaults& faults_;
  std::set<std::string> known_;
};

/// "a", "a or b", "a, b or c"
std::string one_of(const std::vector<std::string>& words);

}  // namespace tessera
