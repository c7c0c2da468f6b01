// The methods of strings, lists and dictionaries that a template can call, split by their file.
#pragma once

#include <string_view>

#include "runtime/text/jinja/access.hpp"

namespace tessera::jinja {

/// str.format
Result<Value> format_method(Run& run, const Value& self, const Arguments& arguments);

/// A string's method; null: there is none of the name.
Function::Call find_text_method(std::string_view name);

struct NamedMethod {
  std::string_view name;
  Function::Call call;
};
/// The entry of this name, or null.
template <std::size_t count>
Function::Call find_in(const NamedMethod (&methods)[count], std::string_view name) {
  for (const NamedMethod& method : methods) {
    if (method.name == name) return method.call;
  }
  return nullptr;
}

}  // namespace tessera::jinja
