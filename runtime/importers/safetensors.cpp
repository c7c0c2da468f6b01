#include "runtime/importers/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/strict_json.hpp"
#include "runtime/tensor/half.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t header_bytes_max = limits::safetensors_header_bytes_max;
constexpr std::size_t dimensions_max = 8;
constexpr std::size_t chunk_values = std::size_t{1} << 19;
constexpr std::string_view metadata_key = "__metadata__";

std::optional<std::uint64_t> bytes_per_value(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::uint64_t> widths[] = {
      {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"I64", 8},  {"U64", 8},     {"I32", 4},    {"U32", 4},
      {"I16", 2}, {"U16", 2}, {"I8", 1},   {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  for (const auto& [name, width] : widths) {
    if (name == dtype) return width;
  }
  return std::nullopt;
}

/// The product, unless it exceeds 64 bits.
std::optional<std::uint64_t> times(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// Reads one tensor's description; errors name the file and the tensor.
class EntryParser {
 public:
  EntryParser(const json& value, const std::string& where, std::uint64_t data_begin, std::uint64_t data_end)
      : value_(value), where_(where), data_begin_(data_begin), data_bytes_(data_end - data_begin) {}

  Result<SafetensorsEntry> parse() const {
    if (!value_.is_object()) return wrong("is not described by an object");
    const auto dtype = value_.find("dtype"), shape = value_.find("shape"), offsets = value_.find("data_offsets");
    if (dtype == value_.end() || shape == value_.end() || offsets == value_.end() || value_.size() != 3) {
      return wrong("must have dtype, shape and data_offsets, and nothing else");
    }
    SafetensorsEntry entry;
    if (!dtype->is_string()) return wrong("has a dtype that is no text");
    entry.dtype = dtype->get<std::string>();
    const std::optional<std::uint64_t> width = bytes_per_value(entry.dtype);
    if (!width) {
      return Error{ErrorCode::unsupported, where_ + " has the dtype '" + entry.dtype.substr(0, 20) +
                                               "'; F32, F16, BF16 and F8_E4M3 can be imported"};
    }
    TESSERA_TRY(const std::uint64_t bytes, parse_shape(*shape, *width, entry.shape));
    TESSERA_CHECK(parse_offsets(*offsets, bytes, entry));
    return entry;
  }

 private:
  Error wrong(const std::string& cause) const {
    return {ErrorCode::corrupt, where_ + " " + cause + "; the file is damaged"};
  }

  Result<std::uint64_t> parse_shape(const json& value, std::uint64_t width, std::vector<std::uint64_t>& shape) const {
    if (!value.is_array() || value.size() > dimensions_max) {
      return wrong("has a shape that is no array of up to " + std::to_string(dimensions_max) + " numbers");
    }
    std::optional<std::uint64_t> bytes = width;
    for (const json& dimension : value) {
      if (!dimension.is_number_unsigned()) return wrong("has a dimension that is no count");
      shape.push_back(dimension.get<std::uint64_t>());
      bytes = times(*bytes, shape.back());
      if (!bytes) return wrong("has a shape of more than 2^64 bytes");
    }
    return *bytes;
  }

  Result<void> parse_offsets(const json& value, std::uint64_t bytes, SafetensorsEntry& entry) const {
    if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() || !value[1].is_number_unsigned()) {
      return wrong("has data_offsets that are not two counts");
    }
    const auto begin = value[0].get<std::uint64_t>(), end = value[1].get<std::uint64_t>();
    if (begin > end || end > data_bytes_) {
      return wrong("lies at bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                   " of the data, which has " + std::to_string(data_bytes_));
    }
    if (end - begin != bytes) {
      return wrong("has a shape of " + std::to_string(bytes) + " bytes, but " + std::to_string(end - begin) +
                   " bytes of data");
    }
    entry.begin = data_begin_ + begin;
    entry.end = data_begin_ + end;
    return {};
  }

  const json& value_;
  const std::string& where_;
  std::uint64_t data_begin_;
  std::uint64_t data_bytes_;
};

/// The tensors must tile [begin, end).
Result<void> check_tiling(const std::map<std::string, SafetensorsEntry>& tensors, std::uint64_t begin,
                          std::uint64_t end, const std::string& where) {
  using Named = std::pair<const std::string, SafetensorsEntry>;
  std::vector<const Named*> order;
  for (const Named& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t at = begin;
  for (const Named* const tensor : order) {
    if (tensor->second.begin != at) {
      return Error{ErrorCode::corrupt,
                   where + ": tensor " + tensor->first +
                       (tensor->second.begin < at ? " overlaps the one before it" : " leaves a gap before it") +
                       "; the file is damaged"};
    }
    at = tensor->second.end;
  }
  if (at == end) return {};
  return Error{ErrorCode::corrupt, where + ": has " + std::to_string(end - begin) +
                                       " bytes of data, but its tensors take " + std::to_string(at - begin) +
                                       "; it is damaged: fetch it again"};
}

Result<std::vector<char>> read_header(const ByteSource& file) {
  if (file.size() < length_bytes) {
    return Error{ErrorCode::corrupt, file.name() + ": has " + std::to_string(file.size()) +
                                         " bytes, too few for a safetensors file; it was truncated: fetch it again"};
  }
  std::uint64_t length;
  TESSERA_CHECK(file.read(0, std::as_writable_bytes(std::span(&length, 1))));
  if (length > header_bytes_max || length > file.size() - length_bytes) {
    return Error{ErrorCode::corrupt, file.name() + ": its header should have " + std::to_string(length) +
                                         " bytes, but the file has " + std::to_string(file.size()) +
                                         " and a header at most " + std::to_string(header_bytes_max) +
                                         "; it is damaged or no safetensors file: fetch it again"};
  }
  std::vector<char> header(length);
  TESSERA_CHECK(file.read(length_bytes, std::as_writable_bytes(std::span(header))));
  if (header.empty() || header.front() != '{') {
    return Error{ErrorCode::corrupt,
                 file.name() + ": its header is no JSON object; it is damaged or no safetensors file: fetch it again"};
  }
  return header;
}

Result<void> check_metadata(const json& metadata, const std::string& where) {
  const auto is_text = [](const json& value) { return value.is_string(); };
  if (metadata.is_object() && std::all_of(metadata.begin(), metadata.end(), is_text)) return {};
  return Error{ErrorCode::corrupt, where + ": its metadata is no object of texts; the file is damaged"};
}

}  // namespace

std::uint64_t SafetensorsEntry::count() const {
  std::uint64_t product = 1;
  for (const std::uint64_t dimension : shape) product *= dimension;
  return product;
}

SafetensorsFile::SafetensorsFile(std::unique_ptr<ByteSource> file, std::map<std::string, SafetensorsEntry> tensors)
    : file_(std::move(file)), tensors_(std::move(tensors)) {}

Result<SafetensorsFile> SafetensorsFile::open(std::unique_ptr<ByteSource> file) {
  TESSERA_TRY(const std::vector<char> text, read_header(*file));
  TESSERA_TRY(const json header, parse_strict_json({text.data(), text.size()}, file->name() + ": header"));
  const std::uint64_t data_begin = length_bytes + text.size();
  std::map<std::string, SafetensorsEntry> tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == metadata_key) {
      TESSERA_CHECK(check_metadata(value, file->name()));
      continue;
    }
    const std::string where = file->name() + ": tensor " + name.substr(0, 200);
    TESSERA_TRY(tensors[name], EntryParser(value, where, data_begin, file->size()).parse());
  }
  TESSERA_CHECK(check_tiling(tensors, data_begin, file->size(), file->name()));
  return SafetensorsFile(std::move(file), std::move(tensors));
}

void SafetensorsFile::put(const std::string& name, SafetensorsEntry entry) {
  TESSERA_ENSURE(entry.reader != nullptr);
  tensors_.insert_or_assign(name, std::move(entry));
}

bool SafetensorsFile::is_float(const SafetensorsEntry& entry) {
  return entry.reader != nullptr || entry.dtype == "F32" || entry.dtype == "F16" || entry.dtype == "BF16" ||
         entry.dtype == "F8_E4M3";
}

Result<void> SafetensorsFile::read_f8(const SafetensorsEntry& entry, std::span<float> out) const {
  std::vector<std::uint8_t> chunk(std::min(chunk_values, out.size()));
  for (std::size_t done = 0; done < out.size();) {
    const std::span<std::uint8_t> bits(chunk.data(), std::min(chunk.size(), out.size() - done));
    TESSERA_CHECK(file_->read(entry.begin + done, std::as_writable_bytes(bits)));
    std::transform(bits.begin(), bits.end(), out.begin() + static_cast<std::ptrdiff_t>(done), f8_e4m3_to_f32);
    done += bits.size();
  }
  return {};
}

Result<void> SafetensorsFile::read(const SafetensorsEntry& entry, std::span<float> out) const {
  TESSERA_ENSURE(is_float(entry) && out.size() == entry.count());
  if (entry.reader) return entry.reader->read(entry.begin / sizeof(float), out);
  if (entry.dtype == "F8_E4M3") return read_f8(entry, out);
  if (entry.dtype == "F32") return file_->read(entry.begin, std::as_writable_bytes(out));
  float (*const widen)(std::uint16_t) = entry.dtype == "F16" ? f16_to_f32 : bf16_to_f32;
  std::vector<std::uint16_t> chunk(std::min(chunk_values, out.size()));
  for (std::size_t done = 0; done < out.size();) {
    const std::span<std::uint16_t> bits(chunk.data(), std::min(chunk.size(), out.size() - done));
    TESSERA_CHECK(file_->read(entry.begin + done * sizeof(std::uint16_t), std::as_writable_bytes(bits)));
    std::transform(bits.begin(), bits.end(), out.begin() + static_cast<std::ptrdiff_t>(done), widen);
    done += bits.size();
  }
  return {};
}

}  // namespace tessera
