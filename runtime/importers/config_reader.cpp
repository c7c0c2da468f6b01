#include "runtime/importers/config_reader.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes_max = 100;

}  // namespace

std::string ConfigReader::shown(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, shown_bytes_max);
}

std::string ConfigReader::quoted(const std::string& text) { return "'" + text.substr(0, shown_bytes_max) + "'"; }

const json* ConfigReader::find(const char* key) const {
  const auto found = config_.find(key);
  return found == config_.end() || found->is_null() ? nullptr : &*found;
}

Result<std::uint32_t> ConfigReader::required_count(const char* key) const {
  const json* const value = find(key);
  if (!value) {
    return Error{ErrorCode::corrupt, where_ + ": has no " + key + "; it does not describe a model of its model_type"};
  }
  return count(key, *value);
}

Result<std::uint32_t> ConfigReader::count_or(const char* key, std::uint32_t otherwise) const {
  const json* const value = find(key);
  if (!value) return otherwise;
  return count(key, *value);
}

Result<double> ConfigReader::required_number(const char* key) const {
  if (!find(key)) return Error{ErrorCode::corrupt, where_ + ": has no " + key};
  return number_or(key, 0);
}

Result<double> ConfigReader::number_or(const char* key, double otherwise) const {
  const json* const value = find(key);
  if (!value) return otherwise;
  if (!value->is_number()) return wrong(key, *value, "a number");
  return value->get<double>();
}

Result<bool> ConfigReader::flag_or(const char* key, bool otherwise) const {
  const json* const value = find(key);
  if (!value) return otherwise;
  if (!value->is_boolean()) return wrong(key, *value, "true or false");
  return value->get<bool>();
}

Result<std::string> ConfigReader::text_or(const char* key, const char* otherwise) const {
  const json* const value = find(key);
  if (!value) return std::string(otherwise);
  if (!value->is_string()) return wrong(key, *value, "a text");
  return value->get<std::string>();
}

Result<std::vector<double>> ConfigReader::numbers(const char* key, std::size_t count) const {
  const json* const list = find(key);
  const std::string expected = "a list of " + std::to_string(count) + " numbers";
  if (!list) return Error{ErrorCode::corrupt, where_ + ": has no " + key + ", which should be " + expected};
  if (!list->is_array() || list->size() != count) return wrong(key, *list, expected);
  std::vector<double> values;
  for (const json& value : *list) {
    if (!value.is_number()) return wrong(key, *list, expected);
    values.push_back(value.get<double>());
  }
  return values;
}

Result<ConfigReader> ConfigReader::object_of(const char* key) const {
  const json* const value = find(key);
  if (!value) return Error{ErrorCode::corrupt, where_ + ": has no " + key};
  if (!value->is_object()) return wrong(key, *value, "an object or null");
  return ConfigReader(*value, where_ + ": " + key);
}

Result<void> ConfigReader::require_off(const char* key) const {
  TESSERA_TRY(const bool on, flag_or(key, false));
  if (on) return unsupported(key, "true", "false");
  return {};
}

Error ConfigReader::wrong(const std::string& key, const json& value, const std::string& expected) const {
  return {ErrorCode::corrupt, where_ + ": " + key + " is " + shown(value) + ", but should be " + expected};
}

Error ConfigReader::unsupported(const std::string& key, const std::string& value, const std::string& supported) const {
  return {ErrorCode::unsupported,
          where_ + ": " + key + " is " + value + ", which is not supported; supported: " + supported};
}

Result<std::uint32_t> ConfigReader::count(const char* key, const json& value) const {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > UINT32_MAX) return wrong(key, value, "a count");
  return static_cast<std::uint32_t>(value.get<std::uint64_t>());
}

}  // namespace tessera
