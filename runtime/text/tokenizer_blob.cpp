// Tokenizer blob, format versions 1 and 2. All numbers are little-endian; nothing is padded.
//
//   offset  size                content
//        0  8                   magic "TSRATOK\n"
//        8  u32                 version, 1 or 2
//       12  u32                 kind, a TokenizerKind; version 1 has 0 byte and 1 scored_bpe
//       16  u32                 flags: bit 0 add_space_prefix, bit 1 scores are present; version 2 also those of
//                               wide_flags below; others 0
//       20  i32                 bos, -1 for none
//       24  i32                 unknown, -1 for none
//       28  i32                 first_byte, -1 for none
//       32  u32                 E, the number of end-of-sequence ids, at most eos_ids_max
//       36  u32                 V, the number of pieces, at most limits::vocab_size_max
//       40  u32                 B, the bytes of all pieces together
//       44  i32 × E             end-of-sequence ids
//           f32 × V             scores, if present
//           u8  × V             flags of each piece: bit 0 special, in version 2 bit 1 unreachable; others 0
//           u16 × V             bytes of each piece, at most limits::piece_bytes_max; their sum is B
//           B                   the pieces, one after the other in id order, without terminators
//
// A blob of version 1 ends there: its size follows from the header, and any other size is refused. Version 2 goes on,
// every list with its u32 count before it:
//
//           u32                 word_characters_max
//           i32 × count         prefix
//           i32 × count         suffix
//           i32 × 2 × count     merges: left, right
//           … × count           added tokens: i32 id, u8 flags (bit 0 special, 1 normalized, 2 whole_word, 3
//           strips_left,
//                               4 strips_right), u16 bytes, text
//           … × count           normalizer: u8 op, u8 flags, u32 bytes, text, u32 bytes, replacement
//           … × count           splitter: u8 behavior, u8 inverted, u32 bytes, pattern
//
// and ends there. Version 2 is written, and accepted, only for what version 1 cannot say, so that every tokenizer has
// exactly one blob.
#include "runtime/text/tokenizer_blob.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

#include "runtime/base/limits.hpp"

namespace tessera {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");
static_assert(limits::piece_bytes_max <= UINT16_MAX);

constexpr std::string_view magic = "TSRATOK\n";
constexpr std::size_t header_bytes = 44;
constexpr std::uint32_t flag_space_prefix = 1, flag_scores = 2;
constexpr std::uint8_t piece_special = 1, piece_unreachable = 2;
constexpr std::pair<std::uint32_t, bool TokenizerData::*> wide_flags[] = {
    {1u << 2, &TokenizerData::framed},        {1u << 3, &TokenizerData::byte_symbols},
    {1u << 4, &TokenizerData::whole_words},   {1u << 5, &TokenizerData::merges_unknown},
    {1u << 6, &TokenizerData::fuses_unknown}, {1u << 7, &TokenizerData::strips_first_space},
    {1u << 8, &TokenizerData::cleans_up},     {1u << 9, &TokenizerData::scores_user_defined},
};
constexpr std::pair<std::uint8_t, bool AddedToken::*> added_flags[] = {
    {1, &AddedToken::special},     {2, &AddedToken::normalized},    {4, &AddedToken::whole_word},
    {8, &AddedToken::strips_left}, {16, &AddedToken::strips_right},
};

/// Bytes of the part that both versions have.
std::size_t common_bytes(std::size_t eos_ids, std::size_t pieces, bool scores, std::size_t piece_bytes) {
  return header_bytes + 4 * eos_ids + pieces * ((scores ? 4 : 0) + 1 + 2) + piece_bytes;
}

std::size_t all_piece_bytes(const TokenizerData& data) {
  std::size_t bytes = 0;
  for (const std::string& piece : data.pieces) bytes += piece.size();
  return bytes;
}

bool has_unreachable(const TokenizerData& data) {
  return std::find(data.unreachable.begin(), data.unreachable.end(), true) != data.unreachable.end();
}

/// What version 1 cannot say.
bool needs_version_2(const TokenizerData& data) {
  return data.kind > TokenizerKind::scored_bpe || !data.prefix.empty() || !data.suffix.empty() ||
         has_unreachable(data) || !data.merges.empty() || !data.added.empty() || !data.normalizer.empty() ||
         !data.splitter.empty() || data.word_characters_max != 0 ||
         std::any_of(std::begin(wide_flags), std::end(wide_flags), [&](const auto& flag) { return data.*flag.second; });
}

std::size_t wide_bytes(const TokenizerData& data) {
  if (!needs_version_2(data)) return 0;
  constexpr std::size_t counts = 7;
  std::size_t bytes = 4 * (counts + data.prefix.size() + data.suffix.size()) + 8 * data.merges.size();
  for (const AddedToken& token : data.added) bytes += 7 + token.text.size();
  for (const NormalizerStep& step : data.normalizer) bytes += 10 + step.text.size() + step.replacement.size();
  for (const SplitStep& step : data.splitter) bytes += 6 + step.pattern.size();
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
  void count(std::size_t value) { number(static_cast<std::uint32_t>(value)); }
  void text(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    blob_.insert(blob_.end(), bytes.begin(), bytes.end());
  }
  void sized_text(std::string_view value) {
    count(value.size());
    text(value);
  }
  std::vector<std::byte> take() { return std::move(blob_); }

 private:
  std::vector<std::byte> blob_;
};

/// Takes values from the front. What is not there comes as zeros, and is_short() stays true from then on.
class BlobReader {
 public:
  explicit BlobReader(std::span<const std::byte> blob) : rest_(blob) {}

