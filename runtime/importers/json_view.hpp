// JsonView: one value of a foreign JSON text and what it is called there, so that errors can say what is wrong where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"

namespace tessera {

/// Keeps a reference to the value. All errors are corrupt, unless said otherwise.
class JsonView {
 public:
  JsonView(const nlohmann::json& value, std::string where, std::string name)
      : value_(value), where_(std::move(where)), name_(std::move(name)) {}

  const nlohmann::json& value() const { return value_; }
  const std::string& where() const { return where_; }
  const std::string& name() const { return name_; }
  bool has(const char* key) const { return value_.is_object() && value_.contains(key) && !value_.at(key).is_null(); }

  /// A member; its errors (corrupt) say what it is.
  Result<JsonView> member(const char* key) const;
  JsonView element(std::size_t index) const;
  Result<std::string> text(const char* key) const;
  Result<std::string> text_or(const char* key, const std::string& otherwise) const;
  Result<bool> flag_or(const char* key, bool otherwise) const;
  /// An integer from 0 to `value_max`.
  Result<std::uint32_t> count(const char* key, std::uint32_t value_max) const;
  /// The elements of an array that this is; checked to be one.
  Result<std::size_t> array_size() const;

  Error wrong(const std::string& cause) const;
  Error unsupported(const std::string& cause) const;

 private:
  const nlohmann::json& value_;
  std::string where_, name_;
};

}  // namespace tessera
