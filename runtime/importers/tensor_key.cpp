#include "runtime/importers/tensor_key.hpp"

namespace tessera {

namespace {

/// Cuts off what lies before and including the number behind `begin` characters; gives the number.
std::string take_number(std::string& name, std::size_t begin) {
  const std::size_t dot = name.find('.', begin);
  std::string number = name.substr(begin, dot - begin);
  name.erase(0, dot + 1);
  return number;
}

}  // namespace

TensorKey::TensorKey(const std::string& name) : kind(name) {
  constexpr std::string_view layers = "layers.", experts = "experts.";
  if (!kind.starts_with(layers)) return;
  layer = take_number(kind, layers.size());
  if (!kind.starts_with(experts)) return;
  expert = take_number(kind, experts.size());
  kind.insert(0, experts);
}

std::string fill_name(std::string_view pattern, std::string_view prefix, const TensorKey& key) {
  std::string name;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '{') {
      name += pattern[i];
      continue;
    }
    name += pattern[i + 1] == 'P' ? prefix : pattern[i + 1] == 'L' ? std::string_view(key.layer) : key.expert;
    i += 2;
  }
  return name;
}

}  // namespace tessera
