#include "runtime/text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/text/added_tokens.hpp"
#include "runtime/text/byte_pair.hpp"
#include "runtime/text/normalizer.hpp"
#include "runtime/text/splitter.hpp"
#include "runtime/text/tokenizer_blob.hpp"
#include "runtime/text/tokenizer_check.hpp"
#include "runtime/text/unigram.hpp"
#include "runtime/text/word_piece.hpp"

namespace tessera {
namespace {

constexpr TokenId byte_values = 256;

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

/// What the normalizer does to each character; the names of added tokens have to look like the text around them, but
/// get no prefix.
std::vector<NormalizerStep> steps_for_names(const TokenizerData& data) {
  std::vector<NormalizerStep> steps;
  for (const NormalizerStep& step : data.normalizer) {
    if (step.op <= NormalizerOp::strip_accents || step.op == NormalizerOp::bert) steps.push_back(step);
  }
  return steps;
}

/// Without the space that stands before punctuation and English contractions, as BERT's decoder writes them.
std::string cleaned_up(std::string text) {
  constexpr std::string_view joined[] = {" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're"};
  if (text == " ' ") return "'";
  for (const std::string_view start : joined) {
    if (text.starts_with(start)) return text.substr(1);
  }
  return text;
}

/// The text of a word_piece id that is not the first.
std::string word_piece_text(const TokenizerData& data, std::size_t id) {
  const std::string& piece = data.pieces[id];
  if (piece.starts_with(continuation_mark)) return piece.substr(continuation_mark.size());
  if (piece.empty()) return {};
  return data.cleans_up ? cleaned_up(" " + piece) : " " + piece;
}

}  // namespace

/// Everything that encoding and decoding look up; parts of it keep views into `data`.
struct Tokenizer::Tables {
  static Result<std::unique_ptr<const Tables>> build(TokenizerData data, const std::string& where);

  void encode_word(std::string_view word, struct EncodeScratch& scratch, std::vector<TokenId>& ids) const;
  void encode_text(std::string_view text, bool at_start, bool parse_special, struct EncodeScratch& scratch,
                   std::vector<TokenId>& ids) const;
  bool is_first(TokenId previous) const;

