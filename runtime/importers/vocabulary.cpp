#include "runtime/importers/vocabulary.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "runtime/text/tokenizer_json.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

/// The byte that each character below U+0144 stands for, or -1.
std::array<std::int16_t, 0x144> make_gpt2_bytes() {
  std::array<std::int16_t, 0x144> bytes;
  bytes.fill(-1);
  const std::array<unsigned, 256> characters = characters_of_bytes();
  for (std::size_t byte = 0; byte < characters.size(); ++byte)
    bytes[characters[byte]] = static_cast<std::int16_t>(byte);
  return bytes;
}

constexpr std::size_t byte_values = 256;

}  // namespace

std::string with_plain_spaces(std::string_view piece) {
  std::string text;
  while (true) {
    const std::size_t at = piece.find(space_mark);
    text += piece.substr(0, at);
    if (at == std::string_view::npos) return text;
    text += ' ';
    piece.remove_prefix(at + space_mark.size());
  }
}

std::optional<std::string> bytes_of_gpt2_piece(std::string_view piece) {
  static const std::array<std::int16_t, 0x144> bytes = make_gpt2_bytes();
  std::string text;
  while (!piece.empty()) {
    const CodePoint character = first_code_point(piece);
    if (!character.is_valid || character.value >= bytes.size() || bytes[character.value] < 0) return std::nullopt;
    text += static_cast<char>(bytes[character.value]);
    piece.remove_prefix(character.length);
  }
  return text;
}

std::string byte_name(std::size_t value) {
  constexpr char digits[] = "0123456789ABCDEF";
  return std::string("<0x") + digits[value / 16] + digits[value % 16] + ">";
}

TokenId first_byte_id(const std::vector<std::string>& names) {
  for (std::size_t first = 0; first + byte_values <= names.size(); ++first) {
    std::size_t value = 0;
    while (value < byte_values && names[first + value] == byte_name(value)) ++value;
    if (value == byte_values) return static_cast<TokenId>(first);
    first += value > 0 ? value - 1 : 0;
  }
  return -1;
}

void add_space_mark_step(std::vector<NormalizerStep>& steps) {
  steps.push_back({NormalizerOp::replace, 0, std::string(space_mark), " "});
}

void pad_vocabulary(TokenizerData& data, std::size_t size) {
  if (data.pieces.size() >= size) return;
  if (!data.scores.empty()) data.scores.resize(size, 0.0f);
  if (!data.unreachable.empty()) data.unreachable.resize(size, true);
  data.special.resize(size, true);
  data.pieces.resize(size);
}

Result<void> fit_vocabulary(TokenizerData& data, std::size_t size, const std::string& where) {
  // Models round their vocabulary up, by less than this; llama2.c's do not.
  constexpr std::size_t padding_max = 4096;
  const auto misfit = [&] {
    return Error{ErrorCode::corrupt, where + ": has " + std::to_string(data.pieces.size()) +
                                         " pieces, but the model's vocabulary has " + std::to_string(size) +
                                         "; give the tokenizer of this model"};
  };
  if (data.pieces.size() < size && (!data.framed || size - data.pieces.size() > padding_max)) return misfit();
  pad_vocabulary(data, size);
  if (data.pieces.size() == size) return {};
  std::vector<bool> may_go = data.special;
  for (const AddedToken& token : data.added) may_go[static_cast<std::size_t>(token.id)] = true;
  if (std::find(may_go.begin() + static_cast<std::ptrdiff_t>(size), may_go.end(), false) != may_go.end()) {
    return misfit();
  }
  const auto is_gone = [size](TokenId id) { return id >= 0 && static_cast<std::size_t>(id) >= size; };
  data.pieces.resize(size);
  data.special.resize(size);
  if (!data.scores.empty()) data.scores.resize(size);
  if (!data.unreachable.empty()) data.unreachable.resize(size);
  std::erase_if(data.added, [&](const AddedToken& token) { return is_gone(token.id); });
  std::erase_if(data.merges, [&](const Merge& merge) { return is_gone(merge.left) || is_gone(merge.right); });
  for (std::vector<TokenId>* const ids : {&data.eos, &data.prefix, &data.suffix}) std::erase_if(*ids, is_gone);
  if (is_gone(data.bos)) data.bos = -1;
  if (is_gone(data.unknown)) data.unknown = -1;
  return {};
}

TokenId added_id(const TokenizerData& data, std::string_view name) {
  for (const AddedToken& token : data.added) {
    if (token.text == name) return token.id;
  }
  return -1;
}

void find_ids_by_name(TokenizerData& data) {
  constexpr std::string_view begins[] = {"<s>",
                                         "<|begin_of_text|>",
                                         "<bos>",
                                         "<|startoftext|>",
                                         "[CLS]",
                                         "<\xEF\xBD\x9C"
                                         "begin\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};
  constexpr std::string_view ends[] = {"</s>",
                                       "<|endoftext|>",
                                       "<|end_of_text|>",
                                       "<|eot_id|>",
                                       "<|eom_id|>",
                                       "<|im_end|>",
                                       "<eos>",
                                       "<end_of_turn>",
                                       "<|end|>",
                                       "<|eot|>",
                                       "<|end_of_turn|>",
                                       "<|return|>",
                                       "<\xEF\xBD\x9C"
                                       "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};
  for (const std::string_view name : begins) {
    if (data.bos < 0) data.bos = added_id(data, name);
  }
  if (!data.eos.empty()) return;
  for (const std::string_view name : ends) {
    if (const TokenId id = added_id(data, name); id >= 0) data.eos.push_back(id);
  }
}

void add_turn_ends(TokenizerData& data) {
  for (const std::string_view name :
       {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|eom_id|>", "<|eot|>"}) {
    const TokenId id = added_id(data, name);
    const bool is_special = id >= 0 && data.special[static_cast<std::size_t>(id)];
    if (is_special && std::find(data.eos.begin(), data.eos.end(), id) == data.eos.end()) data.eos.push_back(id);
  }
}

}  // namespace tessera
