#include "runtime/importers/strict_json.hpp"

#include <exception>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace tessera {

namespace {

using nlohmann::json;

/// Builds the document from the parser's events and stops at the first value beyond a limit.
class StrictBuilder final : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(const JsonLimits& json_limits) : limits_(json_limits) {}

  json take() { return std::move(root_); }
  const std::string& cause() const { return cause_; }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary data in JSON"); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    const auto [place, is_new] = stack_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
    if (!is_new) return refuse("the key '" + name.substr(0, shown_bytes_max) + "' occurs twice");
    member_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return refuse("it is no valid JSON at byte " + std::to_string(position));
  }

 private:
  static constexpr std::size_t shown_bytes_max = 100;

  bool refuse(std::string cause) {
    if (cause_.empty()) cause_ = std::move(cause);
    return false;
  }

  /// Where the next value goes: a member whose key was just read, the end of an array, or the root.
  json* place(json value) {
    if (++values_ > limits_.values_max) {
      refuse("it has more than " + std::to_string(limits_.values_max) + " values");
      return nullptr;
    }
    json* target = &root_;
    if (!stack_.empty() && stack_.back()->is_array()) {
      target = &stack_.back()->get_ref<json::array_t&>().emplace_back();
    } else if (!stack_.empty()) {
      target = member_;
    }
    *target = std::move(value);
    return target;
  }

  bool add(json value) { return place(std::move(value)) != nullptr; }

  bool open(json container) {
    if (stack_.size() == limits_.depth_max) {
      return refuse("it is nested deeper than " + std::to_string(limits_.depth_max) + " levels");
    }
    json* const target = place(std::move(container));
    if (target == nullptr) return false;
    stack_.push_back(target);
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  const JsonLimits limits_;
  json root_;
  std::vector<json*> stack_;  // open containers; a container does not move while a child of it is open
  json* member_ = nullptr;
  std::size_t values_ = 0;
  std::string cause_;
};

}  // namespace

Result<nlohmann::json> parse_strict_json(std::string_view text, const std::string& where,
                                         const JsonLimits& json_limits) {
  if (text.size() > json_limits.bytes_max) {
    return Error{ErrorCode::corrupt,
                 where + ": is a JSON text of more than " + std::to_string(json_limits.bytes_max) + " bytes"};
  }
  StrictBuilder builder(json_limits);
  try {
    if (json::sax_parse(text, &builder)) return builder.take();
  } catch (const std::exception& exception) {
    return Error{ErrorCode::corrupt, where + ": cannot be parsed: " + exception.what()};
  }
  return Error{ErrorCode::corrupt, where + ": " + builder.cause() + "; it is damaged: fetch it again"};
}

}  // namespace tessera
