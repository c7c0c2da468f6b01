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
  std::string notice;  ///< why it stays behind; empty: it does not, or there is none
};

/// Writes tokenizer.json, tokenizer_config.json (with the chat template) and generation_config.json, as far as there is
/// something to say; puts the special ids into `config`. A tokenizer counts as written only where an import of the
/// folder gives the checkpoint's own, byte for byte; else its files are taken away again.
Result<ExportedTokenizer> export_tokenizer(const Checkpoint& checkpoint, const PartialFolder& folder,
                                           nlohmann::json& config);

}  // namespace tessera
