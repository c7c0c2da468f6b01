#include "runtime/text/piece_trie.hpp"

#include <algorithm>

namespace tessera {
namespace {

/// A node that has to be made: entries [begin, end) share their first `depth` bytes with it.
struct Task {
  std::size_t begin, end, depth;
  std::uint32_t node;
};

bool less(char a, char b) { return static_cast<unsigned char>(a) < static_cast<unsigned char>(b); }

}  // namespace

PieceTrie::PieceTrie(std::vector<Entry> entries) {
  roots_.fill(none);
  std::erase_if(entries, [](const Entry& entry) { return entry.first.empty(); });
  std::sort(entries.begin(), entries.end());
  const auto same_text = [](const Entry& a, const Entry& b) { return a.first == b.first; };
  entries.erase(std::unique(entries.begin(), entries.end(), same_text), entries.end());

  std::vector<Task> tasks;
  // Makes empty nodes for the runs of [begin, end) with the same byte at `depth`.
  const auto open_children = [&](std::size_t begin, std::size_t end, std::size_t depth) {
    for (std::size_t at = begin; at < end;) {
      const char byte = entries[at].first[depth];
      const std::size_t from = at;
      while (at < end && entries[at].first[depth] == byte) ++at;
      tasks.push_back({from, at, depth, static_cast<std::uint32_t>(nodes_.size())});
      nodes_.emplace_back();
      first_bytes_.push_back(byte);
    }
  };
  open_children(0, entries.size(), 0);
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    roots_[static_cast<unsigned char>(first_bytes_[node])] = node;
  }
  while (!tasks.empty()) {
    const Task task = tasks.back();
    tasks.pop_back();
    // In sorted order the first and the last text share what all share.
    const std::string_view first = entries[task.begin].first, last = entries[task.end - 1].first;
    std::size_t end = task.depth + 1;
    while (end < first.size() && end < last.size() && first[end] == last[end]) ++end;
    const bool is_piece = first.size() == end;
    const auto child = static_cast<std::uint32_t>(nodes_.size());
    open_children(task.begin + is_piece, task.end, end);
    Node& node = nodes_[task.node];
    node.label = first.substr(task.depth, end - task.depth);
    node.id = is_piece ? entries[task.begin].second : -1;
    node.first_child = child;
    node.children = static_cast<std::uint32_t>(nodes_.size()) - child;
  }
}

std::uint32_t PieceTrie::child_of(const Node& node, char byte) const {
  const auto begin = first_bytes_.begin() + node.first_child, end = begin + node.children;
  const auto found = node.children > 8 ? std::lower_bound(begin, end, byte, less) : std::find(begin, end, byte);
  return found == end || *found != byte ? none : static_cast<std::uint32_t>(found - first_bytes_.begin());
}

}  // namespace tessera
