// A tokenizer as a tokenizer.json, the inverse of tokenizer_json.hpp.
//
// Scores of a BPE (merge_list.hpp makes merges of them) and single bytes have no place in that format, nor has every
// combination of steps.
// Whoever writes one reads it again and compares (export_tokenizer.hpp), so nothing here has to be able to express
// every tokenizer.
#pragma once

#include <string>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// `data` has passed Tokenizer::create. Errors: unsupported, with what has no place in the format. Any thread.
Result<std::string> write_tokenizer_json(const TokenizerData& data);

}  // namespace tessera
