// The tokenizer and the chat template of a checkpoint as files of a Hugging Face folder.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/export_folder.hpp"

namespace tessera {

struct ExportedTokenizer {
  std::uint64_t bytes_written = 0;
  std::string notice;  ///< why it stays behind, or what is not as before; empty: neither, or there is none
};

/// Writes the tokenizer, tokenizer_config.json (with the chat template) and generation_config.json, as far as there is
/// something to say; puts the special ids into `config`. The tokenizer is a tokenizer.json where that says all of it,
/// else a tokenizer.model (SentencePiece's), else a tokenizer.json whose merges stand for scores (merge_list.hpp). Each
/// counts only where an import of the folder gives a tokenizer of the same ids, which is tried; else its files are
/// taken away again.
Result<ExportedTokenizer> export_tokenizer(const Checkpoint& checkpoint, const PartialFolder& folder,
                                           nlohmann::json& config);

}  // namespace tessera
