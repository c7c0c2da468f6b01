// Splitters that files name instead of spelling them out: the patterns by which known vocabularies were trained.
//
// Each is a fact about its vocabulary, as published with it: GPT-2 (A. Radford et al., "Language Models are
// Unsupervised Multitask Learners", 2019), tiktoken's cl100k_base and o200k_base, Llama 3, Qwen2, DeepSeek, Falcon,
// StarCoder, Bloom, Viking, Tekken. GGUF files name them by tokenizer.ggml.pre, a file of ranks by how many it has.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

struct SplitterPreset {
  std::vector<SplitStep> steps;
  bool whole_words = false;  ///< a word that is a piece stays one
};

/// By the name of a family ("gpt2", "llama3", "qwen2", "cl100k", "o200k", …) or of tokenizer.ggml.pre; nothing for
/// others.
std::optional<SplitterPreset> splitter_preset(std::string_view name);

/// Words of BERT: white space between them is dropped, punctuation stands alone.
std::vector<SplitStep> word_piece_splitter();

/// The names of families, separated by ", ", for messages.
const char* splitter_preset_names();

}  // namespace tessera
