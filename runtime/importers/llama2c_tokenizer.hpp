// llama2.c's tokenizer.bin (A. Karpathy, github.com/karpathy/llama2.c, tokenizer.py):
//
//   | int32: length of the longest piece | then, per id: float32 score, int32 length, bytes |
//
// It stores neither the number of pieces nor any special id: by convention 0 is unknown, 1 begins and 2 ends a sequence
// ("\n<s>\n",
// "\n</s>\n"), and the bytes of text without a piece are 256 consecutive ids "<0x00>" to "<0xFF>".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

/// Errors: corrupt (damaged, or not of `vocab_size` pieces), unsupported (pieces 1 and 2 are not BOS and EOS). Never
/// reads outside `bytes`; memory bounded by a small multiple of it.
Result<TokenizerData> parse_llama2c_tokenizer(std::span<const std::byte> bytes, std::uint32_t vocab_size,
                                              const std::string& where);

/// How many pieces follow each other in `bytes`, up to the first that cannot be one: for a file that comes without a
/// model.
std::uint32_t count_llama2c_pieces(std::span<const std::byte> bytes);

}  // namespace tessera
