// WordCache: what short words became, within one text. English repeats its words so often that most of a text is a copy
// of what came before.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/text/piece_table.hpp"

namespace tessera {

/// One thread. Holds no ids: it points into the vector that they are appended to, which is the same in all calls.
class WordCache {
 public:
  /// Appends the ids of `word` if it is known.
  bool append(std::string_view word, std::vector<TokenId>& ids) const {
    if (word.size() > word_bytes_max || slots_.empty()) return false;
    const Slot& slot = slots_[hash_text(word) % slots];
    if (slot.size != word.size() || std::memcmp(slot.word.data(), word.data(), word.size()) != 0) return false;
    for (std::uint32_t at = 0; at < slot.count; ++at) ids.push_back(ids[slot.begin + at]);
    return true;
  }

  /// Remembers that `word` became ids[begin, end).
  void add(std::string_view word, const std::vector<TokenId>& ids, std::size_t begin) {
    if (word.size() > word_bytes_max || word.empty() || ids.size() > UINT32_MAX) return;
    if (slots_.empty()) slots_.resize(slots);
    Slot& slot = slots_[hash_text(word) % slots];
    std::memcpy(slot.word.data(), word.data(), word.size());
    slot.size = static_cast<std::uint8_t>(word.size());
    slot.begin = static_cast<std::uint32_t>(begin);
    slot.count = static_cast<std::uint32_t>(ids.size() - begin);
  }

 private:
  static constexpr std::size_t word_bytes_max = 15;
  static constexpr std::size_t slots = 8192;

  struct Slot {
    std::array<char, word_bytes_max> word{};
    std::uint8_t size = 0;  // 0: empty
    std::uint32_t begin = 0;
    std::uint32_t count = 0;
  };

  std::vector<Slot> slots_;  // made with the first word
};

}  // namespace tessera
