// What the vocabularies of several formats share: how pieces are spelled, and ids that have to be found by name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// How SentencePiece writes a space: U+2581.
inline constexpr std::string_view space_mark = "\xE2\x96\x81";

/// `piece` with every space mark as a plain space.
std::string with_plain_spaces(std::string_view piece);

/// GPT-2's alphabet, which writes each byte as one printable character ("Ġ" is a space): back to bytes. Nothing where a
/// character is not of that alphabet.
std::optional<std::string> bytes_of_gpt2_piece(std::string_view piece);

/// The id of "<0x00>" where the 256 names of bytes follow each other from there, or -1. `names` are pieces as written.
TokenId first_byte_id(const std::vector<std::string>& names);
/// "<0x0A>"
std::string byte_name(std::size_t value);

/// Text between two added tokens becomes pieces of spaces: a vocabulary with space marks needs these steps. `steps` get
/// what turns marks that stand in the text itself into spaces.
void add_space_mark_step(std::vector<NormalizerStep>& steps);

/// Appends entries without text until there are `size`: models round the height of their matrices up.
void pad_vocabulary(TokenizerData& data, std::size_t size);

/// Makes `data` as large as the model's vocabulary: padded, or without added tokens at its end that the model does not
/// know. Errors: corrupt, where other pieces would have to go, or thousands be added.
Result<void> fit_vocabulary(TokenizerData& data, std::size_t size, const std::string& where);

/// Where nothing else names them: BOS and the ids that end a generation, by the names of special tokens that known
/// families use. Leaves what is set.
void find_ids_by_name(TokenizerData& data);

/// Adds the tokens that end a turn of a chat to those that end a generation, by their names: files of converted models
/// often name one end only.
void add_turn_ends(TokenizerData& data);

/// The id of the special or added token of this name, or -1.
TokenId added_id(const TokenizerData& data, std::string_view name);

}  // namespace tessera
