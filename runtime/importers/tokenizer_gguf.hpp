// The tokenizer inside a GGUF file: the metadata tokenizer.ggml.*.
#pragma once

#include "runtime/base/result.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// Models "llama", "gpt2", "bert" and "t5". Errors: not_found (the file has no tokenizer), unsupported (another model
/// or pattern, by its name), corrupt.
Result<TokenizerData> tokenizer_from_gguf(const GgufFile& file);

}  // namespace tessera
