#include "tests/unit/importers/gguf_bytes.hpp"

namespace tessera::test {

namespace {

constexpr std::uint32_t u32_type = 4, f32_type = 6, bool_type = 7, text_type = 8, array_type = 9;

}  // namespace

void append_text(std::string& bytes, std::string_view text) {
  append_number(bytes, std::uint64_t{text.size()});
  bytes += text;
}

void GgufBytes::text(const std::string& key, std::string_view value) {
  std::string bytes;
  append_number(bytes, text_type);
  append_text(bytes, value);
  pairs.emplace_back(key, bytes);
}

void GgufBytes::u32(const std::string& key, std::uint32_t value) { number(key, u32_type, value); }
void GgufBytes::f32(const std::string& key, float value) { number(key, f32_type, value); }
void GgufBytes::flag(const std::string& key, bool value) {
  number(key, bool_type, static_cast<std::uint8_t>(value ? 1 : 0));
}

std::string GgufBytes::array_start(std::uint32_t type, std::uint64_t count) {
  std::string bytes;
  append_number(bytes, array_type);
  append_number(bytes, type);
  append_number(bytes, count);
  return bytes;
}

void GgufBytes::texts(const std::string& key, const std::vector<std::string>& values) {
  std::string bytes = array_start(text_type, values.size());
  for (const std::string& value : values) append_text(bytes, value);
  pairs.emplace_back(key, bytes);
}

std::string GgufBytes::bytes() const {
  std::string file = "GGUF", data;
  append_number(file, version);
  append_number(file, std::uint64_t{tensors.size()});
  append_number(file, std::uint64_t{pairs.size()});
  for (const auto& [key, value] : pairs) {
    append_text(file, key);
    file += value;
  }
  for (const Tensor& tensor : tensors) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    append_text(file, tensor.name);
    append_number(file, static_cast<std::uint32_t>(tensor.dimensions.size()));
    for (const std::uint64_t dimension : tensor.dimensions) append_number(file, dimension);
    append_number(file, tensor.type);
    append_number(file, std::uint64_t{data.size()});
    data += tensor.data;
  }
  if (tensors.empty()) return file;
  file.resize((file.size() + alignment - 1) / alignment * alignment);
  return file + data;
}

}  // namespace tessera::test
