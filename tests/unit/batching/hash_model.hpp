// A model of integers that behaves like one of floats: what a position's K and V are depends on every earlier position
// that the pages hold, so a wrong page, a missing or a stale position changes all tokens after it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "runtime/batching/conductor_core.hpp"

namespace tessera {

class HashModel {
 public:
  /// `copies`: of eight tokens seven follow from the one before alone, so that its text repeats itself.
  explicit HashModel(std::uint32_t vocab_size, bool copies = false) : vocab_size_(vocab_size), copies_(copies) {}

  /// What the step's shards and sampler answer. Writes the pages.
  std::vector<LogitsResult> compute(const StepPlan& plan);
  /// The hidden states of the rows of the last step that wanted one.
  const std::vector<std::uint64_t>& states() const { return states_; }
  /// What becomes of a vector when a state is added.
  static std::uint64_t add_state(std::uint64_t vector, std::uint64_t state) { return mix(vector, state); }
  /// Whether the pages hold for each of these tokens what it has there when it is computed alone.
  bool holds(const std::vector<PageId>& pages, const std::vector<TokenId>& tokens) const;
  /// All pages lose what they hold.
  void forget() { kv_.clear(); }

  /// The tokens and scores of a stream that is computed alone.
  struct Reference {
    std::vector<LogitsResult> tokens;
    std::vector<float> scores;
    std::vector<TokenAlternatives> score_alternatives;
    FinishReason finished = FinishReason::length;
    std::uint64_t vector = 0;
  };
  Reference reference(const SequenceSpec& spec, std::uint32_t context_length) const;

 private:
  static std::uint64_t mix(std::uint64_t a, std::uint64_t b);
  static std::uint64_t slot(const std::vector<PageId>& pages, std::uint32_t position);
  /// `last`: the token before the one that is sampled.
  LogitsResult sample(std::uint64_t hidden, TokenId last, std::uint64_t seed, std::uint32_t count) const;
  static float score(std::uint64_t hidden, TokenId token);
  TokenAlternatives alternatives(std::uint64_t hidden, std::uint32_t count) const;

  std::uint32_t vocab_size_;
  bool copies_;
  std::vector<std::uint64_t> states_;
  std::map<std::uint64_t, std::uint64_t> kv_;  ///< by page * kv_page_positions + offset
};

}  // namespace tessera
