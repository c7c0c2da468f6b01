// tokenizer.json of Hugging Face. Input: the file, then optionally "TEXT:" and any bytes; without them the file is the
// text as well, so that its own pieces and patterns meet it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/importers/tokenizer_json.hpp"
#include "tests/fuzz/use_tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view separator = "TEXT:";
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.rfind(separator), input.size());
  const std::string_view text = end == input.size() ? input : input.substr(end + separator.size());
  tessera::fuzz::use_tokenizer(tessera::parse_tokenizer_json(input.substr(0, end), "input"), text);
  return 0;
}
