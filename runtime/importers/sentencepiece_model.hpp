// tokenizer.model: a model of SentencePiece (T. Kudo, J. Richardson, 2018; github.com/google/sentencepiece,
// sentencepiece_model.proto), a Protocol Buffers message. Its wire format is read here, strictly: pieces with scores
// and types, and of the trainer's and normalizer's settings what changes results. Everything else is skipped.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// The type of a piece, as SentencePiece and GGUF number them.
enum class PieceType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// A vocabulary in SentencePiece's terms, wherever it was read.
struct SentencePieceModel {
  bool is_unigram = false;         ///< else BPE
  std::vector<std::string> names;  ///< pieces as written, with space marks
  std::vector<float> scores;
  std::vector<PieceType> types;
  std::string charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool whitespace_as_suffix = false;
  bool byte_fallback = false;
  TokenId unknown = 0, bos = 1, eos = 2;  ///< -1: none
};

/// Whether `start` begins like such a file.
bool looks_like_sentencepiece(std::span<const std::byte> start);

/// Errors: corrupt, unsupported (word and character models).
Result<SentencePieceModel> parse_sentencepiece(std::span<const std::byte> bytes, const std::string& where);

/// Encodes as SentencePiece does, with BOS before a text where there is one, else EOS after it. Errors: corrupt.
Result<TokenizerData> tokenizer_from_sentencepiece(SentencePieceModel model, const std::string& where);

}  // namespace tessera
