// Texts become the tokens that a model learns from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

namespace limits {
/// Bytes of one text file of a corpus, which is in memory while it is read.
inline constexpr std::uint64_t corpus_file_bytes_max = std::uint64_t{4} << 30;
/// Tokens of a corpus.
inline constexpr std::uint64_t corpus_tokens_max = std::uint64_t{1} << 32;
}  // namespace limits

/// Called with the path, the bytes done and those in all; false stops.
using CorpusProgress = std::function<bool(const std::string& path, std::uint64_t done, std::uint64_t total)>;

struct DocumentTokens {
  std::vector<TokenId> tokens;      ///< of all documents, one behind the other
  std::vector<std::size_t> begins;  ///< where each document begins, ascending
};

/// The tokens of all documents of the files. `<|endoftext|>`, `separator` (unless it is empty)
/// and the end of a file end a document; empty ones are left out. A document is encoded as a prompt is, with what the
/// tokenizer puts before a text, and is followed by its EOS; where it puts EOS before a text, as GPT-2 does, the one of
/// the next document is that of the last one too. Errors: not_found, io, cancelled; invalid_argument where the
/// tokenizer has no EOS, or the files hold no text.
Result<DocumentTokens> corpus_tokens(std::span<const std::filesystem::path> files, const std::string& separator,
                                     const Tokenizer& tokenizer, const CorpusProgress& progress = {});

}  // namespace tessera
