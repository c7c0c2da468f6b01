// JSON files beside a model of a Hugging Face folder. Input: a byte, then JSON: 0 a modules.json and 1 a pooling's
// config.json (Sentence Transformers), 2 the files beside a tokenizer as the members config, names, added and
// generation of an object, which is the text of that tokenizer as well, 3 a chat_template.json or
// tokenizer_config.json.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/ensure.hpp"
#include "runtime/chat/chat_template.hpp"
#include "runtime/importers/import_chat_template.hpp"
#include "runtime/importers/import_pooling.hpp"
#include "runtime/importers/strict_json.hpp"
#include "runtime/importers/tokenizer_folder.hpp"
#include "runtime/importers/tokenizer_json.hpp"
#include "tests/fuzz/use_tokenizer.hpp"

namespace {

using namespace tessera;
using nlohmann::json;

void read_modules(std::string_view text) {
  const auto modules = parse_pooling_modules(text, "input");
  if (!modules) return;
  TESSERA_ENSURE(!modules->folder.empty() && modules->folder.find('/') == std::string::npos && modules->folder != "..");
}

void read_tokenizer_files(std::string_view text) {
  constexpr std::string_view tokenizer =
      R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3}, "merges": ["a b"]},
          "added_tokens": [{"id": 3, "content": "<s>", "special": true}]})";
  const auto root = parse_strict_json(text, "input");
  if (!root || !root->is_object()) return;
  const auto member = [&](const char* key) {
    const auto found = root->find(key);
    return found != root->end() && found->is_object() ? *found : json::object();
  };
  auto data = parse_tokenizer_json(tokenizer, "input");
  TESSERA_ENSURE(data);
  const TokenizerFiles files{member("config"), member("names"), member("added"), member("generation")};
  if (!apply_tokenizer_files(files, "input", *data)) return;
  fuzz::use_tokenizer(std::move(data), text);
}

void read_template(std::string_view text) {
  const auto found = parse_chat_template_json(text, "input");
  if (!found || !*found) return;
  const auto chat = ChatTemplate::parse(**found, "input");
  if (chat) TESSERA_ENSURE(chat->source() == **found);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 0:
      read_modules(text);
      break;
    case 1:
      static_cast<void>(parse_pooling_config(text, "input"));
      break;
    case 2:
      read_tokenizer_files(text);
      break;
    case 3:
      read_template(text);
      break;
    default:
      break;
  }
  return 0;
}
