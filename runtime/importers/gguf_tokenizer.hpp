// The tokenizer inside a GGUF file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

/// Empty where the file has none, or one of a kind that is not supported; then `notice` says which. A vocabulary
/// smaller than `vocab_size`, the model's, is padded with ids that have no text. Errors: corrupt (lists of different
/// lengths, ids outside, …), naming the key.
Result<std::optional<TokenizerData>> read_gguf_tokenizer(const GgufFile& file, std::uint32_t vocab_size,
                                                         std::string& notice);

}  // namespace tessera
