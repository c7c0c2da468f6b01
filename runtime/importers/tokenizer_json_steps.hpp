// The parts of a tokenizer.json around its model: what happens to text before and after it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// Reads one JSON value with names for its errors.
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

/// What the parts say of the whole.
struct JsonSteps {
  bool is_byte_level = false;   ///< pieces are written in GPT-2's alphabet
  bool has_space_mark = false;  ///< pieces are written with space marks
};

/// Fills `data.normalizer`.
Result<void> read_json_normalizer(const JsonView& view, TokenizerData& data, JsonSteps& steps);
/// Fills `data.splitter`, and appends to `data.normalizer` what it does to text.
Result<void> read_json_pre_tokenizer(const JsonView& view, TokenizerData& data, JsonSteps& steps);
/// Fills `data.prefix` and `data.suffix`. `data.added` is read already.
Result<void> read_json_post_processor(const JsonView& view, TokenizerData& data);
/// Sets how text is put together again.
Result<void> read_json_decoder(const JsonView& view, TokenizerData& data, JsonSteps& steps);

}  // namespace tessera
