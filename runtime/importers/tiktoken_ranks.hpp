// Files of ranks in the form of OpenAI's tiktoken: a line for each token, its bytes in base64, a space, its rank, which
// is its id.
//
//   SGVsbG8= 9906
//
// The file names neither its pattern nor its special tokens; both are known from how many ranks it has, or are given.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// Whether `start` begins like such a file.
bool looks_like_tiktoken(std::string_view start);

/// `preset`: the splitter (splitter_presets.hpp), or empty: from the number of ranks. Errors: corrupt, unsupported (an
/// unknown vocabulary without a preset), invalid_argument (an unknown preset).
Result<TokenizerData> parse_tiktoken(std::string_view text, const std::string& preset, const std::string& where);

}  // namespace tessera
