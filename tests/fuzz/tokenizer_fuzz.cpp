// The tokenizer of a checkpoint, and text in and out of it. Input: a tokenizer blob, then optionally "TEXT:" and any
// bytes. Without them the blob is the text as well: its pieces lie in it one after the other, so that they are found
// and merged.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/text/text_stream.hpp"
#include "runtime/text/tokenizer.hpp"
#include "runtime/text/utf8.hpp"

namespace {

using namespace tessera;

/// What is accepted means exactly its bytes, and gives text back.
void use(const Tokenizer& tokenizer, std::span<const std::byte> blob, std::string_view text) {
  TESSERA_ENSURE(std::ranges::equal(tokenizer.serialize(), blob));
  const TokenizerData& data = tokenizer.data();
  const std::vector<TokenId> ids = tokenizer.encode(text, {.add_bos = false});
  for (const TokenId id : ids) TESSERA_ENSURE(id >= 0 && static_cast<std::uint32_t>(id) < tokenizer.vocab_size());
  const std::string decoded = tokenizer.decode(ids);
  for (const TokenId id : tokenizer.encode(text, {.add_eos = true, .parse_special = true})) {
    TESSERA_ENSURE(id >= 0 && static_cast<std::uint32_t>(id) < tokenizer.vocab_size());
  }
  // Version 2 may change text as its normalizer likes.
  if (blob[8] != std::byte{1}) return;
  // A BOS that is an ordinary piece takes spaces away, and without byte fallback text is lost.
  const bool has_plain_bos =
      data.add_space_prefix && (data.bos < 0 || !data.special[static_cast<std::size_t>(data.bos)]);
  if (data.first_byte < 0 || has_plain_bos) return;
  const std::string prefix = data.add_space_prefix && !text.empty() ? " " : "";
  TESSERA_ENSURE(decoded == prefix + std::string(text));
}

/// The output is valid UTF-8 and does not depend on where the text is cut. The text itself says where, and begins with
/// the stop strings.
void stream(std::string_view text) {
  std::vector<std::string> stops;
  for (std::size_t at = 0; stops.size() < 3 && at < text.size(); at += stops.back().size() + 1) {
    stops.emplace_back(text.substr(at + 1, static_cast<unsigned char>(text[at]) % 8));
  }
  TextStream whole(stops), cut(stops);
  const std::string start = whole.push(text);
  const std::string expected = start + whole.finish();

  std::string output;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = std::min<std::size_t>(static_cast<unsigned char>(text[at]) % 6, text.size() - at);
    output += cut.push(text.substr(at, length));
    output += cut.push(text.substr(at + length, at + length < text.size()));
    at += length + 1;
  }
  output += cut.finish();
  TESSERA_ENSURE(output == expected);
  TESSERA_ENSURE(cut.stopped() == whole.stopped());
  TESSERA_ENSURE(to_valid_utf8(output) == output);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view separator = "TEXT:";
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.rfind(separator), input.size());
  const std::string_view text = end == input.size() ? input : input.substr(end + separator.size());
  const auto blob = std::as_bytes(std::span(input.substr(0, end)));
  if (const auto tokenizer = Tokenizer::parse(blob, "input")) use(*tokenizer, blob, text);
  stream(text);
  return 0;
}
