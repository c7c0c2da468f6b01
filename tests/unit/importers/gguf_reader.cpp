#include "tests/unit/importers/gguf_reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/test/unit_test.hpp>

#include "runtime/tensor/half.hpp"
#include "tests/unit/importers/foreign_models.hpp"

namespace tessera::test {

namespace {

class Cursor {
 public:
  explicit Cursor(const std::string& bytes) : bytes_(bytes) {}
  std::size_t at() const { return at_; }

  template <typename Number>
  Number take() {
    BOOST_REQUIRE(bytes_.size() - at_ >= sizeof(Number));
    Number value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::string text() {
    const auto length = take<std::uint64_t>();
    BOOST_REQUIRE(bytes_.size() - at_ >= length);
    at_ += length;
    return bytes_.substr(at_ - length, length);
  }

  double number(std::uint32_t type) {
    switch (type) {
      case 0:
        return take<std::uint8_t>();
      case 1:
        return take<std::int8_t>();
      case 2:
        return take<std::uint16_t>();
      case 3:
        return take<std::int16_t>();
      case 4:
        return take<std::uint32_t>();
      case 5:
        return take<std::int32_t>();
      case 6:
        return static_cast<double>(take<float>());
      case 7:
        return take<std::uint8_t>();
      case 10:
        return static_cast<double>(take<std::uint64_t>());
      case 11:
        return static_cast<double>(take<std::int64_t>());
      case 12:
        return take<double>();
      default:
        BOOST_FAIL("unknown type " << type);
        return 0;
    }
  }

 private:
  const std::string& bytes_;
  std::size_t at_ = 0;
};

constexpr std::uint32_t text_type = 8, array_type = 9;                               // of metadata
constexpr std::uint32_t f32_type = 0, q4_0_type = 2, q8_0_type = 8, bf16_type = 30;  // of tensors

void read_pair(WrittenGguf& file, Cursor& cursor) {
  const std::string key = cursor.text();
  const auto type = cursor.take<std::uint32_t>();
  if (type == text_type) {
    file.texts[key] = cursor.text();
  } else if (type == array_type) {
    const auto element = cursor.take<std::uint32_t>();
    const auto count = cursor.take<std::uint64_t>();
    for (std::uint64_t i = 0; i < count; ++i) {
      if (element == text_type) {
        file.text_lists[key].push_back(cursor.text());
      } else {
        file.number_lists[key].push_back(cursor.number(element));
      }
    }
  } else {
    file.numbers[key] = cursor.number(type);
  }
}

std::uint64_t bytes_of_tensor(const WrittenGguf::Tensor& tensor) {
  std::uint64_t count = 1;
  for (const std::uint64_t dimension : tensor.dimensions) count *= dimension;
  if (tensor.type == f32_type) return count * 4;
  if (tensor.type == bf16_type) return count * 2;
  BOOST_REQUIRE((tensor.type == q8_0_type || tensor.type == q4_0_type));
  BOOST_REQUIRE(tensor.dimensions[0] % 32 == 0);
  return count / 32 * (tensor.type == q8_0_type ? 34 : 18);
}

/// One block of 32: an f16 scale, then 32 signed bytes, or 16 bytes with weight i in the low and weight 16 + i in the
/// high nibble of byte i, each 8 too large.
void append_block(std::uint32_t type, const char* block, std::vector<float>& values) {
  std::uint16_t bits;
  std::memcpy(&bits, block, 2);
  const float scale = f16_to_f32(bits);
  for (int i = 0; i < 32; ++i) {
    if (type == q8_0_type) {
      values.push_back(scale * static_cast<signed char>(block[2 + i]));
    } else {
      const int both = static_cast<unsigned char>(block[2 + i % 16]);
      values.push_back(scale * static_cast<float>((i < 16 ? both % 16 : both / 16) - 8));
    }
  }
}

}  // namespace

WrittenGguf WrittenGguf::read(const std::string& path) {
  WrittenGguf file;
  file.bytes = read_text(path);
  Cursor cursor(file.bytes);
  BOOST_REQUIRE(cursor.take<std::uint32_t>() == 0x46554747u);  // "GGUF"
  BOOST_REQUIRE(cursor.take<std::uint32_t>() == 3u);
  const auto tensor_count = cursor.take<std::uint64_t>(), pair_count = cursor.take<std::uint64_t>();
  for (std::uint64_t i = 0; i < pair_count; ++i) read_pair(file, cursor);
  if (file.numbers.contains("general.alignment"))
    file.alignment = static_cast<std::uint64_t>(file.numbers["general.alignment"]);
  std::vector<std::pair<std::uint64_t, std::string>> order;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    const std::string name = cursor.text();
    Tensor tensor;
    const auto dimensions = cursor.take<std::uint32_t>();
    for (std::uint32_t d = 0; d < dimensions; ++d) tensor.dimensions.push_back(cursor.take<std::uint64_t>());
    tensor.type = cursor.take<std::uint32_t>();
    tensor.begin = cursor.take<std::uint64_t>();
    BOOST_REQUIRE_MESSAGE(tensor.begin % file.alignment == 0, name);
    tensor.size = bytes_of_tensor(tensor);
    order.emplace_back(tensor.begin, name);
    BOOST_REQUIRE_MESSAGE(file.tensors.emplace(name, std::move(tensor)).second, name);
  }
  const auto aligned = [&](std::uint64_t value) {
    return (value + file.alignment - 1) / file.alignment * file.alignment;
  };
  const std::uint64_t data = aligned(cursor.at());
  std::sort(order.begin(), order.end());
  std::uint64_t end = 0;
  for (const auto& [begin, name] : order) {
    Tensor& tensor = file.tensors[name];
    BOOST_REQUIRE_MESSAGE(begin == end, name);
    end = aligned(begin + tensor.size);
    tensor.begin += data;
    BOOST_REQUIRE_MESSAGE(tensor.begin + tensor.size <= file.bytes.size(), name);
  }
  BOOST_REQUIRE(file.bytes.size() == data + end);
  return file;
}

std::vector<float> WrittenGguf::values(const std::string& name) const {
  const auto found = tensors.find(name);
  BOOST_REQUIRE_MESSAGE(found != tensors.end(), name);
  const char* at = bytes.data() + found->second.begin;
  const char* const end = at + found->second.size;
  const std::uint32_t type = found->second.type;
  std::vector<float> values;
  if (type == f32_type) {
    values.resize(found->second.size / 4);
    std::memcpy(values.data(), at, found->second.size);
  } else if (type == bf16_type) {
    for (; at < end; at += 2) {
      std::uint16_t bits;
      std::memcpy(&bits, at, 2);
      values.push_back(bf16_to_f32(bits));
    }
  } else {
    for (; at < end; at += type == q8_0_type ? 34 : 18) append_block(type, at, values);
  }
  return values;
}

}  // namespace tessera::test
