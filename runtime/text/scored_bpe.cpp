#include "runtime/text/scored_bpe.hpp"

#include <algorithm>
#include <cstdint>
#include <queue>

#include "runtime/base/ensure.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {

/// An id that stands for text[begin, begin of the next symbol). Symbols form a list by index; merged ones stay in the
/// vector, unused.
struct ScoredBpe::Symbol {
  std::uint32_t begin;
  std::uint32_t previous;
  std::uint32_t next;
  TokenId id;
};

/// A pair of neighbours that together are a piece. Goes stale when one of the two is merged otherwise.
struct ScoredBpe::Candidate {
  float score;
  std::uint32_t left;
  std::uint32_t right;
  TokenId id;

  /// Worse than: priority_queue gives the best score first, the leftmost of equals.
  bool operator<(const Candidate& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

/// Merges one run of symbols; reused for run after run.
class ScoredBpe::Merger {
 public:
  Merger(const ScoredBpe& bpe, std::string_view text) : bpe_(bpe), text_(text) {}

  bool empty() const { return symbols_.empty(); }

  void add(std::size_t begin, TokenId id) {
    const auto index = static_cast<std::uint32_t>(symbols_.size());
    if (index > 0) symbols_.back().next = index;
    symbols_.push_back({static_cast<std::uint32_t>(begin), index - 1, none, id});
  }

  /// Merges what was added, which ends at byte `end`, appends the ids and forgets it.
  void flush(std::size_t end, std::vector<TokenId>& ids) {
    end_ = end;
    for (std::uint32_t i = 1; i < symbols_.size(); ++i) propose(i - 1, i);
    while (!candidates_.empty()) {
      const Candidate best = candidates_.top();
      candidates_.pop();
      if (!is_stale(best)) merge(best);
    }
    for (std::uint32_t i = symbols_.empty() ? none : 0; i != none; i = symbols_[i].next) ids.push_back(symbols_[i].id);
    symbols_.clear();
  }

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  static constexpr TokenId merged_away = -1;

  std::size_t end_of(std::uint32_t index) const {
    const std::uint32_t next = symbols_[index].next;
    return next == none ? end_ : symbols_[next].begin;
  }

  void propose(std::uint32_t left, std::uint32_t right) {
    const std::size_t begin = symbols_[left].begin;
    const TokenId id = bpe_.find(text_.substr(begin, end_of(right) - begin));
    if (id >= 0) candidates_.push({bpe_.scores_[static_cast<std::size_t>(id)], left, right, id});
  }

  /// A symbol's beginning never moves, so the pair is the proposed one if both are still neighbours and of the same
  /// length together.
  bool is_stale(const Candidate& candidate) const {
    const Symbol& left = symbols_[candidate.left];
    return left.id == merged_away || left.next != candidate.right ||
           end_of(candidate.right) - left.begin != bpe_.pieces_[static_cast<std::size_t>(candidate.id)].size();
  }

  void merge(const Candidate& candidate) {
    Symbol& left = symbols_[candidate.left];
    Symbol& right = symbols_[candidate.right];
    left.id = candidate.id;
    left.next = right.next;
    right.id = merged_away;
    if (left.next != none) symbols_[left.next].previous = candidate.left;
    if (left.previous != none) propose(left.previous, candidate.left);
    if (left.next != none) propose(candidate.left, left.next);
  }

  const ScoredBpe& bpe_;
  std::string_view text_;
  std::size_t end_ = 0;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> candidates_;
};

ScoredBpe::ScoredBpe(std::span<const std::string> pieces, std::span<const float> scores,
                     const std::vector<bool>& usable)
    : pieces_(pieces), scores_(scores) {
  TESSERA_ENSURE(pieces.size() == scores.size() && pieces.size() == usable.size());
  ids_.reserve(pieces.size());
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    const std::string& piece = pieces[id];
    if (!usable[id] || piece.empty()) continue;
    ids_.try_emplace(piece, static_cast<TokenId>(id));
    longest_ = std::max(longest_, piece.size());
    for (std::size_t i = 1; i < piece.size(); ++i) {
      joints_.set(static_cast<std::size_t>(static_cast<unsigned char>(piece[i - 1])) << 8 |
                  static_cast<unsigned char>(piece[i]));
    }
  }
}

TokenId ScoredBpe::find(std::string_view text) const {
  if (text.size() > longest_) return -1;
  const auto found = ids_.find(text);
  return found == ids_.end() ? -1 : found->second;
}

void ScoredBpe::encode(std::string_view text, TokenId first_byte, TokenId unknown, std::vector<TokenId>& ids) const {
  TESSERA_ENSURE(text.size() < UINT32_MAX);
  // No merge ever crosses a fallback id, or two bytes that are neighbours in no piece: the runs between such places are
  // independent, and in ordinary text short.
  Merger run(*this, text);
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Scan scan = scan_utf8(text.substr(at));
    const std::size_t length = scan.verdict == Utf8Verdict::complete ? scan.length : 1;
    const std::string_view character = text.substr(at, length);
    const TokenId id = find(character);
    if (!run.empty() && (id < 0 || !may_join(text[at - 1], text[at]))) run.flush(at, ids);
    if (id >= 0) {
      run.add(at, id);
    } else if (first_byte >= 0) {
      for (const char byte : character) ids.push_back(first_byte + static_cast<unsigned char>(byte));
    } else if (unknown >= 0) {
      ids.push_back(unknown);
    }
    at += length;
  }
  run.flush(text.size(), ids);
}

}  // namespace tessera
