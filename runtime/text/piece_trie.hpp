// PieceTrie: the pieces that begin a text, found in one walk. A radix tree over the sorted pieces: its nodes are fewer
// than twice the pieces, however long those are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/ids.hpp"

namespace tessera {

/// Immutable after construction; any thread. Keeps views of the texts, which must outlive it.
class PieceTrie {
 public:
  using Entry = std::pair<std::string_view, TokenId>;

  PieceTrie() { roots_.fill(none); }
  /// Of equal texts the lowest id counts; empty texts are left out.
  explicit PieceTrie(std::vector<Entry> entries);

  bool empty() const { return nodes_.empty(); }
  /// Whether a piece begins with `byte`.
  bool may_begin(char byte) const { return roots_[static_cast<unsigned char>(byte)] != none; }

  /// Calls `visit(length, id)` for every piece that is a prefix of `text`, the shortest first.
  template <typename Visit>
  void prefixes(std::string_view text, Visit&& visit) const {
    if (text.empty()) return;
    std::uint32_t at = roots_[static_cast<unsigned char>(text[0])];
    std::size_t length = 0;
    while (at != none) {
      const Node& node = nodes_[at];
      if (text.substr(length, node.label.size()) != node.label) return;
      length += node.label.size();
      if (node.id >= 0) visit(length, node.id);
      if (length == text.size()) return;
      at = child_of(node, text[length]);
    }
  }

 private:
  static constexpr std::uint32_t none = UINT32_MAX;

  struct Node {
    std::string_view label;  // not empty
    TokenId id = -1;         // of the piece that ends here, or -1
    std::uint32_t first_child = 0;
    std::uint32_t children = 0;
  };

  std::uint32_t child_of(const Node& node, char byte) const;

  std::vector<Node> nodes_;        // children of a node follow each other, ordered by their first byte
  std::vector<char> first_bytes_;  // of the nodes' labels
  std::array<std::uint32_t, 256> roots_{};
};

}  // namespace tessera
