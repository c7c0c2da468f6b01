// TokenizerData: everything that a tokenizer is, as plain values. Built by the importers, held by the blob of a
// checkpoint (tokenizer_blob.cpp), checked by Tokenizer::create.
//
// Text takes this way to ids; a kind uses what it needs of it:
//
//   text ─ added tokens ─ normalizer ─ added tokens ─ splitter ─ model ─ prefix, suffix ─► ids
//           (as written)                (normalized)   words     pieces
//
// A word separator that a vocabulary writes as U+2581 is a plain space here, in pieces as in patterns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"

namespace tessera {

namespace limits {
/// Merges of a merge_bpe tokenizer.
inline constexpr std::size_t merges_max = std::size_t{1} << 20;
/// Tokens that are found in text by name.
inline constexpr std::size_t added_tokens_max = std::size_t{1} << 16;
/// Steps of a normalizer, and of a splitter.
inline constexpr std::size_t text_steps_max = 32;
/// Bytes of a step's pattern or text; a map of characters may be as large as charsmap_bytes_max.
inline constexpr std::size_t step_bytes_max = std::size_t{1} << 14;
inline constexpr std::size_t charsmap_bytes_max = std::size_t{8} << 20;
/// Ids that are put before or after a text.
inline constexpr std::size_t frame_ids_max = 16;
/// Characters of a word_piece word; longer ones are unknown.
inline constexpr std::uint32_t word_characters_max = 4096;
}  // namespace limits

/// How words become pieces. Values are stored in blobs.
enum class TokenizerKind : std::uint8_t {
  byte = 0,        ///< every byte is a token (id 3 + byte); larger ids have a piece for decoding only
  scored_bpe = 1,  ///< merge the neighbours that together are the piece with the best score (SentencePiece, tiktoken)
  merge_bpe = 2,   ///< merge the neighbours that come first in a list of pairs (GPT-2)
  unigram = 3,     ///< the pieces with the best sum of scores (SentencePiece)
  word_piece = 4,  ///< the longest piece that begins the rest of the word; pieces inside a word begin with "##" (BERT)
};

/// Two pieces that may be joined; its rank is its place in the list. Their concatenation is a piece.
struct Merge {
  TokenId left = 0;
  TokenId right = 0;
  bool operator==(const Merge&) const = default;
};

/// A token that is found in text by its name, before the model sees anything.
struct AddedToken {
  TokenId id = 0;
  std::string text;
  bool special = false;      ///< found only where the caller asks for it, and without text when decoded
  bool normalized = false;   ///< looked for after the normalizer, not before
  bool whole_word = false;   ///< only where no letter, digit or underscore touches it
  bool strips_left = false;  ///< takes the white space before it along
  bool strips_right = false;
  bool operator==(const AddedToken&) const = default;
};

/// What a step of the normalizer does. Values are stored in blobs.
enum class NormalizerOp : std::uint8_t {
  nfc = 0,
  nfd = 1,
  nfkc = 2,
  nfkd = 3,
  lower_case = 4,
  strip_accents = 5,   ///< removes nonspacing marks
  strip = 6,           ///< removes white space: flag_left at the start, flag_right at the end
  prepend = 7,         ///< puts `text` before a text that is not empty; flag_first: only before the first fragment;
                       ///< flag_unless_space: not before a space
  append = 8,          ///< puts `text` after a text that is not empty
  replace = 9,         ///< each `text` by `replacement`
  replace_regex = 10,  ///< each match of the pattern `text` by `replacement`
  charsmap = 11,       ///< SentencePiece's map of characters, `text`, which may be empty; flag_trim: no spaces at the
                       ///< ends, and no two in a row
  bert = 12,           ///< flag_clean, flag_chinese, flag_accents, flag_lower, in this order
  nmt = 13,            ///< removes control characters, turns other spaces into plain ones
};

struct NormalizerStep {
  static constexpr std::uint8_t flag_left = 1, flag_right = 2;                                       // strip
  static constexpr std::uint8_t flag_first = 1, flag_unless_space = 2;                               // prepend
  static constexpr std::uint8_t flag_trim = 1;                                                       // charsmap
  static constexpr std::uint8_t flag_clean = 1, flag_chinese = 2, flag_accents = 4, flag_lower = 8;  // bert

  NormalizerOp op = NormalizerOp::nfc;
  std::uint8_t flags = 0;
  std::string text;
  std::string replacement;
  bool operator==(const NormalizerStep&) const = default;
};

/// What happens to the matches of a splitter's pattern, as in Hugging Face's tokenizers. Values are stored in blobs.
enum class SplitBehavior : std::uint8_t {
  removed = 0,
  isolated = 1,      ///< each match is a word, and what lies between matches
  merged_left = 2,   ///< a match ends the word before it
  merged_right = 3,  ///< a match begins the word after it
  contiguous = 4,    ///< matches that follow each other are one word
};

struct SplitStep {
  std::string pattern;  ///< PCRE2, UTF, with Unicode classes
  SplitBehavior behavior = SplitBehavior::isolated;
  bool inverted = false;  ///< what lies between the matches counts as a match, and the other way round
  bool operator==(const SplitStep&) const = default;
};

struct TokenizerData {
  TokenizerKind kind = TokenizerKind::byte;
  std::vector<std::string> pieces;  ///< raw bytes of each id as they appear in text; those of byte ids are ignored
  std::vector<float> scores;        ///< as long as pieces (scored_bpe, unigram) or empty
  std::vector<bool> special;        ///< as long as pieces: BOS, EOS, … have no text
  TokenId bos = 1;                  ///< -1: none
  TokenId unknown = 0;              ///< -1: none
  std::vector<TokenId> eos = {2};   ///< any of these ends a generation
  TokenId first_byte = 3;           ///< id of byte 0x00; 256 consecutive ids; -1: no byte fallback
  bool add_space_prefix = false;    ///< scored_bpe: a space is put before non-empty text, and dropped after BOS

  // What follows is stored by format version 2 only; the defaults are what version 1 means.
  bool framed = false;            ///< prefix and suffix say what stands around a text; else it is BOS
  std::vector<TokenId> prefix;    ///< put before a text on request, usually BOS
  std::vector<TokenId> suffix;    ///< put after a text on request
  std::vector<bool> unreachable;  ///< as long as pieces or empty: never made from text by the model
  std::vector<Merge> merges;      ///< merge_bpe
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;  ///< in order
  std::vector<SplitStep> splitter;         ///< in order; none: the text is one word
  bool byte_symbols = false;               ///< BPE begins with bytes instead of characters
  bool whole_words = false;                ///< BPE: a word that is a piece stays one
  bool merges_unknown = false;             ///< BPE: characters without a piece may be merged to one that has
  bool fuses_unknown = false;              ///< unknown characters that follow each other are one unknown
  bool strips_first_space = false;         ///< the first piece of a decoded text loses one leading space
  bool scores_user_defined = false;  ///< unigram: added tokens that are looked for after the normalizer are not cut
                                     ///< out, but get a score that favours them
  bool cleans_up = false;            ///< word_piece: no space before punctuation and English contractions
  std::uint32_t word_characters_max = 0;  ///< word_piece: longer words are unknown; 0: any length
};

}  // namespace tessera
