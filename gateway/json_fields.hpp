// JsonFields: reads a request field by field. The first field that is wrong decides the answer; a field that nobody
// reads is refused too, so that nothing a client asks for is silently ignored. null counts as absent, as in OpenAI's
// protocol.
//
//   JsonFields fields(body);
//   const auto model = fields.text("model");
//   const auto top_p = fields.number("top_p", 0, 1);
//   if (auto error = fields.finish()) return *error;
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gateway/json_body.hpp"

namespace tessera::gateway {

/// Of one request, on one thread; `object` outlives it.
class JsonFields {
 public:
  explicit JsonFields(const Json& object) : object_(object) {}

  /// The value as it is; nullptr where there is none.
  const Json* any(const std::string& key);
  std::optional<std::string> text(const std::string& key);
  std::optional<bool> flag(const std::string& key);
  /// Both ends belong to the range.
  std::optional<double> number(const std::string& key, double min, double max);
  std::optional<std::int64_t> integer(const std::string& key, std::int64_t min, std::int64_t max);
  /// A text, or a list of at most `count_max` texts that are not empty.
  std::vector<std::string> texts(const std::string& key, std::size_t count_max);

  /// The key is known and what it says changes nothing here.
  void accept(const std::string& key) { any(key); }
  /// Refuses the key wherever it is given with another value than these; `what` begins the sentence "… not supported".
  void refuse_unless(const std::string& key, const std::vector<Json>& allowed, const std::string& what);

  /// Keeps the first.
  void fail(ApiError error);
  bool failed() const { return error_.has_value(); }
  /// The first error, or that of a key that was never read.
  std::optional<ApiError> finish();

 private:
  void wrong_type(const std::string& key, const std::string& expected, const Json& value);

  const Json& object_;
  std::set<std::string> known_;
  std::optional<ApiError> error_;
};

/// "a string", "an array" …
std::string kind_of(const Json& value);

}  // namespace tessera::gateway
