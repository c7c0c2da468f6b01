// tokenizer.json: the format of Hugging Face's tokenizers (github.com/huggingface/tokenizers). Its models BPE, Unigram
// and WordPiece, with the normalizers, pre-tokenizers, post-processors and decoders that language models use. Whatever
// would change results and is not known is refused by its name.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// BOS and EOS are found by the names of the special tokens, as the file does not say which they are. Errors: corrupt,
/// unsupported. Never throws.
Result<TokenizerData> parse_tokenizer_json(std::string_view text, const std::string& where);

/// The same from the parsed file. May throw what nlohmann and allocation throw.
Result<TokenizerData> tokenizer_from_json(const nlohmann::json& root, const std::string& where);

}  // namespace tessera
