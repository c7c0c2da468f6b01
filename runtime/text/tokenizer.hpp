// Tokenizer: text to ids and back. Stored inside the checkpoint as one opaque blob in the format of tokenizer_blob.cpp.
//
//   TESSERA_TRY(auto tokenizer, Tokenizer::parse(blob, "m.h5"));
//   std::vector<TokenId> ids = tokenizer.encode("Once upon a time", {.add_bos = true});
//   std::string bytes = tokenizer.decode_piece(previous, id);        // raw bytes, maybe part of a character
//
// Immutable after construction; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

enum class TokenizerKind : std::uint8_t {
  byte,        ///< every byte is a token (id 3 + byte); larger ids have a piece for decoding only
  scored_bpe,  ///< SentencePiece-style BPE: merge the pair whose piece has the best score; byte fallback (llama2.c)
};

/// What the blob holds. Built by the importers.
struct TokenizerData {
  TokenizerKind kind = TokenizerKind::byte;
  std::vector<std::string> pieces;  ///< raw bytes of each id as they appear in text; those of byte ids are ignored
  std::vector<float> scores;        ///< as long as pieces (scored_bpe) or empty
  std::vector<bool> special;        ///< as long as pieces: BOS, EOS, … have no text
  TokenId bos = 1;                  ///< -1: none
  TokenId unknown = 0;              ///< -1: none
  std::vector<TokenId> eos = {2};   ///< any of these ends a generation
  TokenId first_byte = 3;           ///< id of byte 0x00; 256 consecutive ids; -1: no byte fallback
  bool add_space_prefix = false;    ///< scored_bpe: a space is put before non-empty text, and dropped after BOS
};

struct EncodeOptions {
  bool add_bos = true;
  bool parse_special = false;  ///< names of special tokens in the text become these tokens; else they are plain text
};

class Tokenizer {
 public:
  /// Validates sizes, ids, scores (finite) and limits; `where` names the file. Errors: corrupt.
  static Result<Tokenizer> create(TokenizerData data, const std::string& where);
  /// Errors: corrupt, unsupported (another format version). Reads what serialize() wrote. Never reads outside the blob;
  /// memory bounded by a small multiple of it.
  static Result<Tokenizer> parse(std::span<const std::byte> blob, const std::string& where);
  std::vector<std::byte> serialize() const;

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  const TokenizerData& data() const;
  std::uint32_t vocab_size() const;
  bool is_eos(TokenId id) const;

  /// Any bytes are accepted, also invalid UTF-8, whose bytes fall back one by one. No special piece comes from text
  /// unless parse_special asks for it.
  /// O(n log n) in the text. scored_bpe takes text below 4 GiB.
  std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const;
  /// Raw bytes of `id` when it follows `previous` (-1 at the start), valid as long as the tokenizer. Special tokens
  /// give no bytes. With add_space_prefix a piece after BOS (or at the start, where there is no BOS) loses one leading
  /// space. An id outside the vocabulary is a bug.
  std::string_view decode_piece(TokenId previous, TokenId id) const;
  /// All pieces in a row, as raw bytes.
  std::string decode(std::span<const TokenId> ids) const;

 private:
  struct Tables;
  void encode_plain(std::string_view text, bool at_start, std::vector<TokenId>& ids) const;
  explicit Tokenizer(std::unique_ptr<const Tables> tables);
  std::unique_ptr<const Tables> tables_;
};

/// The byte tokenizer of synthetic models: 0 <unk>, 1 <s>, 2 </s>, 3..258 bytes, then pronounceable noise words with a
/// leading space.
Result<TokenizerData> synthetic_byte_tokenizer(std::uint32_t vocab_size);

}  // namespace tessera
