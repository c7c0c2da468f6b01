// A tokenizer of scores as one of merges: what SentencePiece, tiktoken and llama2.c say by the score of what is joined,
// GPT-2's format says by a list of pairs, and other programs read only that.
//
//   scores  ab −1, abc −2, bc −3        merges  a b, ab c, b c
//
// Why this is the same: in any text, the joins inside a piece are those of the piece alone, in the same order, until
// the last one makes it whole. So each piece comes from one pair, or from no text at all, and a list with that pair of
// each piece, best score first, chooses at every step what the scores choose.
#pragma once

#include <string>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// A merge_bpe tokenizer that gives the ids of `data`, a scored_bpe one that has passed Tokenizer::create. Of one
/// without a frame (llama2.c's), special tokens lose the line ends around their names, and the space before a text also
/// stands behind a special token that is spelled out inside it. Errors: unsupported, where two pieces that are joined
/// have the same score, or one is joined from what is no piece.
Result<TokenizerData> as_merge_list(TokenizerData data, const std::string& where);

}  // namespace tessera
