// tokenizer.json: a trained byte-level BPE vocabulary in the file format of Hugging Face's tokenizers, which other
// programs read too.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace tessera {

struct BpeVocabulary;

/// The characters that stand for bytes in byte-level vocabularies, all below U+0144: a byte that is a visible Latin-1
/// character stands for itself, the others are U+0100 and on, in their order (GPT-2's table).
std::array<unsigned, 256> characters_of_bytes();

/// The bytes in the order of these characters.
std::array<unsigned char, 256> bytes_by_character();

/// Raw bytes as such characters, in UTF-8: " a" → "Ġa".
std::string byte_characters(std::string_view bytes);

/// Model BPE with byte-level splitter (GPT-2's pattern, no space put in front) and decoder; `<|endoftext|>` is a
/// special token. Merges are written as "left right", which every version of the format reads.
std::string tokenizer_json(const BpeVocabulary& vocabulary);

}  // namespace tessera
