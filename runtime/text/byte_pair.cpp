#include "runtime/text/byte_pair.hpp"

#include <algorithm>
#include <numeric>

#include "runtime/base/ensure.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

/// Rank 0 for the highest score.
std::vector<std::uint32_t> ranks_of(const std::vector<float>& scores) {
  std::vector<std::uint32_t> order(scores.size()), ranks(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
  std::uint32_t rank = 0;
  for (std::size_t at = 0; at < order.size(); ++at) {
    if (at > 0 && scores[order[at]] < scores[order[at - 1]]) ++rank;
    ranks[order[at]] = rank;
  }
  return ranks;
}

}  // namespace

Result<BytePair> BytePair::create(const TokenizerData& data, const std::vector<bool>& usable,
                                  const std::string& where) {
  BytePair model;
  model.data_ = &data;
  TESSERA_TRY(model.table_, PieceTable::build(data.pieces, usable, where));
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (usable[id]) model.joints_.add(data.pieces[id]);
  }
  for (std::size_t value = 0; value < model.bytes_.size(); ++value) {
    const char byte = static_cast<char>(value);
    model.bytes_[value] = model.table_.find({&byte, 1});
  }
  if (data.kind == TokenizerKind::scored_bpe) {
    model.ranks_ = ranks_of(data.scores);
    return model;
  }
  model.pairs_ = PairTable(data.merges.size());
  std::string joined;
  for (std::size_t rank = 0; rank < data.merges.size(); ++rank) {
    const auto [left, right] = data.merges[rank];
    joined = data.pieces[static_cast<std::size_t>(left)];
    joined += data.pieces[static_cast<std::size_t>(right)];
    const TokenId id = model.table_.find(joined);
    if (id < 0 || !model.pairs_.add(left, right, {static_cast<std::uint32_t>(rank), id})) {
      const std::string cause = id < 0 ? " joins two pieces to what is no piece" : " collides with others on purpose";
      return Error{ErrorCode::corrupt, where + ": tokenizer makes no sense: merge " + std::to_string(rank) + cause +
                                           "; import the model again with a matching tokenizer"};
    }
  }
  return model;
}

PairMerge BytePair::join_of(std::string_view text, TokenId left, TokenId right) const {
  if (ranks_.empty()) return pairs_.find(left, right);
  const TokenId id = table_.find(text);
  return id < 0 ? PairMerge{} : PairMerge{ranks_[static_cast<std::size_t>(id)], id};
}

void BytePair::encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const {
  TESSERA_ENSURE(word.size() < UINT32_MAX);
  scratch.after_unknown_ = false;
  if (!data_->byte_symbols) return encode_characters(word, scratch, ids);
  encode_run(word, scratch, ids);
}

