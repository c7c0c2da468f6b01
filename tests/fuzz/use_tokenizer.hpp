// What every fuzz target of a tokenizer's format does with what was accepted.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/base/result.hpp"
#include "runtime/text/merge_list.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::fuzz {

/// Where scores can be said by merges, the ids are the same.
inline void use_merges(const Tokenizer& scored, std::string_view text) {
  const TokenizerData& data = scored.data();
  if (data.kind != TokenizerKind::scored_bpe || (!data.framed && !data.added.empty())) return;
  auto merges = as_merge_list(data, "input");
  if (!merges) return;
  const auto listed = Tokenizer::create(*std::move(merges), "input");
  if (listed) TESSERA_ENSURE(listed->encode(text) == scored.encode(text));
}

/// Encodes and decodes `text`: ids are in the vocabulary, and what a checkpoint would hold gives the same ids.
inline void use_tokenizer(Result<TokenizerData> data, std::string_view text) {
  if (!data) return;
  const auto tokenizer = Tokenizer::create(*std::move(data), "input");
  if (!tokenizer) return;
  const std::vector<std::byte> blob = tokenizer->serialize();
  const auto again = Tokenizer::parse(blob, "input");
  TESSERA_ENSURE(again);
  TESSERA_ENSURE(again->serialize() == blob);
  constexpr std::size_t text_bytes_max = 4096;
  const std::string_view start = text.substr(0, text_bytes_max);
  use_merges(*tokenizer, start);
  for (const bool special : {false, true}) {
    const EncodeOptions options{.add_bos = special, .add_eos = special, .parse_special = special};
    const std::vector<TokenId> ids = tokenizer->encode(start, options);
    for (const TokenId id : ids) TESSERA_ENSURE(id >= 0 && static_cast<std::uint32_t>(id) < tokenizer->vocab_size());
    TESSERA_ENSURE(again->encode(start, options) == ids);
    TESSERA_ENSURE(again->decode(ids) == tokenizer->decode(ids));
  }
}

}  // namespace tessera::fuzz
