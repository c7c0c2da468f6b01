#include "runtime/importers/json_view.hpp"

namespace tessera {

Result<JsonView> JsonView::member(const char* key) const {
  if (!has(key)) return wrong(std::string("has no '") + key + "'");
  return JsonView(value_.at(key), where_, name_.empty() ? key : name_ + "." + key);
}

JsonView JsonView::element(std::size_t index) const {
  return JsonView(value_.at(index), where_, name_ + "[" + std::to_string(index) + "]");
}

Result<std::string> JsonView::text(const char* key) const {
  TESSERA_TRY(const JsonView view, member(key));
  if (!view.value().is_string()) return view.wrong("is no text");
  return view.value().get<std::string>();
}

Result<std::string> JsonView::text_or(const char* key, const std::string& otherwise) const {
  return has(key) ? text(key) : otherwise;
}

Result<bool> JsonView::flag_or(const char* key, bool otherwise) const {
  if (!has(key)) return otherwise;
  TESSERA_TRY(const JsonView view, member(key));
  if (!view.value().is_boolean()) return view.wrong("is neither true nor false");
  return view.value().get<bool>();
}

Result<std::uint32_t> JsonView::count(const char* key, std::uint32_t value_max) const {
  TESSERA_TRY(const JsonView view, member(key));
  if (!view.value().is_number_unsigned() || view.value().get<std::uint64_t>() > value_max) {
    return view.wrong("is no number from 0 to " + std::to_string(value_max));
  }
  return view.value().get<std::uint32_t>();
}

Result<std::size_t> JsonView::array_size() const {
  if (!value_.is_array()) return wrong("is no list");
  return value_.size();
}

Error JsonView::wrong(const std::string& cause) const {
  return {ErrorCode::corrupt, where_ + ": " + (name_.empty() ? "it" : name_) + " " + cause +
                                  "; it is damaged, or no tokenizer: fetch it again"};
}

Error JsonView::unsupported(const std::string& cause) const {
  return {ErrorCode::unsupported, where_ + ": " + name_ + " " + cause + ", which cannot be imported"};
}

}  // namespace tessera
