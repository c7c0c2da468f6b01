#include "runtime/batching/prompt_lookup.hpp"

#include <algorithm>
#include <bit>

namespace tessera {

namespace {

constexpr std::uint32_t table_size_min = 256;

std::uint32_t length_of(const SequenceState& sequence) {
  return static_cast<std::uint32_t>(sequence.spec.prompt.size() + sequence.generated.size());
}

bool same(const SequenceState& sequence, std::uint32_t tokens, std::uint32_t end_a, std::uint32_t end_b) {
  for (std::uint32_t i = 1; i <= tokens; ++i)
    if (token_at(sequence, end_a - i) != token_at(sequence, end_b - i)) return false;
  return true;
}

}  // namespace

/// Where the table keeps the n-gram that ends before `end`. FNV-1a over its tokens, mixed once more for the low bits.
std::uint32_t& PromptLookup::place(const SequenceState& sequence, std::uint32_t tokens, std::uint32_t end) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::uint32_t i = end - tokens; i < end; ++i)
    hash = (hash ^ static_cast<std::uint32_t>(token_at(sequence, i))) * 0x100000001b3u;
  hash ^= hash >> 29;
  std::vector<std::uint32_t>& table = ends_[tokens - suffix_tokens_min];
  return table[hash & (table.size() - 1)];
}

void PromptLookup::index(const SequenceState& sequence, std::uint32_t end) {
  if (std::size_t{end} * 2 > ends_.front().size()) {
    const std::size_t size = std::bit_ceil(std::max(table_size_min, end * 2));
    for (std::vector<std::uint32_t>& table : ends_) table.assign(size, 0);
    indexed_ = 0;
  }
  for (; indexed_ < end; ++indexed_) {
    for (std::uint32_t tokens = suffix_tokens_min; tokens <= suffix_tokens_max; ++tokens)
      if (tokens <= indexed_ + 1) place(sequence, tokens, indexed_ + 1) = indexed_ + 1;
  }
}

std::vector<TokenId> PromptLookup::propose(const SequenceState& sequence, std::uint32_t count) {
  const std::uint32_t length = length_of(sequence);
  index(sequence, length - 1);  // the end itself is what is looked for
  std::vector<TokenId> drafts;
  for (std::uint32_t tokens = suffix_tokens_max; tokens >= suffix_tokens_min; --tokens) {
    if (tokens >= length) continue;
    const std::uint32_t end = place(sequence, tokens, length);
    if (end == 0 || !same(sequence, tokens, end, length)) continue;
    for (std::uint32_t i = 0; i < count; ++i)
      drafts.push_back(end + i < length ? token_at(sequence, end + i) : drafts[end + i - length]);
    break;
  }
  return drafts;
}

}  // namespace tessera
