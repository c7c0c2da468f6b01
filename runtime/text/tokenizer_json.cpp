#include "runtime/text/tokenizer_json.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/text/bpe_trainer.hpp"

namespace tessera {

namespace {

bool stands_for_itself(unsigned byte) { return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD); }

std::string json_string(std::string_view text) { return nlohmann::json(std::string(text)).dump(); }

}  // namespace

std::array<unsigned, 256> characters_of_bytes() {
  std::array<unsigned, 256> table{};
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) table[byte] = stands_for_itself(byte) ? byte : next++;
  return table;
}

std::array<unsigned char, 256> bytes_by_character() {
  const std::array<unsigned, 256> table = characters_of_bytes();
  std::array<unsigned char, 256> bytes{};
  for (unsigned byte = 0; byte < 256; ++byte) bytes[byte] = static_cast<unsigned char>(byte);
  std::sort(bytes.begin(), bytes.end(), [&table](unsigned char a, unsigned char b) { return table[a] < table[b]; });
  return bytes;
}

std::string byte_characters(std::string_view bytes) {
  static const std::array<unsigned, 256> table = characters_of_bytes();
  std::string text;
  for (const char byte : bytes) {
    const unsigned code = table[static_cast<unsigned char>(byte)];
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xC0 | code >> 6);
      text += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return text;
}

// Written by hand, as the vocabulary should stand in the order of its ids.
std::string tokenizer_json(const BpeVocabulary& vocabulary) {
  const std::string special = json_string(vocabulary.pieces[0]);
  std::string json = R"({
  "version": "1.0",
  "truncation": null,
  "padding": null,
  "added_tokens": [
    {"id": 0, "content": )" +
                     special +
                     R"(, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
  ],
  "normalizer": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "post_processor": {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": )" +
                     special + R"(, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"SpecialToken": {"id": )" +
                     special + R"(, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {)" +
                     special + R"(: {"id": )" + special + R"(, "ids": [0], "tokens": [)" + special + R"(]}}
  },
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
  "model": {
    "type": "BPE",
    "dropout": null,
    "unk_token": null,
    "continuing_subword_prefix": null,
    "end_of_word_suffix": null,
    "fuse_unk": false,
    "byte_fallback": false,
    "ignore_merges": false,
    "vocab": {
      )" + special + ": 0";
  for (std::size_t id = 1; id < vocabulary.pieces.size(); ++id) {
    json += ",\n      " + json_string(byte_characters(vocabulary.pieces[id])) + ": " + std::to_string(id);
  }
  json += "\n    },\n    \"merges\": [";
  const char* separator = "\n      ";
  for (const auto& [left, right] : vocabulary.merges) {
    json += separator + json_string(byte_characters(vocabulary.pieces[static_cast<std::size_t>(left)]) + " " +
                                    byte_characters(vocabulary.pieces[static_cast<std::size_t>(right)]));
    separator = ",\n      ";
  }
  return json + (vocabulary.merges.empty() ? "]\n  }\n}\n" : "\n    ]\n  }\n}\n");
}

}  // namespace tessera
