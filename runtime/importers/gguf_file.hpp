// GgufFile: an open GGUF file (github.com/ggml-org/ggml, docs/gguf.md): its metadata, and where its tensors lie.
//
//   | "GGUF" | u32 version | u64 tensors | u64 pairs | metadata: key, type, value … | tensors: name, dimensions, type,
//   offset … | data |
//
//   TESSERA_TRY(auto source, open_byte_source("m.gguf"));
//   TESSERA_TRY(const GgufFile file, GgufFile::open(std::move(source)));
//   TESSERA_TRY(const std::string_view model, file.text("tokenizer.ggml.model"));
//   TESSERA_TRY(const GgufTexts tokens, file.texts("tokenizer.ggml.tokens"));      // views, nothing is copied
//   for (std::size_t id = 0; id < tokens.size(); ++id) use(tokens[id]);
//
// Everything is checked when it is opened: lengths against the file and the limits before they are used, no key and no
// tensor twice, tensors inside the file, aligned, and apart from each other. Versions 2 and 3, little-endian; arrays
// of arrays, which nobody writes, are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/gguf_types.hpp"

namespace tessera {

namespace limits {
/// Bytes before the tensors' data, which are kept in memory. A vocabulary of 256 Ki pieces with merges takes a fifth.
inline constexpr std::size_t gguf_header_bytes_max = std::size_t{64} << 20;
inline constexpr std::uint64_t gguf_pairs_max = std::uint64_t{1} << 16;
inline constexpr std::uint64_t gguf_tensors_max = std::uint64_t{1} << 17;
inline constexpr std::size_t gguf_key_bytes_max = 1024;
inline constexpr std::size_t gguf_tensor_name_bytes_max = 255;
inline constexpr std::uint32_t gguf_dimensions_max = 4;
inline constexpr std::uint32_t gguf_alignment_max = 1u << 20;
}  // namespace limits

struct GgufTensorInfo {
  std::string name;
  std::vector<std::uint64_t> dimensions;  ///< fastest first: columns, then rows; 1 to 4, none 0
  GgufTensorType type = GgufTensorType::f32;
  std::uint64_t begin = 0;  ///< in the file
  std::uint64_t bytes = 0;

  const GgufTensorFormat& format() const { return *gguf_tensor_format(type); }
  /// Product of the dimensions; whole blocks in every row.
  std::uint64_t count() const;
};

/// The texts of an array: views into the file's header, valid as long as the GgufFile lives (moving it is fine).
class GgufTexts {
 public:
  GgufTexts() = default;
  GgufTexts(const std::byte* header, std::span<const std::uint32_t> places) : header_(header), places_(places) {}
  std::size_t size() const { return places_.size(); }
  std::string_view operator[](std::size_t index) const;

 private:
  const std::byte* header_ = nullptr;
  std::span<const std::uint32_t> places_;  // of the length before each text
};

/// Immutable after opening; any thread. Memory: the header, and 4 bytes for each text in an array.
class GgufFile {
 public:
  /// Errors: corrupt, unsupported (another version, big-endian, nested arrays, an unknown type), exhausted (limits).
  static Result<GgufFile> open(std::unique_ptr<ByteSource> file);

  const std::string& name() const { return file_->name(); }
  const ByteSource& source() const { return *file_; }
  std::uint32_t version() const { return version_; }

  /// Metadata. Errors name file and key: corrupt, when the key is missing or its value is not of this kind.
  bool contains(std::string_view key) const { return values_.find(key) != values_.end(); }
  std::vector<std::string> keys() const;
  /// Valid as long as the file lives; any bytes.
  Result<std::string_view> text(std::string_view key) const;
  /// An integer of any type that is neither negative nor beyond 32 bits.
  Result<std::uint32_t> count(std::string_view key) const;
  /// A float or integer of any type; finite.
  Result<double> number(std::string_view key) const;
  Result<bool> flag(std::string_view key) const;
  /// The same, or `otherwise` where the key is missing.
  Result<std::string_view> text_or(std::string_view key, std::string_view otherwise) const;
  Result<std::uint32_t> count_or(std::string_view key, std::uint32_t otherwise) const;
  Result<double> number_or(std::string_view key, double otherwise) const;
  Result<bool> flag_or(std::string_view key, bool otherwise) const;
  /// Whether the value is an array, of texts or of anything else.
  bool is_array(std::string_view key) const;
  Result<GgufTexts> texts(std::string_view key) const;
  /// An array of integers (or booleans) of any type, none beyond 63 bits.
  Result<std::vector<std::int64_t>> integers(std::string_view key) const;
  /// An array of f32 or f64; any value, also NaN.
  Result<std::vector<float>> floats(std::string_view key) const;

  const std::vector<GgufTensorInfo>& tensors() const { return tensors_; }
  /// Null: none of this name.
  const GgufTensorInfo* find_tensor(std::string_view name) const;
  /// Bytes of a tensor from `offset` on; beyond its end is a bug.
  Result<void> read(const GgufTensorInfo& tensor, std::uint64_t offset, std::span<std::byte> out) const;

 private:
  friend class GgufParser;
  struct Value {
    GgufValueType type = GgufValueType::u8;  // of each element, for an array
    bool is_array = false;
    std::uint64_t count = 1;
    std::size_t place = 0;                   // in header_: of the value, or of an array's first
    std::vector<std::uint32_t> text_places;  // of an array of texts
  };

  explicit GgufFile(std::unique_ptr<ByteSource> file) : file_(std::move(file)) {}
  Error wrong(std::string_view key, const std::string& cause) const;
  Result<const Value*> value(std::string_view key, bool is_array, const char* expected) const;
  Result<const Value*> find(std::string_view key) const;

  std::unique_ptr<ByteSource> file_;
  std::uint32_t version_ = 0;
  std::vector<std::byte> header_;
  std::map<std::string, Value, std::less<>> values_;
  std::vector<GgufTensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> tensor_numbers_;
};

}  // namespace tessera
