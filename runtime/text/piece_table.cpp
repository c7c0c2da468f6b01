#include "runtime/text/piece_table.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tessera {
namespace {

/// The finaliser of A. Appleby's MurmurHash3 (public domain).
std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 33;
  value *= 0xFF51AFD7ED558CCDull;
  value ^= value >> 33;
  value *= 0xC4CEB9FE1A85EC53ull;
  return value ^ (value >> 33);
}

/// Slots for `keys` that leave at least half of them empty.
std::size_t slots_for(std::size_t keys) { return keys == 0 ? 0 : std::bit_ceil(keys * 2); }

}  // namespace

std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0x9E3779B97F4A7C15ull ^ text.size();
  while (text.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data(), 8);
    hash = mix(hash ^ word);
    text.remove_prefix(8);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, text.data(), text.size());
  return mix(hash ^ rest);
}

Result<PieceTable> PieceTable::build(std::span<const std::string> pieces, const std::vector<bool>& usable,
                                     const std::string& where) {
  PieceTable table;
  table.pieces_ = pieces;
  std::size_t count = 0;
  for (std::size_t id = 0; id < pieces.size(); ++id) count += usable[id] && !pieces[id].empty();
  table.slots_.resize(slots_for(count));
  const std::size_t mask = table.slots_.size() - 1;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    const std::string& piece = pieces[id];
    if (!usable[id] || piece.empty()) continue;
    table.longest_ = std::max(table.longest_, piece.size());
    const std::uint64_t hash = hash_text(piece);
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    std::size_t at = hash & mask, probes = 0;
    bool known = false;
    while (table.slots_[at].id >= 0 && !known) {
      const Slot& slot = table.slots_[at];
      known = slot.tag == tag && pieces[static_cast<std::size_t>(slot.id)] == piece;
      at = (at + 1) & mask;
      if (++probes > limits::table_probes_max) {
        return Error{ErrorCode::corrupt, where +
                                             ": tokenizer makes no sense: its pieces were chosen to collide in a "
                                             "hash table; take it from another place"};
      }
    }
    if (!known) table.slots_[at] = {tag, static_cast<TokenId>(id)};
  }
  return table;
}

TokenId PieceTable::find(std::string_view text) const {
  if (text.size() > longest_ || slots_.empty()) return -1;
  const std::uint64_t hash = hash_text(text);
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash & mask; slots_[at].id >= 0; at = (at + 1) & mask) {
    if (slots_[at].tag == tag && pieces_[static_cast<std::size_t>(slots_[at].id)] == text) return slots_[at].id;
  }
  return -1;
}

PairTable::PairTable(std::size_t pairs) : slots_(slots_for(pairs)) {}

bool PairTable::add(TokenId left, TokenId right, PairMerge merge) {
  const std::uint64_t key = std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = mix(key) & mask;
  for (std::size_t probes = 0; slots_[at].key != UINT64_MAX; at = (at + 1) & mask) {
    if (slots_[at].key == key) return true;
    if (++probes > limits::table_probes_max) return false;
  }
  slots_[at] = {key, merge};
  return true;
}

PairMerge PairTable::find(TokenId left, TokenId right) const {
  if (slots_.empty()) return {};
  const std::uint64_t key = std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = mix(key) & mask; slots_[at].key != UINT64_MAX; at = (at + 1) & mask) {
    if (slots_[at].key == key) return slots_[at].merge;
  }
  return {};
}

}  // namespace tessera
