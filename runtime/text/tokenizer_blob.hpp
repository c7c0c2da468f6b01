// The bytes of a tokenizer inside a checkpoint. The format is specified at the top of tokenizer_blob.cpp.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

namespace limits {
/// Ids that end a generation; a tokenizer with more is refused.
inline constexpr std::size_t eos_ids_max = 64;
}  // namespace limits

/// Bytes that `data` takes as a blob. `data.pieces` has at most limits::vocab_size_max entries of at most
/// limits::piece_bytes_max bytes.
std::size_t tokenizer_blob_bytes(const TokenizerData& data);

/// Format version 1 where that can say it all, so that old checkpoints keep their content ids; else version 2. `data`
/// is valid (Tokenizer::create). Any thread.
std::vector<std::byte> write_tokenizer_blob(const TokenizerData& data);

/// The inverse. Checks all lengths against the blob before it reads or allocates, but not what the fields mean:
/// Tokenizer::create does. Errors: corrupt, or unsupported for another version. Any thread.
Result<TokenizerData> read_tokenizer_blob(std::span<const std::byte> blob, const std::string& where);

}  // namespace tessera
