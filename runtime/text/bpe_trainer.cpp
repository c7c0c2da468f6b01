#include "runtime/text/bpe_trainer.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "runtime/base/ensure.hpp"
#include "runtime/text/tokenizer_json.hpp"

namespace tessera {

namespace {

using PairKey = std::uint64_t;  // left id in the upper half: keys sort as pairs do

constexpr std::uint32_t merges_between_progress = 64;

PairKey key_of(TokenId left, TokenId right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

/// All words of the corpus as rows of ids, and for each pair its count and the words that may hold it.
class Trainer {
 public:
  explicit Trainer(const WordCounts::Map& words);
  Result<BpeVocabulary> train(const BpeTrainerOptions& options);

 private:
  struct Word {
    std::size_t begin;
    std::uint32_t length;
    std::uint64_t count;
  };
  struct Pair {
    std::uint64_t count = 0;
    std::vector<std::uint32_t> words;  // a word may be named more than once, and one may hold the pair no more
  };
  struct Candidate {
    std::uint64_t count;
    PairKey key;
    /// The top of the queue is the most frequent pair, of equals the smallest.
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  bool next(std::uint64_t count_min, PairKey& best);
  TokenId id_of_merge(TokenId left, TokenId right);
  void merge(PairKey pair, TokenId merged);
  void merge_in(std::uint32_t number, TokenId left, TokenId right, TokenId merged);
  void more(TokenId left, TokenId right, std::uint32_t word);
  void less(TokenId left, TokenId right, std::uint64_t count);

  std::vector<TokenId> symbols_;
  std::vector<Word> words_;
  std::unordered_map<PairKey, Pair> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<PairKey> grown_;  // pairs whose count rose in the current merge
  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_set<PairKey> merged_;
  BpeVocabulary result_;
};

Trainer::Trainer(const WordCounts::Map& words) {
  std::array<TokenId, 256> byte_ids{};
  result_.pieces.emplace_back(end_of_text);
  for (const unsigned char byte : bytes_by_character()) {
    byte_ids[byte] = static_cast<TokenId>(result_.pieces.size());
    ids_.emplace(std::string(1, static_cast<char>(byte)), byte_ids[byte]);
    result_.pieces.emplace_back(1, static_cast<char>(byte));
  }
  for (const auto& [word, count] : words) {
    const auto number = static_cast<std::uint32_t>(words_.size());
    words_.push_back({symbols_.size(), static_cast<std::uint32_t>(word.size()), count});
    for (const char byte : word) symbols_.push_back(byte_ids[static_cast<unsigned char>(byte)]);
    const TokenId* const row = symbols_.data() + words_.back().begin;
    for (std::size_t i = 1; i < word.size(); ++i) more(row[i - 1], row[i], number);
  }
  for (const auto& [key, pair] : pairs_) queue_.push({pair.count, key});
  grown_.clear();
}

void Trainer::more(TokenId left, TokenId right, std::uint32_t word) {
  const PairKey key = key_of(left, right);
  Pair& pair = pairs_[key];
  pair.count += words_[word].count;
  if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  grown_.push_back(key);
}

void Trainer::less(TokenId left, TokenId right, std::uint64_t count) {
  const auto pair = pairs_.find(key_of(left, right));
  TESSERA_ENSURE(pair != pairs_.end() && pair->second.count >= count);
  pair->second.count -= count;
}

/// The pair to merge, or false if none occurs often enough. A count in the queue may be out of date: what grew was
/// pushed again, so a smaller one is ignored, and what shrank is pushed with its new count when it comes to the top.
bool Trainer::next(std::uint64_t count_min, PairKey& best) {
  while (!queue_.empty()) {
    const Candidate top = queue_.top();
    if (top.count < count_min) return false;
    queue_.pop();
    const auto pair = pairs_.find(top.key);
    if (pair == pairs_.end() || pair->second.count > top.count) continue;
    if (pair->second.count == top.count) {
      best = top.key;
      return true;
    }
    if (pair->second.count > 0) queue_.push({pair->second.count, top.key});
  }
  return false;
}

/// Two ways may lead to one text; the piece then exists, and only the merge is new.
TokenId Trainer::id_of_merge(TokenId left, TokenId right) {
  std::string piece = result_.pieces[static_cast<std::size_t>(left)] + result_.pieces[static_cast<std::size_t>(right)];
  const auto [known, added] = ids_.try_emplace(piece, static_cast<TokenId>(result_.pieces.size()));
  if (added) result_.pieces.push_back(std::move(piece));
  if (merged_.insert(key_of(left, right)).second) result_.merges.push_back({left, right});
  return known->second;
}

void Trainer::merge_in(std::uint32_t number, TokenId left, TokenId right, TokenId merged) {
  Word& word = words_[number];
  TokenId* const row = symbols_.data() + word.begin;
  std::uint32_t out = 0;
  for (std::uint32_t i = 0; i < word.length;) {
    if (i + 1 == word.length || row[i] != left || row[i + 1] != right) {
      row[out++] = row[i++];
      continue;
    }
    less(left, right, word.count);
    if (out > 0) {
      less(row[out - 1], left, word.count);
      more(row[out - 1], merged, number);
    }
    if (i + 2 < word.length) {
      less(right, row[i + 2], word.count);
      more(merged, row[i + 2], number);
    }
    row[out++] = merged;
    i += 2;
  }
  word.length = out;
}

void Trainer::merge(PairKey key, TokenId merged) {
  const auto left = static_cast<TokenId>(key >> 32), right = static_cast<TokenId>(key & 0xFFFFFFFF);
  const std::vector<std::uint32_t> holders = std::move(pairs_.at(key).words);
  pairs_.at(key).words.clear();
  for (const std::uint32_t word : holders) merge_in(word, left, right, merged);
  TESSERA_ENSURE(pairs_.at(key).count == 0);
  pairs_.erase(key);
  std::sort(grown_.begin(), grown_.end());
  grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
  for (const PairKey pair : grown_) {
    const auto entry = pairs_.find(pair);
    if (entry != pairs_.end() && entry->second.count > 0) queue_.push({entry->second.count, pair});
  }
  grown_.clear();
}

Result<BpeVocabulary> Trainer::train(const BpeTrainerOptions& options) {
  const std::uint32_t merges_wanted = options.vocab_size - bpe_base_pieces;
  for (std::uint32_t round = 0; result_.pieces.size() < options.vocab_size; ++round) {
    PairKey best = 0;
    if (!next(options.pair_count_min, best)) {
      return Error{ErrorCode::invalid_argument,
                   "the corpus is too small for a vocabulary of " + std::to_string(options.vocab_size) + ": after " +
                       std::to_string(result_.pieces.size()) + " pieces no two stand side by side " +
                       std::to_string(options.pair_count_min) + " times; give more text, or a vocabulary of at most " +
                       std::to_string(result_.pieces.size())};
    }
    merge(best, id_of_merge(static_cast<TokenId>(best >> 32), static_cast<TokenId>(best & 0xFFFFFFFF)));
    if (round % merges_between_progress == 0 && options.progress &&
        !options.progress(static_cast<std::uint32_t>(result_.pieces.size()) - bpe_base_pieces, merges_wanted)) {
      return Error{ErrorCode::cancelled, "the training of the tokenizer was stopped"};
    }
  }
  for (const Word& word : words_) result_.corpus_tokens += word.count * word.length;
  return std::move(result_);
}

}  // namespace

Result<BpeVocabulary> train_bpe(const WordCounts::Map& words, const BpeTrainerOptions& options) {
  if (options.vocab_size < bpe_base_pieces || options.vocab_size > bpe_vocab_size_max) {
    return Error{ErrorCode::invalid_argument, "a vocabulary of " + std::to_string(options.vocab_size) +
                                                  " is not possible: it takes " + std::to_string(bpe_base_pieces) +
                                                  " (the bytes and one special token) to " +
                                                  std::to_string(bpe_vocab_size_max)};
  }
  if (words.empty()) return Error{ErrorCode::invalid_argument, "the corpus has no words; give a text to learn from"};
  return Trainer(words).train(options);
}

}  // namespace tessera
