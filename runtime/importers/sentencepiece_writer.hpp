// A tokenizer as a tokenizer.model, the inverse of sentencepiece_model.hpp.
//
// Whoever writes one reads it again and compares (export_tokenizer.hpp), so nothing here has to be able to express
// every tokenizer.
#pragma once

#include <cstddef>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// How many of its ids a tokenizer.model holds: those at the end that were added beside one, or are none, stay out.
std::size_t sentencepiece_ids(const TokenizerData& data);

/// The bytes of the file. `data` has passed Tokenizer::create. Errors: unsupported, for kinds and steps that have no
/// place in the format. Any thread.
Result<std::string> write_sentencepiece(const TokenizerData& data);

}  // namespace tessera
