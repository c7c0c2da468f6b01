#include "runtime/importers/sentencepiece_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

Error damaged(const std::string& where, const std::string& cause) {
  return {ErrorCode::corrupt, where + ": is damaged, or no SentencePiece model: " + cause + "; fetch it again"};
}

/// One field of a message: what its wire type holds.
struct Field {
  std::uint64_t number = 0;
  enum class Type { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 } type = Type::varint;
  std::uint64_t value = 0;  // varint, fixed64, fixed32
  std::string_view bytes;   // bytes
};

/// Takes the fields of a message from the front.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }

  /// Nothing where the bytes are no field.
  std::optional<Field> next() {
    Field field;
    const auto tag = varint();
    if (!tag || *tag >> 3 == 0 || *tag > UINT32_MAX) return std::nullopt;
    field.number = *tag >> 3;
    switch (*tag & 7) {
      case 0: {
        const auto value = varint();
        if (!value) return std::nullopt;
        field.value = *value;
        return field;
      }
      case 1:
        field.type = Field::Type::fixed64;
        return fixed(8, field) ? std::optional(field) : std::nullopt;
      case 5:
        field.type = Field::Type::fixed32;
        return fixed(4, field) ? std::optional(field) : std::nullopt;
      case 2: {
        field.type = Field::Type::bytes;
        const auto length = varint();
        if (!length || *length > rest_.size()) return std::nullopt;
        field.bytes = rest_.substr(0, *length);
        rest_.remove_prefix(*length);
        return field;
      }
      default:
        return std::nullopt;
    }
  }

 private:
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }
  bool fixed(std::size_t bytes, Field& field) {
    if (rest_.size() < bytes) return false;
    std::memcpy(&field.value, rest_.data(), bytes);
    rest_.remove_prefix(bytes);
    return true;
  }

  std::string_view rest_;
};

/// Calls `take(field) → Result<void>` for every field.
template <typename Take>
Result<void> for_each_field(std::string_view bytes, const std::string& where, const char* what, Take&& take) {
  Message message(bytes);
  while (!message.at_end()) {
    const std::optional<Field> field = message.next();
    if (!field) return damaged(where, std::string("a field of ") + what + " does not fit");
    TESSERA_CHECK(take(*field));
  }
  return {};
}

Result<void> read_piece(std::string_view bytes, const std::string& where, SentencePieceModel& model) {
  const std::string what = "piece " + std::to_string(model.names.size());
  std::string name;
  float score = 0;
  std::uint64_t type = 1;
  TESSERA_CHECK(for_each_field(bytes, where, "a piece", [&](const Field& field) -> Result<void> {
    if (field.number == 1 && field.type == Field::Type::bytes) name = field.bytes;
    if (field.number == 2 && field.type == Field::Type::fixed32) {
      const auto bits = static_cast<std::uint32_t>(field.value);
      std::memcpy(&score, &bits, sizeof score);
    }
    if (field.number == 3 && field.type == Field::Type::varint) type = field.value;
    return {};
  }));
  if (model.names.size() == limits::vocab_size_max) {
    return damaged(where, "it has more than " + std::to_string(limits::vocab_size_max) + " pieces");
  }
  if (name.empty()) return damaged(where, what + " is empty");
  if (name.size() > limits::piece_bytes_max) return damaged(where, what + " is too long");
  if (valid_utf8_bytes(name) != name.size()) return damaged(where, what + " is no valid UTF-8");
  if (!std::isfinite(score)) return damaged(where, "the score of " + what + " is no finite number");
  if (type < 1 || type > 6) return damaged(where, what + " has an unknown type");
  model.names.push_back(std::move(name));
  model.scores.push_back(score);
  model.types.push_back(static_cast<PieceType>(type));
  return {};
}

/// An int32 travels as a varint of 64 bits.
TokenId id_of(const Field& field) {
  return std::max(-1, static_cast<TokenId>(static_cast<std::uint32_t>(field.value)));
}

Result<void> read_trainer(std::string_view bytes, const std::string& where, SentencePieceModel& model) {
  std::uint64_t model_type = 1;
  TESSERA_CHECK(for_each_field(bytes, where, "the trainer's settings", [&](const Field& field) -> Result<void> {
    if (field.type != Field::Type::varint) return {};
    if (field.number == 3) model_type = field.value;
    if (field.number == 24) model.whitespace_as_suffix = field.value != 0;
    if (field.number == 35) model.byte_fallback = field.value != 0;
    if (field.number == 40) model.unknown = id_of(field);
    if (field.number == 41) model.bos = id_of(field);
    if (field.number == 42) model.eos = id_of(field);
    return {};
  }));
  if (model_type != 1 && model_type != 2) {
    return Error{ErrorCode::unsupported, where +
                                             ": is a SentencePiece model of words or characters; unigram and BPE "
                                             "models can be imported"};
  }
  model.is_unigram = model_type == 1;
  return {};
}

