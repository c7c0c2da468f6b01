// Files of tiktoken ranks. Input: the file, which is the text as well.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/importers/tiktoken_ranks.hpp"
#include "tests/fuzz/use_tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  tessera::fuzz::use_tokenizer(tessera::parse_tiktoken(text, "qwen2", "input"), text);
  return 0;
}
