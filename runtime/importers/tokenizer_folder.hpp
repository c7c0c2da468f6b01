// The tokenizer of a Hugging Face folder: which file holds it, and what the files beside it say of special tokens.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// The path of tokenizer.json, else tokenizer.model, else a .tiktoken file, else vocab.json with merges.txt (named by
/// the first), else vocab.txt. Empty where there is none of them.
std::string tokenizer_file_of(const std::string& folder);

/// GPT-2's older pair of files: vocab.json, and merges.txt beside it.
Result<TokenizerData> load_vocab_and_merges(const std::string& vocab_path);
/// BERT's older file: a piece in each line.
Result<TokenizerData> load_vocab_lines(const std::string& path);

/// The JSON of the files beside a tokenizer; empty objects where there are none.
struct TokenizerFiles {
  nlohmann::json config;      ///< tokenizer_config.json
  nlohmann::json names;       ///< special_tokens_map.json
  nlohmann::json added;       ///< added_tokens.json
  nlohmann::json generation;  ///< generation_config.json
};
/// Takes over what they say: BOS, EOS, whether they stand around a text, and added tokens. `where` names the folder.
/// Errors: corrupt.
Result<void> apply_tokenizer_files(const TokenizerFiles& files, const std::string& where, TokenizerData& data);
/// The same of a folder. Errors: corrupt, io.
Result<void> apply_folder(const std::string& folder, TokenizerData& data);

}  // namespace tessera
