// llama2.c tokenizers. Input: a tokenizer.bin. The vocabulary of its model is taken from the number of pieces that
// follow each other in it, so that the check of the two sizes does not stop every input.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/llama2c_tokenizer.hpp"
#include "runtime/text/tokenizer.hpp"

namespace {

using namespace tessera;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::uint32_t count = count_llama2c_pieces(bytes);
  TESSERA_ENSURE(!parse_llama2c_tokenizer(bytes, count + 1, "input"));
  auto parsed = parse_llama2c_tokenizer(bytes, count, "input");
  if (!parsed) return 0;
  TESSERA_ENSURE(parsed->pieces.size() == count);
  const auto tokenizer = Tokenizer::create(std::move(*parsed), "input");
  TESSERA_ENSURE(tokenizer);
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const TokenId id : tokenizer->encode(text)) TESSERA_ENSURE(id >= 0 && static_cast<std::uint32_t>(id) < count);
  TESSERA_ENSURE(Tokenizer::parse(tokenizer->serialize(), "input"));
  return 0;
}
