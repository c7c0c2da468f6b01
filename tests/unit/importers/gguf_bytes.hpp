// A writer of GGUF files for tests, independent of the one in runtime/importers, and able to write files that are wrong
// in one place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tessera::test {

template <typename Number>
void append_number(std::string& bytes, Number value) {
  static_assert(std::is_arithmetic_v<Number>);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// A u64 length and the bytes.
void append_text(std::string& bytes, std::string_view text);

struct GgufBytes {
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dimensions;  ///< fastest first
    std::uint32_t type = 0;
    std::string data;
  };

  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::vector<std::pair<std::string, std::string>> pairs;  ///< key, and type with value
  std::vector<Tensor> tensors;

  void text(const std::string& key, std::string_view value);
  void u32(const std::string& key, std::uint32_t value);
  void f32(const std::string& key, float value);
  void flag(const std::string& key, bool value);
  template <typename Number>
  void number(const std::string& key, std::uint32_t type, Number value) {
    std::string bytes;
    append_number(bytes, type);
    append_number(bytes, value);
    pairs.emplace_back(key, bytes);
  }
  void texts(const std::string& key, const std::vector<std::string>& values);
  template <typename Number>
  void numbers(const std::string& key, std::uint32_t type, const std::vector<Number>& values) {
    std::string bytes = array_start(type, values.size());
    for (const Number& value : values) append_number(bytes, value);
    pairs.emplace_back(key, bytes);
  }
  /// Type array, type of the elements, count.
  static std::string array_start(std::uint32_t type, std::uint64_t count);

  /// The whole file; tensors follow each other, aligned.
  std::string bytes() const;
};

}  // namespace tessera::test