  bool is_short() const { return short_; }
  std::size_t left() const { return rest_.size(); }

  template <typename Number>
  Number number() {
    static_assert(std::is_arithmetic_v<Number>);
    Number value{};
    if (const auto taken = take(sizeof value); !taken.empty()) std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }
  std::string text(std::size_t bytes) {
    const auto taken = take(bytes);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  /// A count of things of at least `bytes_each`, at most `count_max`; 0 and short where there cannot be so many.
  std::size_t count(std::size_t count_max, std::size_t bytes_each) {
    const std::size_t value = number<std::uint32_t>();
    if (value <= count_max && value <= rest_.size() / bytes_each) return value;
    short_ = true;
    return 0;
  }
  std::string sized_text(std::size_t bytes_max) { return text(count(bytes_max, 1)); }

 private:
  std::span<const std::byte> take(std::size_t bytes) {
    if (bytes > rest_.size() || short_) {
      short_ = true;
      return {};
    }
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }

  std::span<const std::byte> rest_;
  bool short_ = false;
};

/// The numbers of the header that say how long everything is.
struct Counts {
  std::uint32_t version;
  std::uint32_t eos_ids;
  std::uint32_t pieces;
  std::uint32_t piece_bytes;
  bool scores;
};

Error corrupt(const std::string& where, const std::string& cause) {
  return {ErrorCode::corrupt, where + ": tokenizer is damaged: " + cause + "; import the model again"};
}

Result<void> read_flags(std::uint32_t flags, std::uint32_t version, TokenizerData& data, const std::string& where) {
  std::uint32_t known = flag_space_prefix | flag_scores;
  data.add_space_prefix = (flags & flag_space_prefix) != 0;
  if (version > 1) {
    for (const auto& [bit, field] : wide_flags) {
      known |= bit;
      data.*field = (flags & bit) != 0;
    }
  }
  if ((flags & ~known) != 0) return corrupt(where, "unknown flags");
  return {};
}

Result<Counts> read_header(std::span<const std::byte> blob, BlobReader& reader, TokenizerData& data,
                           const std::string& where) {
  if (blob.size() > limits::tokenizer_bytes_max) return corrupt(where, "it is beyond the largest allowed size");
  if (blob.size() < header_bytes) return corrupt(where, "it ends inside its header");
  if (reader.text(magic.size()) != magic) return corrupt(where, "it does not begin as a tokenizer does");
  Counts counts{};
  counts.version = reader.number<std::uint32_t>();
  if (counts.version < 1 || counts.version > 2) {
    return Error{ErrorCode::unsupported, where + ": tokenizer has format version " + std::to_string(counts.version) +
                                             ", this program reads versions 1 and 2; import the model again"};
  }
  const auto kind = reader.number<std::uint32_t>();
  const TokenizerKind last_kind = counts.version == 1 ? TokenizerKind::scored_bpe : TokenizerKind::word_piece;
  if (kind > static_cast<std::uint32_t>(last_kind)) return corrupt(where, "unknown kind " + std::to_string(kind));
  data.kind = static_cast<TokenizerKind>(kind);
  const auto flags = reader.number<std::uint32_t>();
  TESSERA_CHECK(read_flags(flags, counts.version, data, where));
  data.bos = reader.number<TokenId>();
  data.unknown = reader.number<TokenId>();
  data.first_byte = reader.number<TokenId>();
  counts.eos_ids = reader.number<std::uint32_t>();
  counts.pieces = reader.number<std::uint32_t>();
  counts.piece_bytes = reader.number<std::uint32_t>();
  counts.scores = (flags & flag_scores) != 0;
  if (counts.eos_ids > limits::eos_ids_max || counts.pieces > limits::vocab_size_max) {
    return corrupt(where, "it announces " + std::to_string(counts.eos_ids) + " end-of-sequence ids and " +
                              std::to_string(counts.pieces) + " pieces");
  }
  const std::size_t expected = common_bytes(counts.eos_ids, counts.pieces, counts.scores, counts.piece_bytes);
  if (counts.version == 1 ? blob.size() != expected : blob.size() < expected) {
    return corrupt(
        where, "it has " + std::to_string(blob.size()) + " bytes, its header announces " + std::to_string(expected));
  }
  return counts;
}

/// The part that both versions have; read_header() has made sure that it is there.
Result<void> read_common(BlobReader& reader, const Counts& counts, TokenizerData& data, const std::string& where) {
  data.eos.resize(counts.eos_ids);
  for (TokenId& id : data.eos) id = reader.number<TokenId>();
  data.scores.resize(counts.scores ? counts.pieces : 0);
  for (float& score : data.scores) score = reader.number<float>();
  data.special.resize(counts.pieces);
  std::vector<bool> unreachable(counts.pieces);
  const std::uint8_t known = counts.version == 1 ? piece_special : piece_special | piece_unreachable;
  for (std::size_t id = 0; id < counts.pieces; ++id) {
    const auto flags = reader.number<std::uint8_t>();
    if ((flags & ~known) != 0) return corrupt(where, "unknown flags of id " + std::to_string(id));
    data.special[id] = (flags & piece_special) != 0;
    unreachable[id] = (flags & piece_unreachable) != 0;
  }
  if (std::find(unreachable.begin(), unreachable.end(), true) != unreachable.end()) {
    data.unreachable = std::move(unreachable);
  }
  std::vector<std::uint16_t> lengths(counts.pieces);
  std::size_t sum = 0;
  for (std::uint16_t& length : lengths) sum += length = reader.number<std::uint16_t>();
  if (sum != counts.piece_bytes) return corrupt(where, "the lengths of its pieces do not add up");
  data.pieces.reserve(counts.pieces);
  for (const std::uint16_t length : lengths) data.pieces.push_back(reader.text(length));
  return {};
}

AddedToken read_added(BlobReader& reader, bool& unknown_flags) {
  AddedToken token;
  token.id = reader.number<TokenId>();
  const auto flags = reader.number<std::uint8_t>();
  std::uint8_t known = 0;
  for (const auto& [bit, field] : added_flags) {
    known = static_cast<std::uint8_t>(known | bit);
    token.*field = (flags & bit) != 0;
  }
  unknown_flags = unknown_flags || (flags & ~known) != 0;
  token.text = reader.text(reader.number<std::uint16_t>());
  return token;
}

NormalizerStep read_normalizer_step(BlobReader& reader, bool& unknown_values) {
  NormalizerStep step;
  const auto op = reader.number<std::uint8_t>();
  unknown_values = unknown_values || op > static_cast<std::uint8_t>(NormalizerOp::nmt);
  step.op = static_cast<NormalizerOp>(op);
  step.flags = reader.number<std::uint8_t>();
  step.text = reader.sized_text(limits::charsmap_bytes_max);
  step.replacement = reader.sized_text(limits::step_bytes_max);
  return step;
}

SplitStep read_split_step(BlobReader& reader, bool& unknown_values) {
  SplitStep step;
  const auto behavior = reader.number<std::uint8_t>(), inverted = reader.number<std::uint8_t>();
  unknown_values = unknown_values || behavior > static_cast<std::uint8_t>(SplitBehavior::contiguous) || inverted > 1;
  step.behavior = static_cast<SplitBehavior>(behavior);
  step.inverted = inverted != 0;
  step.pattern = reader.sized_text(limits::step_bytes_max);
  return step;
}

/// The part that only version 2 has.
Result<void> read_wide(BlobReader& reader, TokenizerData& data, const std::string& where) {
  bool unknown_values = false;
  data.word_characters_max = reader.number<std::uint32_t>();
  data.prefix.resize(reader.count(limits::frame_ids_max, 4));
  for (TokenId& id : data.prefix) id = reader.number<TokenId>();
  data.suffix.resize(reader.count(limits::frame_ids_max, 4));
  for (TokenId& id : data.suffix) id = reader.number<TokenId>();
  data.merges.resize(reader.count(limits::merges_max, 8));
  for (Merge& merge : data.merges) {
    merge.left = reader.number<TokenId>();
    merge.right = reader.number<TokenId>();
  }
  for (std::size_t rest = reader.count(limits::added_tokens_max, 7); rest > 0; --rest) {
    data.added.push_back(read_added(reader, unknown_values));
  }
  for (std::size_t rest = reader.count(limits::text_steps_max, 10); rest > 0; --rest) {
    data.normalizer.push_back(read_normalizer_step(reader, unknown_values));
  }
  for (std::size_t rest = reader.count(limits::text_steps_max, 6); rest > 0; --rest) {
    data.splitter.push_back(read_split_step(reader, unknown_values));
  }
  if (reader.is_short()) return corrupt(where, "one of its lists does not fit into it");
  if (reader.left() > 0) return corrupt(where, "it goes on for " + std::to_string(reader.left()) + " bytes");
  if (unknown_values) return corrupt(where, "unknown flags or steps");
  if (!needs_version_2(data)) return corrupt(where, "it has format version 2 without need");
  return {};
}

void write_wide(BlobWriter& writer, const TokenizerData& data) {
  writer.number(data.word_characters_max);
  writer.count(data.prefix.size());
  for (const TokenId id : data.prefix) writer.number(id);
  writer.count(data.suffix.size());
  for (const TokenId id : data.suffix) writer.number(id);
  writer.count(data.merges.size());
  for (const Merge& merge : data.merges) {
    writer.number(merge.left);
    writer.number(merge.right);
  }
  writer.count(data.added.size());
  for (const AddedToken& token : data.added) {
    std::uint8_t flags = 0;
    for (const auto& [bit, field] : added_flags) flags = static_cast<std::uint8_t>(flags | (token.*field ? bit : 0));
    writer.number(token.id);
    writer.number(flags);
    writer.number(static_cast<std::uint16_t>(token.text.size()));
    writer.text(token.text);
  }
  writer.count(data.normalizer.size());
  for (const NormalizerStep& step : data.normalizer) {
    writer.number(static_cast<std::uint8_t>(step.op));
    writer.number(step.flags);
    writer.sized_text(step.text);
    writer.sized_text(step.replacement);
  }
  writer.count(data.splitter.size());
  for (const SplitStep& step : data.splitter) {
    writer.number(static_cast<std::uint8_t>(step.behavior));
    writer.number(static_cast<std::uint8_t>(step.inverted));
    writer.sized_text(step.pattern);
  }
}

}  // namespace

std::size_t tokenizer_blob_bytes(const TokenizerData& data) {
  return common_bytes(data.eos.size(), data.pieces.size(), !data.scores.empty(), all_piece_bytes(data)) +
         wide_bytes(data);
}

std::vector<std::byte> write_tokenizer_blob(const TokenizerData& data) {
  const bool is_wide = needs_version_2(data);
  BlobWriter writer(tokenizer_blob_bytes(data));
  std::uint32_t flags = (data.add_space_prefix ? flag_space_prefix : 0) | (data.scores.empty() ? 0 : flag_scores);
  for (const auto& [bit, field] : wide_flags) flags |= data.*field ? bit : 0;
  writer.text(magic);
  writer.number(is_wide ? std::uint32_t{2} : std::uint32_t{1});
  writer.number(static_cast<std::uint32_t>(data.kind));
  writer.number(flags);
  writer.number(data.bos);
  writer.number(data.unknown);
  writer.number(data.first_byte);
  writer.count(data.eos.size());
  writer.count(data.pieces.size());
  writer.count(all_piece_bytes(data));
  for (const TokenId id : data.eos) writer.number(id);
  for (const float score : data.scores) writer.number(score);
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    const bool unreachable = !data.unreachable.empty() && data.unreachable[id];
    writer.number(
        static_cast<std::uint8_t>((data.special[id] ? piece_special : 0) | (unreachable ? piece_unreachable : 0)));
  }
  for (const std::string& piece : data.pieces) writer.number(static_cast<std::uint16_t>(piece.size()));
  for (const std::string& piece : data.pieces) writer.text(piece);
  if (is_wide) write_wide(writer, data);
  return writer.take();
}

Result<TokenizerData> read_tokenizer_blob(std::span<const std::byte> blob, const std::string& where) {
  BlobReader reader(blob);
  TokenizerData data;
  TESSERA_TRY(const Counts counts, read_header(blob, reader, data, where));
  TESSERA_CHECK(read_common(reader, counts, data, where));
  if (counts.version == 2) TESSERA_CHECK(read_wide(reader, data, where));
  return data;
}

}  // namespace tessera