/// Encodes run by run: what no piece crosses is independent, and in ordinary text short.
void BytePair::encode_characters(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const {
  if (data_->whole_words && word.size() <= table_.longest()) return encode_run(word, scratch, ids);
  joints_.each_run(word, [&](std::string_view run) { encode_run(run, scratch, ids); });
}

void BytePair::encode_run(std::string_view run, Scratch& scratch, std::vector<TokenId>& ids) const {
  if (run.empty()) return;
  if (scratch.cache_.append(run, ids)) {
    scratch.after_unknown_ = false;
    return;
  }
  const std::size_t first = ids.size();
  scratch.saw_unknown_ = false;
  const TokenId whole = data_->whole_words ? table_.find(run) : -1;
  if (whole >= 0) {
    ids.push_back(whole);
    scratch.after_unknown_ = false;
  } else {
    add_symbols(run, scratch);
    join_all(run, scratch);
    const std::vector<Scratch::Symbol>& symbols = scratch.symbols_;
    for (std::uint32_t at = 0; at != none; at = symbols[at].next) {
      const std::uint32_t next = symbols[at].next;
      const std::size_t end = next == none ? run.size() : symbols[next].begin;
      if (symbols[at].id >= 0) {
        ids.push_back(symbols[at].id);
        scratch.after_unknown_ = false;
      } else {
        append_unknown(run.substr(symbols[at].begin, end - symbols[at].begin), scratch, ids);
      }
    }
  }
  // Whether unknowns become one depends on what stands before the run.
  if (!scratch.saw_unknown_) scratch.cache_.add(run, ids, first);
}

void BytePair::add_symbols(std::string_view run, Scratch& scratch) const {
  scratch.symbols_.clear();
  for (std::size_t at = 0; at < run.size();) {
    std::size_t length = 1;
    TokenId id;
    if (data_->byte_symbols) {
      id = bytes_[static_cast<unsigned char>(run[at])];
    } else {
      const CodePoint character = first_code_point(run.substr(at));
      length = character.is_valid ? character.length : 1;
      id = table_.find(run.substr(at, length));
    }
    const auto index = static_cast<std::uint32_t>(scratch.symbols_.size());
    if (index > 0) scratch.symbols_.back().next = index;
    scratch.symbols_.push_back({static_cast<std::uint32_t>(at), index - 1, none, id < 0 ? unknown_symbol : id});
    at += length;
  }
}

void BytePair::propose(std::string_view run, Scratch& scratch, std::uint32_t left, std::uint32_t right) const {
  const Scratch::Symbol &a = scratch.symbols_[left], &b = scratch.symbols_[right];
  if (!data_->merges_unknown && (a.id < 0 || b.id < 0)) return;
  const auto end = static_cast<std::uint32_t>(b.next == none ? run.size() : scratch.symbols_[b.next].begin);
  const PairMerge merge = join_of(run.substr(a.begin, end - a.begin), a.id, b.id);
  if (merge.id < 0) return;
  scratch.candidates_.push_back({std::uint64_t{merge.rank} << 32 | a.begin, left, right, end, merge.id});
}

void BytePair::join_all(std::string_view run, Scratch& scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch.symbols_;
  std::vector<Scratch::Candidate>& candidates = scratch.candidates_;
  candidates.clear();
  for (std::uint32_t at = 1; at < symbols.size(); ++at) propose(run, scratch, at - 1, at);
  std::make_heap(candidates.begin(), candidates.end());
  const auto propose_later = [&](std::uint32_t left, std::uint32_t right) {
    const std::size_t before = candidates.size();
    propose(run, scratch, left, right);
    if (candidates.size() > before) std::push_heap(candidates.begin(), candidates.end());
  };
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end());
    const Scratch::Candidate best = candidates.back();
    candidates.pop_back();
    Scratch::Symbol& left = symbols[best.left];
    if (left.id == gone || left.next != best.right) continue;
    Scratch::Symbol& right = symbols[best.right];
    const std::size_t end = right.next == none ? run.size() : symbols[right.next].begin;
    if (end != best.end) continue;
    scratch.last_ = {left.id, right.id};
    left.id = best.id;
    left.next = right.next;
    right.id = gone;
    if (left.next != none) symbols[left.next].previous = best.left;
    if (left.previous != none) propose_later(left.previous, best.left);
    if (left.next != none) propose_later(best.left, left.next);
  }
}

std::optional<Merge> BytePair::last_join(std::string_view text, Scratch& scratch) const {
  add_symbols(text, scratch);
  join_all(text, scratch);
  if (scratch.symbols_.size() < 2 || scratch.symbols_.front().next != none) return std::nullopt;
  return scratch.last_;
}

/// `text` is one character, or a byte that is none.
void BytePair::append_unknown(std::string_view text, Scratch& scratch, std::vector<TokenId>& ids) const {
  scratch.saw_unknown_ = true;
  if (data_->first_byte >= 0) {
    for (const char byte : text) ids.push_back(data_->first_byte + static_cast<unsigned char>(byte));
    scratch.after_unknown_ = false;
  } else if (data_->unknown >= 0 && !(scratch.after_unknown_ && data_->fuses_unknown)) {
    ids.push_back(data_->unknown);
    scratch.after_unknown_ = true;
  }
}

}  // namespace tessera
