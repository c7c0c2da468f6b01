#include "runtime/importers/gguf_file.hpp"

#include <cmath>
#include <cstring>
#include <optional>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

constexpr std::size_t shown_bytes_max = 100;

template <typename Number>
Number load(const std::byte* bytes) {
  Number value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

bool is_float(GgufValueType type) { return type == GgufValueType::f32 || type == GgufValueType::f64; }

double float_at(GgufValueType type, const std::byte* bytes) {
  return type == GgufValueType::f32 ? static_cast<double>(load<float>(bytes)) : load<double>(bytes);
}

/// Empty: no integer, or one beyond 63 bits.
std::optional<std::int64_t> integer_at(GgufValueType type, const std::byte* bytes) {
  switch (type) {
    case GgufValueType::u8:
      return load<std::uint8_t>(bytes);
    case GgufValueType::i8:
      return load<std::int8_t>(bytes);
    case GgufValueType::u16:
      return load<std::uint16_t>(bytes);
    case GgufValueType::i16:
      return load<std::int16_t>(bytes);
    case GgufValueType::u32:
      return load<std::uint32_t>(bytes);
    case GgufValueType::i32:
      return load<std::int32_t>(bytes);
    case GgufValueType::boolean:
      return load<std::uint8_t>(bytes) != 0 ? 1 : 0;
    case GgufValueType::i64:
      return load<std::int64_t>(bytes);
    case GgufValueType::u64: {
      const auto value = load<std::uint64_t>(bytes);
      if (value > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<std::int64_t>(value);
    }
    case GgufValueType::f32:
    case GgufValueType::f64:
    case GgufValueType::text:
    case GgufValueType::array:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t GgufTensorInfo::count() const {
  std::uint64_t product = 1;
  for (const std::uint64_t dimension : dimensions) product *= dimension;
  return product;
}

std::string_view GgufTexts::operator[](std::size_t index) const {
  TESSERA_ENSURE(index < places_.size());
  const std::byte* const place = header_ + places_[index];
  return {reinterpret_cast<const char*>(place + sizeof(std::uint64_t)), load<std::uint64_t>(place)};
}

std::vector<std::string> GgufFile::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : values_) keys.push_back(key);
  return keys;
}

Error GgufFile::wrong(std::string_view key, const std::string& cause) const {
  return {ErrorCode::corrupt, name() + ": its metadata " + std::string(key.substr(0, shown_bytes_max)) + " " + cause};
}

Result<const GgufFile::Value*> GgufFile::find(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) {
    return wrong(key, "is missing; the file is incomplete, or was made by a program too old: convert the model again");
  }
  return &found->second;
}

Result<const GgufFile::Value*> GgufFile::value(std::string_view key, bool is_array, const char* expected) const {
  TESSERA_TRY(const Value* const value, find(key));
  if (value->is_array == is_array) return value;
  return wrong(key, std::string(is_array ? "is no list, but should be " : "is a list, but should be ") + expected);
}

Result<std::string_view> GgufFile::text(std::string_view key) const {
  TESSERA_TRY(const Value* const found, value(key, false, "a text"));
  if (found->type != GgufValueType::text) return wrong(key, "is no text");
  const std::byte* const place = header_.data() + found->place;
  return std::string_view(reinterpret_cast<const char*>(place + sizeof(std::uint64_t)), load<std::uint64_t>(place));
}

Result<std::uint32_t> GgufFile::count(std::string_view key) const {
  TESSERA_TRY(const Value* const found, value(key, false, "a count"));
  const std::optional<std::int64_t> number = integer_at(found->type, header_.data() + found->place);
  if (!number || found->type == GgufValueType::boolean) return wrong(key, "is no whole number");
  if (*number < 0 || *number > UINT32_MAX) return wrong(key, "is " + std::to_string(*number) + ", which is no count");
  return static_cast<std::uint32_t>(*number);
}

Result<double> GgufFile::number(std::string_view key) const {
  TESSERA_TRY(const Value* const found, value(key, false, "a number"));
  const std::byte* const place = header_.data() + found->place;
  if (!is_float(found->type)) {
    const std::optional<std::int64_t> whole = integer_at(found->type, place);
    if (!whole || found->type == GgufValueType::boolean) return wrong(key, "is no number");
    return static_cast<double>(*whole);
  }
  const double number = float_at(found->type, place);
  if (!std::isfinite(number)) return wrong(key, "is " + std::to_string(number) + ", which is no finite number");
  return number;
}

Result<bool> GgufFile::flag(std::string_view key) const {
  TESSERA_TRY(const Value* const found, value(key, false, "true or false"));
  if (found->type != GgufValueType::boolean) return wrong(key, "is neither true nor false");
  return load<std::uint8_t>(header_.data() + found->place) != 0;
}

Result<std::string_view> GgufFile::text_or(std::string_view key, std::string_view otherwise) const {
  if (!contains(key)) return otherwise;
  return text(key);
}

Result<std::uint32_t> GgufFile::count_or(std::string_view key, std::uint32_t otherwise) const {
  if (!contains(key)) return otherwise;
  return count(key);
}

Result<double> GgufFile::number_or(std::string_view key, double otherwise) const {
  if (!contains(key)) return otherwise;
  return number(key);
}

Result<bool> GgufFile::flag_or(std::string_view key, bool otherwise) const {
  if (!contains(key)) return otherwise;
  return flag(key);
}

bool GgufFile::is_array(std::string_view key) const {
  const auto found = values_.find(key);
  return found != values_.end() && found->second.is_array;
}

Result<GgufTexts> GgufFile::texts(std::string_view key) const {
  TESSERA_TRY(const Value* const found, value(key, true, "a list of texts"));
  if (found->type != GgufValueType::text) return wrong(key, "is no list of texts");
  return GgufTexts(header_.data(), found->text_places);
}

Result<std::vector<std::int64_t>> GgufFile::integers(std::string_view key) const {
  TESSERA_TRY(const Value* const found, value(key, true, "a list of whole numbers"));
  if (found->type == GgufValueType::text || is_float(found->type)) return wrong(key, "is no list of whole numbers");
  const std::size_t width = *gguf_value_bytes(found->type);
  std::vector<std::int64_t> numbers(found->count);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto number = integer_at(found->type, header_.data() + found->place + i * width);
    if (!number) return wrong(key, "has a number of more than 63 bits at place " + std::to_string(i));
    numbers[i] = *number;
  }
  return numbers;
}

Result<std::vector<float>> GgufFile::floats(std::string_view key) const {
  TESSERA_TRY(const Value* const found, value(key, true, "a list of floats"));
  if (!is_float(found->type)) return wrong(key, "is no list of floats");
  const std::size_t width = *gguf_value_bytes(found->type);
  std::vector<float> numbers(found->count);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<float>(float_at(found->type, header_.data() + found->place + i * width));
  }
  return numbers;
}

const GgufTensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_numbers_.find(name);
  return found == tensor_numbers_.end() ? nullptr : &tensors_[found->second];
}

Result<void> GgufFile::read(const GgufTensorInfo& tensor, std::uint64_t offset, std::span<std::byte> out) const {
  TESSERA_ENSURE(offset <= tensor.bytes && out.size() <= tensor.bytes - offset);
  return file_->read(tensor.begin + offset, out);
}

}  // namespace tessera
