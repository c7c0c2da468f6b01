#include "runtime/batching/sequence.hpp"

namespace tessera {

TokenId token_at(const SequenceState& sequence, std::uint32_t position) {
  const std::size_t prompt = sequence.spec.prompt.size();
  return position < prompt ? sequence.spec.prompt[position] : sequence.generated[position - prompt];
}

std::uint32_t feed_end(const SequenceState& sequence) {
  const std::size_t prompt = sequence.spec.prompt.size();
  if (sequence.spec.hidden != HiddenStates::none) return static_cast<std::uint32_t>(prompt);
  return static_cast<std::uint32_t>(sequence.spec.tokens_max == 0 ? prompt - 1 : prompt + sequence.generated.size());
}

/// Scores are reported before the first token: who has tokens has its scores.
bool wants_score(const SequenceState& sequence, std::uint32_t position) {
  return sequence.spec.score_prompt && sequence.generated.empty() && position + 1 < sequence.spec.prompt.size() &&
         position + 1 > sequence.scores.size();
}

bool wants_hidden(const SequenceState& sequence, std::uint32_t position) {
  switch (sequence.spec.hidden) {
    case HiddenStates::none:
      return false;
    case HiddenStates::all:
      return true;
    case HiddenStates::first:
      return position == 0;
    case HiddenStates::last:
      return position + 1 == sequence.spec.prompt.size();
  }
  return false;
}

std::uint32_t first_logits(const SequenceState& sequence) {
  const auto scored = static_cast<std::uint32_t>(sequence.scores.size());
  if (wants_score(sequence, scored)) return scored;
  if (sequence.spec.hidden != HiddenStates::none) return 0;
  return feed_end(sequence) - (sequence.spec.tokens_max > 0 ? 1 : 0);
}

}  // namespace tessera
