// load_tokenizer: the tokenizer of any file or folder that has one. The format is seen from the content:
//
//   tokenizer.json (Hugging Face), tokenizer.model (SentencePiece), ranks of tiktoken, GGUF, tokenizer.bin (llama2.c),
//   a checkpoint, and a Hugging Face folder, with what its other files say of special tokens.
#pragma once

#include <string>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

struct LoadTokenizerOptions {
  std::string preset;  ///< the splitter of a file of ranks (splitter_presets.hpp); empty: from the number of ranks
};

/// Errors: not_found, io, corrupt, unsupported, invalid_argument (an unknown preset), naming the file. Bounded in
/// memory and time by a small multiple of the file. Never throws. Any thread.
Result<TokenizerData> load_tokenizer(const std::string& path, const LoadTokenizerOptions& options = {});

/// Whether a Hugging Face folder holds a tokenizer that load_tokenizer() would read.
bool has_tokenizer(const std::string& folder);

}  // namespace tessera
