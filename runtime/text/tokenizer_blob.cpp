// Tokenizer blob, format version 1. All numbers are little-endian; nothing is padded.
//
//   offset  size                content
//        0  8                   magic "TSRATOK\n"
//        8  u32                 version, 1
//       12  u32                 kind: 0 byte, 1 scored_bpe
//       16  u32                 flags: bit 0 add_space_prefix, bit 1 scores are present; others 0
//       20  i32                 bos, -1 for none
//       24  i32                 unknown, -1 for none
//       28  i32                 first_byte, -1 for none
//       32  u32                 E, the number of end-of-sequence ids, at most eos_ids_max
//       36  u32                 V, the number of pieces, at most limits::vocab_size_max
//       40  u32                 B, the bytes of all pieces together
//       44  i32 × E             end-of-sequence ids
//           f32 × V             scores, if present
//           u8  × V             flags of each piece: bit 0 special; others 0
//           u16 × V             bytes of each piece, at most limits::piece_bytes_max; their sum is B
//           B                   the pieces, one after the other in id order, without terminators
//
// The blob ends there: its size follows from the header, and any other size is refused.
#include "runtime/text/tokenizer_blob.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "runtime/base/limits.hpp"

namespace tessera {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");
static_assert(limits::piece_bytes_max <= UINT16_MAX);

constexpr std::string_view magic = "TSRATOK\n";
constexpr std::uint32_t version = 1;
constexpr std::size_t header_bytes = 44;
constexpr std::uint32_t flag_space_prefix = 1, flag_scores = 2;
constexpr std::uint8_t piece_special = 1;

std::size_t blob_bytes(std::size_t eos_ids, std::size_t pieces, bool scores, std::size_t piece_bytes) {
  return header_bytes + 4 * eos_ids + pieces * ((scores ? 4 : 0) + 1 + 2) + piece_bytes;
}

std::size_t all_piece_bytes(const TokenizerData& data) {
  std::size_t bytes = 0;
  for (const std::string& piece : data.pieces) bytes += piece.size();
  return bytes;
}

class BlobWriter {
 public:
  explicit BlobWriter(std::size_t bytes) { blob_.reserve(bytes); }

