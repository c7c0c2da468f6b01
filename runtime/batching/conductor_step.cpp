// Admission, planning and finishing of steps; conductor_core.cpp has what happens to sequences between them.
#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "runtime/base/ensure.hpp"
#include "runtime/batching/conductor_core.hpp"

namespace tessera {

/// By turn, those who have their pages go first, then those who lost them to others, as they were admitted before, then
/// replays from short to long, then new requests, those of the tenant with fewest that run first, as they came. By
/// priority, the earliest go first, by turn among themselves. Null when nobody
/// waits, or when the pages of who is next do not fit: it holds those behind it back.
ConductorCore::Sequence* ConductorCore::next_to_admit() {
  std::map<std::string, std::size_t> of_tenant;
  for (const auto& [key, sequence] : sequences_)
    if (sequence.state == State::running) ++of_tenant[sequence.spec.tenant_salt];
  const auto turn = [&](const Sequence& sequence) {
    if (sequence.senior > 0) return std::tuple(sequence.reserved > 0 ? 0 : 1, std::size_t{0}, sequence.senior);
    if (!sequence.generated.empty())
      return std::tuple(2, sequence.spec.prompt.size() + sequence.generated.size(), sequence.serial);
    return std::tuple(3, of_tenant[sequence.spec.tenant_salt], sequence.serial);
  };
  const auto rank = [&](const Sequence& sequence) {
    return std::tuple(sequence.reserved == 0, sequence.spec.priority, turn(sequence));
  };
  Sequence *by_turn = nullptr, *by_priority = nullptr;
  for (auto& [key, sequence] : sequences_) {
    if (sequence.state != State::waiting) continue;
    if (by_turn == nullptr || turn(sequence) < turn(*by_turn)) by_turn = &sequence;
    if (by_priority == nullptr || rank(sequence) < rank(*by_priority)) by_priority = &sequence;
  }
  Sequence* const next = passed_ < limits_.passed_max ? by_priority : by_turn;
  if (next != nullptr && !reserve(*next)) return nullptr;
  passed_ = next == by_turn ? 0 : passed_ + 1;
  return next;
}

void ConductorCore::admit() {
  for (std::uint32_t running = count(State::running); running < limits_.running_max; ++running) {
    Sequence* const next = next_to_admit();
    if (next == nullptr) return;
    next->state = State::running;
    if (next->senior == 0) next->senior = next_++;
  }
}

std::vector<ConductorCore::Sequences::iterator> ConductorCore::admitted() {
  std::vector<Sequences::iterator> running;
  for (auto it = sequences_.begin(); it != sequences_.end(); ++it)
    if (it->second.state == State::running) running.push_back(it);
  std::sort(running.begin(), running.end(), [](auto a, auto b) { return a->second.senior < b->second.senior; });
  return running;
}

/// Some of the rows that the sequence still needs, at least one.
void ConductorCore::add_rows(Sequence& sequence, SequenceKey key, StepPlan& plan, std::size_t rows_max,
                             std::size_t logits_max) {
  const std::uint32_t begin = sequence.computed, end = feed_end(sequence);
  const auto index = static_cast<std::uint32_t>(plan.sequences.size());
  std::uint32_t position = begin;
  for (; position < end && position - begin < rows_max; ++position) {
    const bool scores = wants_score(sequence, position);
    const bool samples = position + 1 == end && sequence.spec.tokens_max > 0;
    if (scores || samples) {
      if (logits_max == 0) break;
      --logits_max;
      plan.logits.push_back({static_cast<std::uint32_t>(plan.rows.size()), index, scores,
                             scores ? token_at(sequence, position + 1) : 0, position + 1, sequence.spec.alternatives});
    }
    plan.rows.push_back(
        {token_at(sequence, position), position, index, scores || samples, wants_hidden(sequence, position)});
  }
  TESSERA_ENSURE(position > begin);
  grow(sequence, position);
  plan.sequences.push_back({key, sequence.pages});
  flight_->parts.push_back({key, sequence.serial, position, 0, {}});
}

bool ConductorCore::short_prompt(const Sequence& sequence) const {
  return feed_end(sequence) - sequence.cached <= limits_.short_prompt_rows;
}

/// Of a step in which so many rows decode, after the short prompts.
std::size_t ConductorCore::rows_of_long_prompts(const std::vector<Sequences::iterator>& prefills,
                                                std::size_t decodes) const {
  if (limits_.stretch_max <= 0 || decodes == 0) return limits_.rows_max;
  std::size_t long_ones = 0, short_rows = 0;
  for (const auto it : prefills) {
    if (short_prompt(it->second)) {
      short_rows += feed_end(it->second) - it->second.computed;
    } else {
      ++long_ones;
    }
  }
  const std::size_t rows = pace_.rows(static_cast<std::uint32_t>(decodes), limits_.stretch_max, cost_);
  return std::max(long_ones, rows - std::min(rows, short_rows));
}

/// Equal shares of what is left of the step. Those that can use least come first, and what they leave goes to the
/// others; before all the prompts that are scored, which may come to the end of the logits before that of their rows.
void ConductorCore::add_chunks(std::vector<Sequences::iterator> prefills, StepPlan& plan) {
  leave_to_others(prefills);
  std::size_t long_rows = rows_of_long_prompts(prefills, plan.decodes);
  const auto rank = [](const Sequence& sequence) {
    return std::tuple(!wants_score(sequence, first_logits(sequence)), feed_end(sequence) - sequence.computed);
  };
  std::stable_sort(prefills.begin(), prefills.end(), [&](auto a, auto b) { return rank(a->second) < rank(b->second); });
  auto long_ones = static_cast<std::size_t>(
      std::count_if(prefills.begin(), prefills.end(), [&](auto it) { return !short_prompt(it->second); }));
  for (std::size_t i = 0; i < prefills.size(); ++i) {
    Sequence& sequence = prefills[i]->second;
    const std::size_t left = prefills.size() - i, before = plan.rows.size();
    std::size_t rows = (limits_.rows_max - before) / left;
    if (!short_prompt(sequence)) rows = std::min(rows, long_rows / long_ones);
    add_rows(sequence, prefills[i]->first, plan, rows, (limits_.logits_rows_max - plan.logits.size()) / left);
    if (short_prompt(sequence)) continue;
    long_rows -= plan.rows.size() - before;
    --long_ones;
  }
}

void ConductorCore::learn_cost(std::uint32_t decodes, std::uint32_t prompts, double seconds) {
  if (prompts == 0) {
    cost_.add(decodes, seconds);
  } else {
    pace_.add(decodes, prompts, seconds, cost_);
  }
}

/// As they were admitted, as many as fit, and one in any case.
void ConductorCore::add_whole(const std::vector<Sequences::iterator>& texts, StepPlan& plan) {
  for (const auto it : texts) {
    const std::size_t rows = feed_end(it->second) - it->second.computed;
    if (plan.rows.empty() || plan.rows.size() + rows <= limits_.rows_max) {
      add_rows(it->second, it->first, plan, rows, 0);
    }
  }
}

std::optional<StepPlan> ConductorCore::plan_step() {
  TESSERA_ENSURE(!flight_);
  for (auto it = sequences_.begin(); it != sequences_.end();) {
    const auto current = it++;
    finish(current);
  }
  extend();
  admit();
  StepPlan plan;
  flight_ = Flight{};
  std::vector<Sequences::iterator> decodes, prefills;
  for (const auto it : admitted()) {
    share(it->second);
    const bool decode = it->second.spec.hidden == HiddenStates::none && feed_end(it->second) - it->second.computed == 1;
    (decode ? decodes : prefills).push_back(it);
  }
  add_decodes(decodes, prefills, plan);
  plan.decodes = static_cast<std::uint32_t>(plan.rows.size());
  if (limits_.whole_sequences) {
    add_whole(prefills, plan);
  } else {
    add_chunks(std::move(prefills), plan);
  }
  if (plan.rows.empty()) {
    flight_.reset();
    return {};
  }
  flight_->logits = plan.logits;
  return plan;
}

void ConductorCore::append(const PlannedLogits& wanted, const LogitsResult& result, Sequence& sequence,
                           SequenceUpdate* update) {
  if (wanted.scores) {
    TESSERA_ENSURE(wanted.position == sequence.scores.size() + 1);
    sequence.scores.push_back(result.log_probability);
    if (wanted.alternatives > 0) sequence.score_alternatives.push_back(result.alternatives);
    if (update != nullptr) update->scores.push_back({wanted.position, result.log_probability, result.alternatives});
    return;
  }
  TESSERA_ENSURE(wanted.position == sequence.spec.prompt.size() + sequence.generated.size());
  const auto index = static_cast<std::uint32_t>(sequence.generated.size());
  sequence.generated.push_back(result.token);
  sequence.log_probabilities.push_back(result.log_probability);
  if (wanted.alternatives > 0) sequence.alternatives.push_back(result.alternatives);
  if (update != nullptr) update->tokens.push_back({index, result.token, result.log_probability, result.alternatives});
}

/// Of one sequence: the tokens and scores, and the positions that are computed with them.
void ConductorCore::take_results(Sequences::iterator it, const Flight::Part& part,
                                 std::span<const PlannedLogits> logits, std::span<const LogitsResult> results) {
  Sequence& sequence = it->second;
  // A detached sequence keeps its news until its frontend is back.
  SequenceUpdate* const update = !logits.empty() && sequence.state != State::detached ? &update_of(it->first) : nullptr;
  if (update != nullptr) update->cached_tokens = sequence.cached;
  const std::uint32_t full_before = sequence.computed / kv_page_positions;
  sequence.computed = part.computed;
  sequence.waited = 0;
  const auto drafted =
      static_cast<std::uint32_t>(std::count_if(logits.begin(), logits.end(), [](auto& one) { return one.draft; }));
  std::uint32_t accepted = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i].draft) {
      if (results[i - 1].token != *logits[i].draft || finish_of(sequence)) break;
      ++accepted;
    }
    append(logits[i], results[i], sequence, update);
  }
  sequence.computed += accepted;
  speculation_.drafted += drafted;
  speculation_.accepted += accepted;
  if (drafted > 0 || !part.guess) {
    sequence.drafts.add(drafted, accepted);
  } else {
    sequence.drafts.add(1, results.back().token == *part.guess ? 1 : 0);
  }
  if (!limits_.whole_sequences) name_pages(sequence, full_before);
  finish(it);
}

void ConductorCore::step_done(std::span<const LogitsResult> results) {
  TESSERA_ENSURE(flight_ && results.size() == flight_->logits.size());
  const std::vector<Flight::Part> parts = flight_->parts;
  const std::vector<PlannedLogits> logits = flight_->logits;
  end_flight();
  std::size_t next = 0;
  for (std::uint32_t index = 0; index < parts.size(); ++index) {
    const std::size_t first = next;
    while (next < logits.size() && logits[next].sequence == index) ++next;
    const auto it = sequences_.find(parts[index].key);
    if (it != sequences_.end() && it->second.serial == parts[index].serial)
      take_results(it, parts[index], std::span(logits).subspan(first, next - first),
                   results.subspan(first, next - first));
    give_back(parts[index]);
  }
}

void ConductorCore::step_abandoned() {
  if (!flight_) return;
  for (const Flight::Part& part : flight_->parts) give_back(part);
  end_flight();
}

/// Nobody writes the pages any more that left during the step.
void ConductorCore::end_flight() {
  pages_.release(flight_->pages);
  flight_.reset();
}

}  // namespace tessera
