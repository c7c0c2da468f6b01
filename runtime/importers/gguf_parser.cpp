// GgufFile::open: reads the header from front to back, and checks each length before it is used.
#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <utility>

#include "runtime/importers/gguf_file.hpp"

namespace tessera {

namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
constexpr std::uint32_t alignment_default = 32;
constexpr const char* alignment_key = "general.alignment";
constexpr std::size_t shown_bytes_max = 100;
/// The least that a pair and the description of a tensor take: a short name, numbers.
constexpr std::uint64_t pair_bytes_min = 8 + 1 + 4 + 1, tensor_bytes_min = 8 + 1 + 4 + 8 + 4 + 8;

/// Names come from the file: what would break a line of text is left out.
std::string shown(std::string_view name) {
  std::string text;
  for (const char character : name.substr(0, shown_bytes_max)) {
    if (static_cast<unsigned char>(character) >= 0x20 && character != 0x7f) text += character;
  }
  return text;
}

}  // namespace

class GgufParser {
 public:
  explicit GgufParser(GgufFile& file) : file_(file), source_(*file.file_) {}

  Result<void> parse() {
    TESSERA_CHECK(parse_start());
    for (std::uint64_t pair = 0; pair < pair_count_; ++pair) TESSERA_CHECK(parse_pair());
    TESSERA_TRY(const std::uint64_t alignment, alignment_of_data());
    file_.tensors_.reserve(tensor_count_);
    for (std::uint64_t tensor = 0; tensor < tensor_count_; ++tensor) TESSERA_CHECK(parse_tensor(alignment));
    TESSERA_CHECK(place_tensors(alignment));
    file_.header_.resize(at_);
    file_.header_.shrink_to_fit();
    return {};
  }

 private:
  Error damaged(const std::string& cause) const {
    return {ErrorCode::corrupt, source_.name() + ": " + cause + "; it is damaged: fetch it again"};
  }

  /// Makes the next `bytes` bytes of the header be in memory.
  Result<void> need(std::uint64_t bytes) {
    if (bytes <= file_.header_.size() - at_) return {};
    if (bytes > source_.size() - at_) {
      return damaged("ends inside its header: " + std::to_string(bytes) + " bytes should follow byte " +
                     std::to_string(at_) + " of " + std::to_string(source_.size()));
    }
    if (bytes > limits::gguf_header_bytes_max - at_) {
      return Error{ErrorCode::exhausted, source_.name() + ": its header has more than " +
                                             std::to_string(limits::gguf_header_bytes_max) + " bytes"};
    }
    const std::size_t old = file_.header_.size();
    const std::uint64_t wanted = std::max<std::uint64_t>(at_ + bytes, old + chunk_bytes);
    file_.header_.resize(std::min({wanted, source_.size(), std::uint64_t{limits::gguf_header_bytes_max}}));
    return source_.read(old, std::span(file_.header_).subspan(old));
  }