Result<void> read_normalizer(std::string_view bytes, const std::string& where, SentencePieceModel& model) {
  return for_each_field(bytes, where, "the normalizer's settings", [&](const Field& field) -> Result<void> {
    if (field.number == 2 && field.type == Field::Type::bytes) model.charsmap = field.bytes;
    if (field.type != Field::Type::varint) return {};
    if (field.number == 3) model.add_dummy_prefix = field.value != 0;
    if (field.number == 4) model.remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) model.escape_whitespaces = field.value != 0;
    return {};
  });
}

/// Pieces, and what their types mean.
void add_pieces(SentencePieceModel& model, TokenizerData& data) {
  const std::size_t count = model.names.size();
  data.special.assign(count, false);
  std::vector<bool> unreachable(count);
  for (std::size_t id = 0; id < count; ++id) {
    const std::string& name = model.names[id];
    const auto token = static_cast<TokenId>(id);
    switch (model.types[id]) {
      case PieceType::unknown:
      case PieceType::control:
        data.special[id] = true;
        data.added.push_back({token, name, true, false, false, false, false});
        data.pieces.push_back(name);
        continue;
      case PieceType::user_defined:
        data.added.push_back(
            {token, model.escape_whitespaces ? with_plain_spaces(name) : name, false, true, false, false, false});
        break;
      case PieceType::byte:
        unreachable[id] = data.first_byte < 0;
        break;
      case PieceType::unused:
        unreachable[id] = true;
        break;
      case PieceType::normal:
        break;
    }
    data.pieces.push_back(model.escape_whitespaces ? with_plain_spaces(name) : name);
  }
  if (std::find(unreachable.begin(), unreachable.end(), true) != unreachable.end()) {
    data.unreachable = std::move(unreachable);
  }
}

void add_normalizer(SentencePieceModel& model, TokenizerData& data) {
  if (!model.charsmap.empty() || model.remove_extra_whitespaces) {
    const std::uint8_t flags = model.remove_extra_whitespaces ? NormalizerStep::flag_trim : 0;
    data.normalizer.push_back({NormalizerOp::charsmap, flags, std::move(model.charsmap), {}});
  }
  if (model.add_dummy_prefix) {
    const NormalizerOp op = model.whitespace_as_suffix ? NormalizerOp::append : NormalizerOp::prepend;
    data.normalizer.push_back({op, 0, " ", {}});
  }
  if (model.escape_whitespaces) add_space_mark_step(data.normalizer);
}

}  // namespace

bool looks_like_sentencepiece(std::span<const std::byte> start) {
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  // The first field of a piece, as its file begins with them: tag, length, then the piece's own tag.
  return text.size() > 4 && text[0] == '\x0A' && static_cast<unsigned char>(text[1]) < 0x80 && text[2] == '\x0A';
}

Result<SentencePieceModel> parse_sentencepiece(std::span<const std::byte> bytes, const std::string& where) {
  SentencePieceModel model;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  model.is_unigram = true;  // the default of a missing setting
  TESSERA_CHECK(for_each_field(text, where, "the model", [&](const Field& field) -> Result<void> {
    if (field.type != Field::Type::bytes) return {};
    if (field.number == 1) return read_piece(field.bytes, where, model);
    if (field.number == 2) return read_trainer(field.bytes, where, model);
    return field.number == 3 ? read_normalizer(field.bytes, where, model) : Result<void>();
  }));
  if (model.names.empty()) return damaged(where, "it has no pieces");
  return model;
}

Result<TokenizerData> tokenizer_from_sentencepiece(SentencePieceModel model, const std::string& where) {
  const auto count = static_cast<TokenId>(model.names.size());
  TokenizerData data;
  data.kind = model.is_unigram ? TokenizerKind::unigram : TokenizerKind::scored_bpe;
  data.framed = true;
  const bool has_bytes = std::find(model.types.begin(), model.types.end(), PieceType::byte) != model.types.end();
  data.first_byte = has_bytes ? first_byte_id(model.names) : -1;
  if (has_bytes && data.first_byte < 0) {
    return Error{ErrorCode::unsupported, where +
                                             ": its pieces of bytes do not follow each other from <0x00> to <0xFF>; "
                                             "such a vocabulary cannot be imported"};
  }
  const auto known = [count](TokenId id) { return id >= 0 && id < count ? id : -1; };
  data.unknown = known(model.unknown);
  data.bos = known(model.bos);
  data.eos.clear();
  if (const TokenId eos = known(model.eos); eos >= 0) data.eos = {eos};
  add_pieces(model, data);
  data.scores = std::move(model.scores);
  add_normalizer(model, data);
  data.merges_unknown = data.kind == TokenizerKind::scored_bpe;
  data.fuses_unknown = data.first_byte < 0;
  data.scores_user_defined = model.is_unigram;
  data.strips_first_space = model.add_dummy_prefix && !model.whitespace_as_suffix;
  if (data.bos >= 0) {
    data.prefix = {data.bos};
  } else {
    data.suffix = data.eos;
  }
  return data;
}

}  // namespace tessera