  TokenizerData data;
  std::array<char, byte_values> bytes{};
  std::vector<AddedToken> added;   // data.added, or, where there are none, the special pieces
  std::vector<std::string> names;  // of added tokens, as the normalizer leaves them
  AddedTokens written, normalized;
  Normalizer normalizer;
  Splitter splitter;
  BytePair byte_pair;
  Unigram unigram;
  WordPiece word_piece;
  std::vector<std::string> texts;  // word_piece: of ids that are not the first
};

/// What one call of encode() works with.
struct EncodeScratch {
  Splitter::Scratch words;
  BytePair::Scratch byte_pair;
  Unigram::Scratch unigram;
};

Result<std::unique_ptr<const Tokenizer::Tables>> Tokenizer::Tables::build(TokenizerData data,
                                                                          const std::string& where) {
  auto tables = std::make_unique<Tables>();
  tables->data = std::move(data);
  const TokenizerData& kept = tables->data;
  for (std::size_t value = 0; value < tables->bytes.size(); ++value) {
    tables->bytes[value] = static_cast<char>(value);
  }
  const std::vector<bool> usable = usable_pieces(kept);
  if (kept.kind == TokenizerKind::scored_bpe || kept.kind == TokenizerKind::merge_bpe) {
    TESSERA_TRY(tables->byte_pair, BytePair::create(kept, usable, where));
  } else if (kept.kind == TokenizerKind::unigram) {
    tables->unigram = Unigram(kept, usable);
  } else if (kept.kind == TokenizerKind::word_piece) {
    tables->word_piece = WordPiece(kept, usable);
    for (std::size_t id = 0; id < kept.pieces.size(); ++id) tables->texts.push_back(word_piece_text(kept, id));
  }
  TESSERA_TRY(tables->normalizer, Normalizer::create(kept.normalizer, where));
  TESSERA_TRY(tables->splitter, Splitter::create(kept.splitter, where));
  const std::vector<NormalizerStep> steps = steps_for_names(kept);
  TESSERA_TRY(const Normalizer of_names, Normalizer::create(steps, where));
  Regex::Scratch scratch;
  tables->added = kept.added.empty() ? special_pieces(kept) : kept.added;
  for (const AddedToken& token : tables->added) {
    tables->names.push_back(token.normalized ? of_names.apply(token.text, false, {}, scratch) : token.text);
  }
  const std::vector<std::string_view> names(tables->names.begin(), tables->names.end());
  tables->written = AddedTokens(tables->added, names, false);
  tables->normalized = AddedTokens(tables->added, names, true);
  return std::unique_ptr<const Tables>(std::move(tables));
}

Tokenizer::Tokenizer(std::unique_ptr<const Tables> tables) : tables_(std::move(tables)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::create(TokenizerData data, const std::string& where) {
  TESSERA_CHECK(check_tokenizer(data, where));
  TESSERA_TRY(auto tables, Tables::build(std::move(data), where));
  return Tokenizer(std::move(tables));
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

TokenId Tokenizer::start_id() const {
  const TokenizerData& data = tables_->data;
  if (!data.framed) return data.bos;
  return data.prefix.empty() ? -1 : data.prefix.front();
}

void Tokenizer::Tables::encode_word(std::string_view word, EncodeScratch& scratch, std::vector<TokenId>& ids) const {
  switch (data.kind) {
    case TokenizerKind::byte:
      for (const char byte : word) ids.push_back(data.first_byte + static_cast<unsigned char>(byte));
      return;
    case TokenizerKind::scored_bpe:
    case TokenizerKind::merge_bpe:
      return byte_pair.encode(word, scratch.byte_pair, ids);
    case TokenizerKind::unigram:
      return unigram.encode(word, scratch.unigram, ids);
    case TokenizerKind::word_piece:
      return word_piece.encode(word, ids);
  }
}

/// `text` holds no added token as it is written.
void Tokenizer::Tables::encode_text(std::string_view text, bool at_start, bool parse_special, EncodeScratch& scratch,
                                    std::vector<TokenId>& ids) const {
  std::string normal;
  if (data.add_space_prefix && at_start) {
    normal.reserve(text.size() + 1);
    normal += ' ';
    normal += text;
    text = normal;
  }
  if (!normalizer.empty()) {
    normal = normalizer.apply(text, at_start, normalized.names(), scratch.words.regex);
    text = normal;
  }
  const auto encode_words = [&](std::string_view part) {
    for (const std::string_view word : splitter.split(part, scratch.words)) encode_word(word, scratch, ids);
  };
  if (data.kind == TokenizerKind::unigram && data.scores_user_defined) return encode_words(text);
  for (const AddedTokens::Fragment& fragment : normalized.split(text, parse_special)) {
    if (fragment.id >= 0) {
      ids.push_back(fragment.id);
    } else {
      encode_words(fragment.text);
    }
  }
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const TokenizerData& data = tables_->data;
  std::vector<TokenId> ids;
  if (options.add_bos && data.framed) {
    ids = data.prefix;
  } else if (options.add_bos && data.bos >= 0) {
    ids.push_back(data.bos);
  }
  EncodeScratch scratch;
  for (const AddedTokens::Fragment& fragment : tables_->written.split(text, options.parse_special)) {
    if (fragment.id >= 0) {
      ids.push_back(fragment.id);
    } else {
      const bool at_start = fragment.text.data() == text.data();
      tables_->encode_text(fragment.text, at_start, options.parse_special, scratch, ids);
    }
  }
  if (options.add_eos) ids.insert(ids.end(), data.suffix.begin(), data.suffix.end());
  return ids;
}

/// Whether a piece after `previous` begins a text.
bool Tokenizer::Tables::is_first(TokenId previous) const {
  const auto index = static_cast<std::size_t>(previous);
  if (data.kind == TokenizerKind::word_piece) {
    return previous < 0 || (index < data.special.size() && data.special[index]);
  }
  if (data.strips_first_space) {
    return previous < 0 || previous == data.bos ||
           std::find(data.prefix.begin(), data.prefix.end(), previous) != data.prefix.end();
  }
  return data.add_space_prefix && previous == data.bos;
}

std::string_view Tokenizer::decode_piece(TokenId previous, TokenId id) const {
  const TokenizerData& data = tables_->data;
  TESSERA_ENSURE(id >= 0 && static_cast<std::size_t>(id) < data.pieces.size());
  const auto index = static_cast<std::size_t>(id);
  if (data.special[index]) return {};
  if (is_byte_id(data, id)) return {&tables_->bytes[static_cast<std::size_t>(id - data.first_byte)], 1};
  std::string_view piece = data.kind == TokenizerKind::word_piece ? tables_->texts[index] : data.pieces[index];
  if (piece.starts_with(' ') && tables_->is_first(previous)) piece.remove_prefix(1);
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
