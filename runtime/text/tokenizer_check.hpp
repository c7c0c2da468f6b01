// What makes TokenizerData sensible; Tokenizer::create asks before it builds anything.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// Sizes, limits, ids, scores, flags that go together; not patterns and merges, which are checked where they are built.
/// Errors: corrupt, naming `where`. Any thread.
Result<void> check_tokenizer(const TokenizerData& data, const std::string& where);

/// Whether `id` stands for one raw byte.
inline bool is_byte_id(const TokenizerData& data, TokenId id) {
  return data.first_byte >= 0 && id >= data.first_byte && id - data.first_byte < 256;
}

/// Of every id, whether plain text may become it: neither special pieces nor, by their names, byte ids, which are the
/// fallback.
std::vector<bool> usable_pieces(const TokenizerData& data);
/// Of vocabularies that list no added tokens: their special pieces, by the names that these have.
std::vector<AddedToken> special_pieces(const TokenizerData& data);

}  // namespace tessera