  template <typename Number>
  void number(Number value) {
    static_assert(std::is_arithmetic_v<Number>);
    const auto bytes = std::bit_cast<std::array<std::byte, sizeof(Number)>>(value);
    blob_.insert(blob_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    blob_.insert(blob_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> take() { return std::move(blob_); }

 private:
  std::vector<std::byte> blob_;
};

/// The caller has made sure that what it takes is there.
class BlobReader {
 public:
  explicit BlobReader(std::span<const std::byte> blob) : rest_(blob) {}

  template <typename Number>
  Number number() {
    static_assert(std::is_arithmetic_v<Number>);
    Number value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text(std::size_t bytes) {
    const auto taken = take(bytes);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  std::span<const std::byte> take(std::size_t bytes) {
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }

  std::span<const std::byte> rest_;
};

/// The numbers of the header that say how long everything is.
struct Counts {
  std::uint32_t eos_ids;
  std::uint32_t pieces;
  std::uint32_t piece_bytes;
  bool scores;
};

Error corrupt(const std::string& where, const std::string& cause) {
  return {ErrorCode::corrupt, where + ": tokenizer is damaged: " + cause + "; import the model again"};
}

Result<Counts> read_header(std::span<const std::byte> blob, BlobReader& reader, TokenizerData& data,
                           const std::string& where) {
  if (blob.size() > limits::tokenizer_bytes_max) return corrupt(where, "it is beyond the largest allowed size");
  if (blob.size() < header_bytes) return corrupt(where, "it ends inside its header");
  if (reader.text(magic.size()) != magic) return corrupt(where, "it does not begin as a tokenizer does");
  if (const auto found = reader.number<std::uint32_t>(); found != version) {
    return Error{ErrorCode::unsupported, where + ": tokenizer has format version " + std::to_string(found) +
                                             ", this program reads version 1; import the model again"};
  }
  const auto kind = reader.number<std::uint32_t>();
  if (kind > static_cast<std::uint32_t>(TokenizerKind::scored_bpe)) {
    return corrupt(where, "unknown kind " + std::to_string(kind));
  }
  data.kind = static_cast<TokenizerKind>(kind);
  const auto flags = reader.number<std::uint32_t>();
  if ((flags & ~(flag_space_prefix | flag_scores)) != 0) return corrupt(where, "unknown flags");
  data.add_space_prefix = (flags & flag_space_prefix) != 0;
  data.bos = reader.number<TokenId>();
  data.unknown = reader.number<TokenId>();
  data.first_byte = reader.number<TokenId>();
  Counts counts{};
  counts.eos_ids = reader.number<std::uint32_t>();
  counts.pieces = reader.number<std::uint32_t>();
  counts.piece_bytes = reader.number<std::uint32_t>();
  counts.scores = (flags & flag_scores) != 0;
  if (counts.eos_ids > limits::eos_ids_max || counts.pieces > limits::vocab_size_max) {
    return corrupt(where, "it announces " + std::to_string(counts.eos_ids) + " end-of-sequence ids and " +
                              std::to_string(counts.pieces) + " pieces");
  }
  const std::size_t expected = blob_bytes(counts.eos_ids, counts.pieces, counts.scores, counts.piece_bytes);
  if (blob.size() != expected) {
    return corrupt(
        where, "it has " + std::to_string(blob.size()) + " bytes, its header announces " + std::to_string(expected));
  }
  return counts;
}

}  // namespace

std::size_t tokenizer_blob_bytes(const TokenizerData& data) {
  return blob_bytes(data.eos.size(), data.pieces.size(), !data.scores.empty(), all_piece_bytes(data));
}

std::vector<std::byte> write_tokenizer_blob(const TokenizerData& data) {
  BlobWriter writer(tokenizer_blob_bytes(data));
  writer.text(magic);
  writer.number(version);
  writer.number(static_cast<std::uint32_t>(data.kind));
  writer.number((data.add_space_prefix ? flag_space_prefix : 0) | (data.scores.empty() ? 0 : flag_scores));
  writer.number(data.bos);
  writer.number(data.unknown);
  writer.number(data.first_byte);
  writer.number(static_cast<std::uint32_t>(data.eos.size()));
  writer.number(static_cast<std::uint32_t>(data.pieces.size()));
  writer.number(static_cast<std::uint32_t>(all_piece_bytes(data)));
  for (const TokenId id : data.eos) writer.number(id);
  for (const float score : data.scores) writer.number(score);
  for (const bool special : data.special) writer.number(special ? piece_special : std::uint8_t{0});
  for (const std::string& piece : data.pieces) writer.number(static_cast<std::uint16_t>(piece.size()));
  for (const std::string& piece : data.pieces) writer.text(piece);
  return writer.take();
}

Result<TokenizerData> read_tokenizer_blob(std::span<const std::byte> blob, const std::string& where) {
  BlobReader reader(blob);
  TokenizerData data;
  TESSERA_TRY(const Counts counts, read_header(blob, reader, data, where));

  data.eos.resize(counts.eos_ids);
  for (TokenId& id : data.eos) id = reader.number<TokenId>();
  data.scores.resize(counts.scores ? counts.pieces : 0);
  for (float& score : data.scores) score = reader.number<float>();
  data.special.resize(counts.pieces);
  for (std::size_t id = 0; id < counts.pieces; ++id) {
    const auto flags = reader.number<std::uint8_t>();
    if ((flags & ~piece_special) != 0) return corrupt(where, "unknown flags of id " + std::to_string(id));
    data.special[id] = flags != 0;
  }
  std::vector<std::uint16_t> lengths(counts.pieces);
  std::size_t sum = 0;
  for (std::uint16_t& length : lengths) sum += length = reader.number<std::uint16_t>();
  if (sum != counts.piece_bytes) return corrupt(where, "the lengths of its pieces do not add up");
  data.pieces.reserve(counts.pieces);
  for (const std::uint16_t length : lengths) data.pieces.push_back(reader.text(length));
  return data;
}

}  // namespace tessera
