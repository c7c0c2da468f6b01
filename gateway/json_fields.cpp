#include "gateway/json_fields.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace tessera::gateway {

namespace {

/// As a person writes it: 2, not 2.000000.
std::string short_number(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

}  // namespace

std::string kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_float:
      return "a decimal number";
    default:
      return "an integer";
  }
}

const Json* JsonFields::any(const std::string& key) {
  known_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> JsonFields::text(const std::string& key) {
  const Json* const value = any(key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  wrong_type(key, "a string", *value);
  return {};
}

std::optional<bool> JsonFields::flag(const std::string& key) {
  const Json* const value = any(key);
  if (value == nullptr) return {};
  if (value->is_boolean()) return value->get<bool>();
  wrong_type(key, "true or false", *value);
  return {};
}

std::optional<double> JsonFields::number(const std::string& key, double min, double max) {
  const Json* const value = any(key);
  if (value == nullptr) return {};
  if (!value->is_number()) {
    wrong_type(key, "a number", *value);
    return {};
  }
  const double number = value->get<double>();
  if (std::isfinite(number) && number >= min && number <= max) return number;
  fail(bad_request("'" + key + "' is " + short_number(number) + "; it must be at least " + short_number(min) +
                       " and at most " + short_number(max),
                   key));
  return {};
}

std::optional<std::int64_t> JsonFields::integer(const std::string& key, std::int64_t min, std::int64_t max) {
  const Json* const value = any(key);
  if (value == nullptr) return {};
  if (!value->is_number_integer()) {
    wrong_type(key, "an integer", *value);
    return {};
  }
  const bool too_large =
      value->is_number_unsigned() &&
      value->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const std::int64_t number = too_large ? 0 : value->get<std::int64_t>();
  if (!too_large && number >= min && number <= max) return number;
  fail(bad_request("'" + key + "' is " + value->dump() + "; it must be at least " + std::to_string(min) +
                       " and at most " + std::to_string(max),
                   key));
  return {};
}

std::vector<std::string> JsonFields::texts(const std::string& key, std::size_t count_max) {
  const Json* const value = any(key);
  if (value == nullptr) return {};
  std::vector<std::string> result;
  if (value->is_string()) {
    result.push_back(value->get<std::string>());
  } else if (value->is_array()) {
    if (value->size() > count_max) {
      fail(bad_request(
          "'" + key + "' has " + std::to_string(value->size()) + " entries; give at most " + std::to_string(count_max),
          key));
      return {};
    }
    for (const Json& each : *value) {
      if (!each.is_string()) {
        wrong_type(key, "a list of strings", each);
        return {};
      }
      result.push_back(each.get<std::string>());
    }
  } else {
    wrong_type(key, "a string or a list of strings", *value);
    return {};
  }
  if (std::ranges::any_of(result, &std::string::empty)) {
    fail(bad_request("'" + key + "' has an empty string", key));
    return {};
  }
  return result;
}

void JsonFields::refuse_unless(const std::string& key, const std::vector<Json>& allowed, const std::string& what) {
  const Json* const value = any(key);
  if (value == nullptr || std::ranges::find(allowed, *value) != allowed.end()) return;
  fail(not_supported(key, what));
}

void JsonFields::fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

std::optional<ApiError> JsonFields::finish() {
  if (error_) return error_;
  for (const auto& [key, value] : object_.items()) {
    if (known_.contains(key)) continue;
    return bad_request("Unrecognized request argument: " + shortened(key), shortened(key), "unknown_parameter");
  }
  return {};
}

void JsonFields::wrong_type(const std::string& key, const std::string& expected, const Json& value) {
  fail(bad_request("'" + key + "' must be " + expected + ", not " + kind_of(value), key, "invalid_type"));
}

}  // namespace tessera::gateway
