#include "runtime/text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/text/scored_bpe.hpp"
#include "runtime/text/special_text.hpp"
#include "runtime/text/tokenizer_blob.hpp"

namespace tessera {
namespace {

constexpr TokenId byte_values = 256;

/// Whether `id` stands for one raw byte.
bool is_byte(const TokenizerData& data, TokenId id) {
  return data.first_byte >= 0 && id >= data.first_byte && id - data.first_byte < byte_values;
}

Error invalid(const std::string& where, const std::string& cause) {
  return {ErrorCode::corrupt,
          where + ": tokenizer makes no sense: " + cause + "; import the model again with a matching tokenizer"};
}

Result<void> check_sizes(const TokenizerData& data, const std::string& where) {
  const std::size_t pieces = data.pieces.size();
  if (pieces == 0) return invalid(where, "it has no pieces");
  if (pieces > limits::vocab_size_max) {
    return invalid(where, std::to_string(pieces) + " pieces are more than " + std::to_string(limits::vocab_size_max));
  }
  for (std::size_t id = 0; id < pieces; ++id) {
    if (data.pieces[id].size() > limits::piece_bytes_max) {
      return invalid(where, "the piece of id " + std::to_string(id) + " is longer than " +
                                std::to_string(limits::piece_bytes_max) + " bytes");
    }
  }
  if (data.special.size() != pieces) return invalid(where, "not every piece is marked as special or plain");
  if (data.eos.size() > limits::eos_ids_max) {
    return invalid(where, "more than " + std::to_string(limits::eos_ids_max) + " end-of-sequence ids");
  }
  const bool has_scores = data.kind == TokenizerKind::scored_bpe;
  if (data.scores.size() != (has_scores ? pieces : 0)) {
    return invalid(where, std::to_string(data.scores.size()) + " scores for " + std::to_string(pieces) + " pieces");
  }
  if (tokenizer_blob_bytes(data) > limits::tokenizer_bytes_max) {
    return invalid(where, "it is larger than " + std::to_string(limits::tokenizer_bytes_max) + " bytes");
  }
  return {};
}

Result<void> check_ids(const TokenizerData& data, const std::string& where) {
  const auto pieces = static_cast<TokenId>(data.pieces.size());
  const auto inside = [pieces](TokenId id) { return id >= 0 && id < pieces; };
  if (data.bos != -1 && !inside(data.bos)) return invalid(where, "its beginning-of-sequence id is not in it");
  if (data.unknown != -1 && !inside(data.unknown)) return invalid(where, "its id for unknown text is not in it");
  if (!std::all_of(data.eos.begin(), data.eos.end(), inside)) {
    return invalid(where, "an end-of-sequence id is not in it");
  }
  if (data.first_byte != -1 && (data.first_byte < 0 || data.first_byte > pieces - byte_values)) {
    return invalid(where, "its 256 byte ids are not in it");
  }
  if (data.kind == TokenizerKind::byte && (data.first_byte == -1 || data.add_space_prefix)) {
    return invalid(where, "a byte tokenizer has byte ids and no space prefix");
  }
  for (TokenId value = 0; data.first_byte >= 0 && value < byte_values; ++value) {
    const TokenId id = data.first_byte + value;
    if (data.special[static_cast<std::size_t>(id)]) {
      return invalid(where, "id " + std::to_string(id) + " is a byte and special at once");
    }
  }
  for (std::size_t id = 0; id < data.scores.size(); ++id) {
    if (!std::isfinite(data.scores[id])) {
      return invalid(where, "the score of id " + std::to_string(id) + " is no finite number");
    }
  }
  return {};
}

/// Plain text becomes neither special pieces nor, by their names, byte ids: those are the fallback.
std::vector<bool> usable_pieces(const TokenizerData& data) {
  std::vector<bool> usable(data.pieces.size());
  for (std::size_t id = 0; id < usable.size(); ++id) {
    usable[id] = !data.special[id] && !is_byte(data, static_cast<TokenId>(id));
  }
  return usable;
}

/// 80 syllables of one consonant and one vowel; `number` in bijective base 80, so that different numbers give different
/// words.
std::string noise_word(std::uint32_t number) {
  constexpr std::string_view consonants = "bdfghjklmnprstvz", vowels = "aeiou";
  constexpr auto syllables = static_cast<std::uint32_t>(consonants.size() * vowels.size());
  std::string word = " ";
  for (std::uint32_t rest = number + 1; rest > 0; rest = (rest - 1) / syllables) {
    const std::uint32_t syllable = (rest - 1) % syllables;
    word += consonants[syllable % consonants.size()];
    word += vowels[syllable / consonants.size()];
  }
  return word;
}

}  // namespace

struct Tokenizer::Tables {
  explicit Tables(TokenizerData d) : data(std::move(d)) {
    if (data.kind == TokenizerKind::scored_bpe) bpe = ScoredBpe(data.pieces, data.scores, usable_pieces(data));
    for (std::size_t value = 0; value < bytes.size(); ++value) bytes[value] = static_cast<char>(value);
  }

