// Speculation in the conductor: which sequences get drafts, and the rows and pages that they may use.
#include <algorithm>
#include <utility>

#include "runtime/batching/conductor_core.hpp"

namespace tessera {

/// What neither sequences that decode nor prompts can use: these have asked for `decodes` rows of one logit each, and
/// for all that is left of the prompts.
ConductorCore::DraftRoom ConductorCore::draft_room(std::size_t decodes,
                                                   const std::vector<Sequences::iterator>& prefills) const {
  std::size_t rows = decodes, logits = decodes;
  for (const auto it : prefills) {
    const Sequence& sequence = it->second;
    const std::uint32_t end = feed_end(sequence);
    rows += end - sequence.computed;
    logits += std::min(end - sequence.computed, end - std::min(end, first_logits(sequence)));
  }
  return {limits_.rows_max - std::min<std::size_t>(limits_.rows_max, rows),
          limits_.logits_rows_max - std::min<std::size_t>(limits_.logits_rows_max, logits)};
}

/// How many positions behind the next one the sequence can have drafts for: as far as tokens can be asked for, in its
/// own pages, and in more of them only if they are free and promised to nobody.
std::uint32_t ConductorCore::draft_positions(const Sequence& sequence, std::uint32_t wanted) const {
  const std::uint32_t end = feed_end(sequence);
  const auto generated = static_cast<std::uint32_t>(sequence.generated.size());
  wanted = std::min({wanted, sequence.spec.tokens_max - generated - 1, limits_.context_length - end});
  const std::uint32_t more = pages_for(end + wanted) - std::min(pages_for(end + wanted), sequence.reserved);
  if (more > 0 && promised() + more > pages_.available() - pages_.idle())
    wanted = std::min(wanted, sequence.reserved * kv_page_positions - end);
  return wanted;
}

/// The first of these guesses that are worth their rows in a step of `rows` rows and `tokens` tokens.
std::vector<TokenId> ConductorCore::worthy_drafts(const Sequence& sequence, std::vector<TokenId> guesses,
                                                  std::uint32_t rows, double tokens) const {
  // Nothing follows an end token, so there is no use in computing one.
  const std::vector<TokenId>& ends = sequence.spec.end_tokens;
  guesses.erase(std::find_first_of(guesses.begin(), guesses.end(), ends.begin(), ends.end()), guesses.end());
  const auto count = static_cast<std::uint32_t>(guesses.size());
  guesses.resize(drafts_worth(cost_, rows, tokens, sequence.drafts.acceptance(), count));
  return guesses;
}

/// Behind the row of the sequence that was planned last.
void ConductorCore::add_drafts(Sequence& sequence, const std::vector<TokenId>& drafts, StepPlan& plan) {
  const std::uint32_t end = feed_end(sequence);
  const auto index = static_cast<std::uint32_t>(plan.sequences.size() - 1);
  for (std::uint32_t i = 0; i < drafts.size(); ++i) {
    plan.logits.push_back({static_cast<std::uint32_t>(plan.rows.size()), index, false, 0, end + i + 1,
                           sequence.spec.alternatives, drafts[i]});
    plan.rows.push_back({drafts[i], end + i, index, true});
  }
  const std::uint32_t pages = pages_for(end + static_cast<std::uint32_t>(drafts.size()));
  if (pages > sequence.reserved) {
    flight_->parts.back().borrowed = pages - sequence.reserved;
    sequence.reserved = pages;
  }
  grow(sequence, end + static_cast<std::uint32_t>(drafts.size()));
  plan.sequences.back().pages = sequence.pages;
}

/// A row for each sequence that decodes, and drafts where they are worth it; each may use an equal share of the room
/// that is left.
void ConductorCore::add_decodes(const std::vector<Sequences::iterator>& decodes,
                                const std::vector<Sequences::iterator>& prefills, StepPlan& plan) {
  DraftRoom room = limits_.drafts_max > 0 ? draft_room(decodes.size(), prefills) : DraftRoom{0, 0};
  auto rows = static_cast<std::uint32_t>(decodes.size());
  double tokens = rows;
  for (std::size_t i = 0; i < decodes.size(); ++i) {
    Sequence& sequence = decodes[i]->second;
    add_rows(sequence, decodes[i]->first, plan, 1, 1);
    const std::size_t share = std::min(room.rows, room.logits) / (decodes.size() - i);
    if (limits_.drafts_max == 0 || sequence.spec.tokens_max == 0) continue;
    const std::uint32_t positions =
        draft_positions(sequence, static_cast<std::uint32_t>(std::min<std::size_t>(share, limits_.drafts_max)));
    std::vector<TokenId> guesses = sequence.lookup.propose(sequence, std::max(1u, positions));
    if (guesses.empty()) continue;
    flight_->parts.back().guess = guesses.front();
    guesses.resize(std::min<std::size_t>(guesses.size(), positions));
    const std::vector<TokenId> drafts = worthy_drafts(sequence, std::move(guesses), rows, tokens);
    if (drafts.empty()) continue;
    add_drafts(sequence, drafts, plan);
    const auto count = static_cast<std::uint32_t>(drafts.size());
    rows += count;
    tokens += expected_accepted(sequence.drafts.acceptance(), count);
    room.rows -= count;
    room.logits -= count;
  }
}

/// What the drafts borrowed and the sequence does not need for its next token: nobody may miss a page for a guess.
void ConductorCore::give_back(const Flight::Part& part) {
  const auto it = sequences_.find(part.key);
  if (part.borrowed == 0 || it == sequences_.end() || it->second.reserved == 0) return;
  Sequence& sequence = it->second;
  const std::uint32_t keep =
      std::min(sequence.reserved, std::max(pages_for(feed_end(sequence)), sequence.reserved - part.borrowed));
  std::vector<PageId> rest(sequence.pages.begin() + std::min<std::ptrdiff_t>(keep, std::ssize(sequence.pages)),
                           sequence.pages.end());
  sequence.pages.resize(sequence.pages.size() - rest.size());
  pages_.release(rest);
  sequence.reserved = keep;
}

}  // namespace tessera
