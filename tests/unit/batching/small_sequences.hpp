// Limits and sequences that several tests of the conductor's core have in common.
#pragma once

#include <cstdint>

#include "runtime/batching/conductor_core.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

/// Eight pages a sequence, steps of two pages of rows.
inline ConductorLimits few_pages(std::uint32_t pages, std::uint32_t running_max = 8) {
  ConductorLimits limits;
  limits.context_length = 8 * kv_page_positions;
  limits.vocab_size = 90;
  limits.pages = pages;
  limits.rows_max = 2 * kv_page_positions;
  limits.logits_rows_max = 8;
  limits.running_max = running_max;
  return limits;
}

/// Of that vocabulary; the text differs from the first token on for most ids.
inline SequenceSpec sequence_of(std::uint64_t id, std::uint32_t prompt, std::uint32_t tokens_max) {
  SequenceSpec spec;
  spec.key = {5, id};
  for (std::uint32_t i = 0; i < prompt; ++i) spec.prompt.push_back(static_cast<TokenId>((id * 17 + i * 5) % 90));
  spec.tokens_max = tokens_max;
  return spec;
}

}  // namespace tessera