  TokenizerData data;
  ScoredBpe bpe;  // keeps views into data
  std::array<char, byte_values> bytes;
};

Tokenizer::Tokenizer(std::unique_ptr<const Tables> tables) : tables_(std::move(tables)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::create(TokenizerData data, const std::string& where) {
  TESSERA_CHECK(check_sizes(data, where));
  TESSERA_CHECK(check_ids(data, where));
  return Tokenizer(std::make_unique<const Tables>(std::move(data)));
}

Result<Tokenizer> Tokenizer::parse(std::span<const std::byte> blob, const std::string& where) {
  TESSERA_TRY(TokenizerData data, read_tokenizer_blob(blob, where));
  return create(std::move(data), where);
}

std::vector<std::byte> Tokenizer::serialize() const { return write_tokenizer_blob(tables_->data); }

const TokenizerData& Tokenizer::data() const { return tables_->data; }

std::uint32_t Tokenizer::vocab_size() const { return static_cast<std::uint32_t>(tables_->data.pieces.size()); }

bool Tokenizer::is_eos(TokenId id) const {
  const std::vector<TokenId>& eos = tables_->data.eos;
  return std::find(eos.begin(), eos.end(), id) != eos.end();
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const TokenizerData& data = tables_->data;
  std::vector<TokenId> ids;
  if (options.add_bos && data.bos >= 0) ids.push_back(data.bos);
  if (!options.parse_special) {
    encode_plain(text, true, ids);
    return ids;
  }
  bool at_start = true;
  for (const SpecialPart& part : split_at_special(data, text)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      encode_plain(part.text, at_start, ids);
    }
    at_start = false;
  }
  return ids;
}

void Tokenizer::encode_plain(std::string_view text, bool at_start, std::vector<TokenId>& ids) const {
  const TokenizerData& data = tables_->data;
  if (data.kind == TokenizerKind::byte) {
    ids.reserve(ids.size() + text.size());
    for (const char byte : text) ids.push_back(data.first_byte + static_cast<unsigned char>(byte));
  } else if (data.add_space_prefix && at_start && !text.empty()) {
    std::string prefixed;
    prefixed.reserve(text.size() + 1);
    prefixed += ' ';
    prefixed += text;
    tables_->bpe.encode(prefixed, data.first_byte, data.unknown, ids);
  } else {
    tables_->bpe.encode(text, data.first_byte, data.unknown, ids);
  }
}

std::string_view Tokenizer::decode_piece(TokenId previous, TokenId id) const {
  const TokenizerData& data = tables_->data;
  TESSERA_ENSURE(id >= 0 && static_cast<std::size_t>(id) < data.pieces.size());
  const auto index = static_cast<std::size_t>(id);
  if (data.special[index]) return {};
  if (is_byte(data, id)) return {&tables_->bytes[static_cast<std::size_t>(id - data.first_byte)], 1};
  std::string_view piece = data.pieces[index];
  if (data.add_space_prefix && previous == data.bos && piece.starts_with(' ')) piece.remove_prefix(1);
  return piece;
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  std::string text;
  TokenId previous = -1;
  for (const TokenId id : ids) {
    text += decode_piece(previous, id);
    previous = id;
  }
  return text;
}

Result<TokenizerData> synthetic_byte_tokenizer(std::uint32_t vocab_size) {
  TokenizerData data;
  const auto fixed = static_cast<std::uint32_t>(data.first_byte + byte_values);
  if (vocab_size < fixed || vocab_size > limits::vocab_size_max) {
    return Error{ErrorCode::invalid_argument,
                 "a byte tokenizer of " + std::to_string(vocab_size) + " entries is impossible; use a vocabulary of " +
                     std::to_string(fixed) + " to " + std::to_string(limits::vocab_size_max)};
  }
  data.pieces = {"<unk>", "<s>", "</s>"};
  data.special.assign(vocab_size, false);
  std::fill_n(data.special.begin(), data.pieces.size(), true);
  data.pieces.reserve(vocab_size);
  for (int value = 0; value < byte_values; ++value) data.pieces.emplace_back(1, static_cast<char>(value));
  for (std::uint32_t id = fixed; id < vocab_size; ++id) data.pieces.push_back(noise_word(id - fixed));
  return data;
}

}  // namespace tessera
