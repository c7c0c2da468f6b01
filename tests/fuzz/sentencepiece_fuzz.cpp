// tokenizer.model of SentencePiece. Input: the file, which is the text as well.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "runtime/importers/sentencepiece_model.hpp"
#include "tests/fuzz/use_tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  auto model = parse_sentencepiece(std::as_bytes(std::span(data, size)), "input");
  if (!model) return 0;
  fuzz::use_tokenizer(tokenizer_from_sentencepiece(*std::move(model), "input"),
                      {reinterpret_cast<const char*>(data), size});
  return 0;
}
