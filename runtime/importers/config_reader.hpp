// ConfigReader: the fields of a config.json, each checked where it is read, with errors that name file and field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"

namespace tessera {

/// Reads the fields of an object; a field that is null counts as absent. Borrows the object. One thread.
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& config, std::string where) : config_(config), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  const nlohmann::json& object() const { return config_; }
  /// Also when it is null.
  bool contains(const char* key) const { return config_.contains(key); }
  /// Null when the field is absent or null.
  const nlohmann::json* find(const char* key) const;

  Result<std::uint32_t> required_count(const char* key) const;
  Result<std::uint32_t> count_or(const char* key, std::uint32_t otherwise) const;
  Result<double> required_number(const char* key) const;
  Result<double> number_or(const char* key, double otherwise) const;
  Result<bool> flag_or(const char* key, bool otherwise) const;
  Result<std::string> text_or(const char* key, const char* otherwise) const;
  /// A list of exactly so many numbers.
  Result<std::vector<double>> numbers(const char* key, std::size_t count) const;
  /// The object of a field; `corrupt` when it is something else.
  Result<ConfigReader> object_of(const char* key) const;

  /// Refuses the flag unless it is absent or false.
  Result<void> require_off(const char* key) const;

  Error wrong(const std::string& key, const nlohmann::json& value, const std::string& expected) const;
  Error unsupported(const std::string& key, const std::string& value, const std::string& supported) const;
  /// A value as messages show it: escaped and not long.
  static std::string shown(const nlohmann::json& value);
  /// The same of a text, in quotes.
  static std::string quoted(const std::string& text);

 private:
  Result<std::uint32_t> count(const char* key, const nlohmann::json& value) const;

  const nlohmann::json& config_;
  std::string where_;
};

}  // namespace tessera
