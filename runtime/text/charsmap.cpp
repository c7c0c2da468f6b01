#include "runtime/text/charsmap.hpp"

#include <cstring>

namespace tessera {
namespace {

/// A unit of darts-clone: bits 0-7 and 31 the label, bit 8 whether a leaf follows, bit 9 and 10-30 the offset; in a
/// leaf bits 0-30 are the value.
struct Unit {
  std::uint32_t bits;
  bool has_leaf() const { return (bits >> 8 & 1) != 0; }
  std::uint32_t value() const { return bits & 0x7FFFFFFFu; }
  std::uint32_t label() const { return bits & (0x80000000u | 0xFF); }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & (1u << 9)) >> 6); }
};

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view bytes, const std::string& where) {
  Charsmap map;
  if (bytes.empty()) return map;
  std::uint32_t trie_bytes = 0;
  const auto damaged = [&] {
    return Error{ErrorCode::corrupt, where + ": its map of characters is damaged; fetch the tokenizer again"};
  };
  if (bytes.size() < sizeof trie_bytes) return damaged();
  std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
  bytes.remove_prefix(sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes % sizeof(std::uint32_t) != 0 || trie_bytes >= bytes.size()) return damaged();
  if (bytes.back() != '\0') return damaged();
  map.units_.resize(trie_bytes / sizeof(std::uint32_t));
  std::memcpy(map.units_.data(), bytes.data(), trie_bytes);
  map.replacements_ = bytes.substr(trie_bytes);
  return map;
}

Charsmap::Found Charsmap::find(std::string_view text) const {
  Found found;
  if (units_.empty()) return found;
  const auto unit_at = [this](std::uint32_t at) { return Unit{at < units_.size() ? units_[at] : 0}; };
  std::uint32_t at = unit_at(0).offset();
  for (std::size_t length = 0; length < text.size();) {
    const auto byte = static_cast<unsigned char>(text[length]);
    at ^= byte;
    const Unit unit = unit_at(at);
    if (at >= units_.size() || unit.label() != byte) break;
    at ^= unit.offset();
    ++length;
    if (!unit.has_leaf()) continue;
    const std::uint32_t value = unit_at(at).value();
    if (at >= units_.size() || value >= replacements_.size()) break;
    // The replacements end with NUL.
    found = {length, std::string_view(replacements_.c_str() + value)};
  }
  return found;
}

}  // namespace tessera