  template <typename Number>
  Result<Number> take() {
    TESSERA_CHECK(need(sizeof(Number)));
    Number value;
    std::memcpy(&value, file_.header_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  /// Valid until the next call that reads.
  Result<std::string_view> take_text() {
    TESSERA_TRY(const auto length, take<std::uint64_t>());
    TESSERA_CHECK(need(length));
    const std::string_view text(reinterpret_cast<const char*>(file_.header_.data() + at_), length);
    at_ += length;
    return text;
  }

  Result<void> parse_start() {
    TESSERA_TRY(const auto magic, take<std::uint32_t>());
    if (magic != 0x46554747u) return damaged("does not begin with GGUF");
    TESSERA_TRY(file_.version_, take<std::uint32_t>());
    if (file_.version_ != 2 && file_.version_ != 3) {
      const bool swapped = file_.version_ != 0 && (file_.version_ & 0xffffffu) == 0;
      return Error{ErrorCode::unsupported, source_.name() +
                                               (swapped ? ": is a big-endian GGUF file"
                                                        : ": is GGUF version " + std::to_string(file_.version_)) +
                                               "; little-endian files of versions 2 and 3 can be read: convert it"};
    }
    TESSERA_TRY(tensor_count_, take<std::uint64_t>());
    TESSERA_TRY(pair_count_, take<std::uint64_t>());
    TESSERA_CHECK(check_count(tensor_count_, limits::gguf_tensors_max, tensor_bytes_min, "tensors"));
    return check_count(pair_count_, limits::gguf_pairs_max, pair_bytes_min, "pairs of metadata");
  }

  Result<void> check_count(std::uint64_t count, std::uint64_t count_max, std::uint64_t bytes_min, const char* what) {
    if (count > (source_.size() - at_) / bytes_min) {
      return damaged("should have " + std::to_string(count) + " " + what + ", but only " +
                     std::to_string(source_.size()) + " bytes");
    }
    if (count <= count_max) return {};
    return Error{ErrorCode::exhausted, source_.name() + ": has " + std::to_string(count) + " " + what + "; at most " +
                                           std::to_string(count_max) + " can be read"};
  }

  Result<void> parse_pair() {
    TESSERA_TRY(const std::string_view text, take_text());
    if (text.empty() || text.size() > limits::gguf_key_bytes_max) {
      return damaged("has a key of " + std::to_string(text.size()) + " bytes in its metadata");
    }
    const std::string key(text);
    TESSERA_TRY(const auto type, take<std::uint32_t>());
    GgufFile::Value value;
    value.type = static_cast<GgufValueType>(type);
    value.is_array = value.type == GgufValueType::array;
    if (value.is_array) {
      TESSERA_TRY(const auto element, take<std::uint32_t>());
      TESSERA_TRY(value.count, take<std::uint64_t>());
      value.type = static_cast<GgufValueType>(element);
      if (value.type == GgufValueType::array) {
        return Error{ErrorCode::unsupported,
                     source_.name() + ": its metadata " + shown(key) + " is a list of lists, which is not supported"};
      }
    }
    TESSERA_CHECK(parse_value(key, value));
    if (!file_.values_.emplace(key, std::move(value)).second) {
      return damaged("has the metadata " + shown(key) + " twice");
    }
    return {};
  }

  /// Of a single value or of all elements; sets its place.
  Result<void> parse_value(const std::string& key, GgufFile::Value& value) {
    const std::optional<std::size_t> width = gguf_value_bytes(value.type);
    if (!width) {
      return damaged("has metadata " + shown(key) + " of the unknown type " +
                     std::to_string(static_cast<std::uint32_t>(value.type)));
    }
    value.place = at_;
    if (value.type != GgufValueType::text) {
      if (value.count > (source_.size() - at_) / *width) {
        return damaged("should have " + std::to_string(value.count) + " values in its metadata " + shown(key) +
                       ", but ends before");
      }
      TESSERA_CHECK(need(value.count * *width));
      at_ += value.count * *width;
      return {};
    }
    if (!value.is_array) {
      TESSERA_TRY(const std::string_view text, take_text());
      static_cast<void>(text);
      return {};
    }
    TESSERA_CHECK(check_count(value.count, limits::gguf_header_bytes_max, sizeof(std::uint64_t), "texts in a list"));
    for (std::uint64_t i = 0; i < value.count; ++i) {
      value.text_places.push_back(static_cast<std::uint32_t>(at_));
      TESSERA_TRY(const std::string_view text, take_text());
      static_cast<void>(text);
    }
    return {};
  }

  Result<std::uint64_t> alignment_of_data() {
    TESSERA_TRY(const std::uint32_t alignment, file_.count_or(alignment_key, alignment_default));
    if (std::has_single_bit(alignment) && alignment >= 8 && alignment <= limits::gguf_alignment_max) return alignment;
    return damaged("has the alignment " + std::to_string(alignment) + ", which is no power of two from 8 to " +
                   std::to_string(limits::gguf_alignment_max));
  }

  Result<void> parse_tensor(std::uint64_t alignment) {
    TESSERA_TRY(const std::string_view name, take_text());
    if (name.empty() || name.size() > limits::gguf_tensor_name_bytes_max) {
      return damaged("has a tensor whose name has " + std::to_string(name.size()) + " bytes");
    }
    GgufTensorInfo tensor;
    tensor.name = name;
    const std::string what = "tensor " + shown(name);
    TESSERA_TRY(const auto dimensions, take<std::uint32_t>());
    if (dimensions == 0 || dimensions > limits::gguf_dimensions_max) {
      return damaged(what + " has " + std::to_string(dimensions) + " dimensions; allowed are 1 to " +
                     std::to_string(limits::gguf_dimensions_max));
    }
    for (std::uint32_t i = 0; i < dimensions; ++i) {
      TESSERA_TRY(const auto dimension, take<std::uint64_t>());
      tensor.dimensions.push_back(dimension);
    }
    TESSERA_TRY(const auto type, take<std::uint32_t>());
    tensor.type = static_cast<GgufTensorType>(type);
    TESSERA_TRY(tensor.begin, take<std::uint64_t>());
    TESSERA_TRY(tensor.bytes, bytes_of(tensor, what));
    if (tensor.begin % alignment != 0) {
      return damaged(what + " begins at byte " + std::to_string(tensor.begin) +
                     " of the data, which is no multiple of " + std::to_string(alignment));
    }
    if (!file_.tensor_numbers_.emplace(tensor.name, file_.tensors_.size()).second)
      return damaged("has the " + what + " twice");
    file_.tensors_.push_back(std::move(tensor));
    return {};
  }

  Result<std::uint64_t> bytes_of(const GgufTensorInfo& tensor, const std::string& what) const {
    const GgufTensorFormat* const format = gguf_tensor_format(tensor.type);
    if (!format) {
      return Error{ErrorCode::unsupported, source_.name() + ": " + what + " has the type " +
                                               std::to_string(static_cast<std::uint32_t>(tensor.type)) +
                                               ", which is not known here; convert the model with another type"};
    }
    if (tensor.dimensions.front() % format->block_values != 0) {
      return damaged(what + " has rows of " + std::to_string(tensor.dimensions.front()) + " values, but " +
                     format->name + " comes in blocks of " + std::to_string(format->block_values));
    }
    std::uint64_t bytes = format->block_bytes;
    bool overflows = false;
    for (std::size_t i = 0; i < tensor.dimensions.size(); ++i) {
      const std::uint64_t dimension = tensor.dimensions[i];
      if (dimension == 0) return damaged(what + " has a dimension of 0");
      overflows =
          overflows || __builtin_mul_overflow(bytes, i == 0 ? dimension / format->block_values : dimension, &bytes);
    }
    if (overflows) return damaged(what + " has more than 2^64 bytes");
    return bytes;
  }

  /// Offsets in the data become offsets in the file; tensors must lie inside and not overlap.
  Result<void> place_tensors(std::uint64_t alignment) {
    const std::uint64_t data = (at_ + alignment - 1) / alignment * alignment;
    const std::uint64_t data_bytes = source_.size() > data ? source_.size() - data : 0;
    std::vector<GgufTensorInfo*> order;
    for (GgufTensorInfo& tensor : file_.tensors_) {
      if (tensor.begin > data_bytes || tensor.bytes > data_bytes - tensor.begin) {
        return damaged("tensor " + shown(tensor.name) + " has " + std::to_string(tensor.bytes) + " bytes at byte " +
                       std::to_string(tensor.begin) + " of the data, which has " + std::to_string(data_bytes));
      }
      tensor.begin += data;
      order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(),
              [](const GgufTensorInfo* a, const GgufTensorInfo* b) { return a->begin < b->begin; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (order[i]->begin - order[i - 1]->begin >= order[i - 1]->bytes) continue;
      return damaged("tensors " + shown(order[i - 1]->name) + " and " + shown(order[i]->name) + " overlap");
    }
    return {};
  }

  GgufFile& file_;
  const ByteSource& source_;
  std::size_t at_ = 0;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t pair_count_ = 0;
};

Result<GgufFile> GgufFile::open(std::unique_ptr<ByteSource> source) {
  GgufFile file(std::move(source));
  try {
    TESSERA_CHECK(GgufParser(file).parse());
  } catch (const std::exception&) {  // of allocation
    return Error{ErrorCode::exhausted, file.name() + ": there is no memory for its header; close other programs"};
  }
  return file;
}

}  // namespace tessera
