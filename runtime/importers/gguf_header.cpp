#include "runtime/importers/gguf_header.hpp"

#include <string_view>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/gguf_names.hpp"
#include "runtime/tensor/quantise.hpp"

namespace tessera {

namespace {

using ValueType = GgufValueType;
enum class TokenType : std::int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };
enum class FileType : std::uint32_t { all_f32 = 0, mostly_q4_0 = 2, mostly_q8_0 = 7, mostly_bf16 = 32 };

/// Appends values, and counts the pairs of the metadata.
class HeaderBytes {
 public:
  template <typename Number>
  void number(Number value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void raw(std::string_view value) { bytes_.append(value); }
  void text(std::string_view value) {
    number(std::uint64_t{value.size()});
    raw(value);
  }

  void pair(std::string_view key, std::uint32_t value) { start(key, ValueType::u32), number(value); }
  void pair(std::string_view key, float value) { start(key, ValueType::f32), number(value); }
  void pair(std::string_view key, std::string_view value) { start(key, ValueType::text), text(value); }
  void flag(std::string_view key, bool value) {
    start(key, ValueType::boolean);
    number(static_cast<std::uint8_t>(value));
  }
  /// `count` values of the type follow.
  void array(std::string_view key, ValueType type, std::uint64_t count) {
    start(key, ValueType::array);
    number(type);
    number(count);
  }

  std::uint64_t pairs() const { return pairs_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void start(std::string_view key, ValueType type) {
    ++pairs_;
    text(key);
    number(type);
  }

  std::string bytes_;
  std::uint64_t pairs_ = 0;
};

FileType file_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return FileType::all_f32;
    case DType::bf16:
      return FileType::mostly_bf16;
    case DType::q8:
      return FileType::mostly_q8_0;
    case DType::q4:
      return FileType::mostly_q4_0;
  }
  TESSERA_ENSURE(false);
}

void add_shape(HeaderBytes& header, const ModelShape& shape, const ImportOptions& options) {
  header.pair("general.architecture", std::string_view("llama"));
  header.pair("general.name", std::string_view(options.name));
  header.pair("general.alignment", static_cast<std::uint32_t>(gguf_alignment));
  header.pair("general.file_type", static_cast<std::uint32_t>(file_type_of(options.dtype.value_or(DType::f32))));
  header.pair("llama.context_length", shape.context_length);
  header.pair("llama.embedding_length", shape.dim);
  header.pair("llama.block_count", shape.layers);
  header.pair("llama.feed_forward_length", shape.ffn_dim);
  header.pair("llama.attention.head_count", shape.heads);
  header.pair("llama.attention.head_count_kv", shape.kv_heads);
  header.pair("llama.attention.key_length", shape.head_dim);
  header.pair("llama.attention.value_length", shape.head_dim);
  header.pair("llama.attention.layer_norm_rms_epsilon", shape.norm_eps);
  header.pair("llama.rope.dimension_count", shape.head_dim);
  header.pair("llama.rope.freq_base", static_cast<float>(shape.rope_theta));
  header.pair("llama.vocab_size", shape.vocab_size);
}

bool is_byte(const TokenizerData& data, std::size_t id) {
  if (data.first_byte < 0) return false;
  const auto first = static_cast<std::size_t>(data.first_byte);
  return id >= first && id - first < 256;
}

TokenType type_of(const TokenizerData& data, std::size_t id) {
  if (static_cast<TokenId>(id) == data.unknown) return TokenType::unknown;
  if (data.special[id]) return TokenType::control;
  return is_byte(data, id) ? TokenType::byte : TokenType::normal;
}

/// As the "llama" vocabulary spells it: bytes as <0xNN>, spaces as U+2581.
std::string gguf_piece(const TokenizerData& data, std::size_t id) {
  constexpr char digits[] = "0123456789ABCDEF";
  if (is_byte(data, id)) {
    const std::size_t value = id - static_cast<std::size_t>(data.first_byte);
    return std::string("<0x") + digits[value / 16] + digits[value % 16] + ">";
  }
  std::string text;
  for (const char character : data.pieces[id]) {
    if (character == ' ') {
      text += "\xe2\x96\x81";
    } else {
      text += character;
    }
  }
  return text;
}

void add_tokenizer(HeaderBytes& header, const TokenizerData& data) {
  const std::size_t count = data.pieces.size();
  header.pair("tokenizer.ggml.model", std::string_view("llama"));
  header.array("tokenizer.ggml.tokens", ValueType::text, count);
  for (std::size_t id = 0; id < count; ++id) header.text(gguf_piece(data, id));
  header.array("tokenizer.ggml.scores", ValueType::f32, count);
  for (std::size_t id = 0; id < count; ++id) {
    header.number(data.scores.empty() ? -static_cast<float>(id) : data.scores[id]);
  }
  header.array("tokenizer.ggml.token_type", ValueType::i32, count);
  for (std::size_t id = 0; id < count; ++id) header.number(type_of(data, id));
  if (data.bos >= 0) header.pair("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(data.bos));
  if (!data.eos.empty()) header.pair("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(data.eos.front()));
  if (data.unknown >= 0) header.pair("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(data.unknown));
  header.flag("tokenizer.ggml.add_bos_token", data.bos >= 0);
  header.flag("tokenizer.ggml.add_space_prefix", data.add_space_prefix);
}

}  // namespace

GgufTensorType gguf_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return GgufTensorType::f32;
    case DType::bf16:
      return GgufTensorType::bf16;
    case DType::q8:
      return GgufTensorType::q8_0;
    case DType::q4:
      return GgufTensorType::q4_0;
  }
  TESSERA_ENSURE(false);
}

std::size_t GgufTensor::row_bytes() const {
  const std::size_t columns = matrix.size.columns;
  switch (dtype) {
    case DType::f32:
      return columns * sizeof(float);
    case DType::bf16:
      return columns * sizeof(std::uint16_t);
    case DType::q8:  // f16 scale, 32 × int8
      return columns / gguf_block_values * (sizeof(std::uint16_t) + gguf_block_values);
    case DType::q4:
      return columns / gguf_block_values * sizeof(Q4Block);
  }
  TESSERA_ENSURE(false);
}

std::string gguf_header(const ModelShape& shape, const ImportOptions& options, const TokenizerData& tokenizer,
                        const std::vector<GgufTensor>& tensors) {
  HeaderBytes metadata;
  add_shape(metadata, shape, options);
  add_tokenizer(metadata, tokenizer);
  HeaderBytes header;
  header.raw("GGUF");
  header.number(std::uint32_t{3});
  header.number(std::uint64_t{tensors.size()});
  header.number(metadata.pairs());
  header.raw(metadata.bytes());
  for (const GgufTensor& tensor : tensors) {
    header.text(gguf_name_of(tensor.matrix.name));
    header.number(tensor.matrix.is_vector ? 1u : 2u);
    header.number(std::uint64_t{tensor.matrix.size.columns});
    if (!tensor.matrix.is_vector) header.number(std::uint64_t{tensor.matrix.size.rows});
    header.number(gguf_type_of(tensor.dtype));
    header.number(tensor.offset);
  }
  std::string bytes = header.bytes();
  bytes.resize(gguf_aligned(bytes.size()));
  return bytes;
}

}  // namespace tessera
