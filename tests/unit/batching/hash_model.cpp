#include "tests/unit/batching/hash_model.hpp"

#include <algorithm>

namespace tessera {

std::uint64_t HashModel::mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

LogitsResult HashModel::sample(std::uint64_t hidden, TokenId last, std::uint64_t seed, std::uint32_t count) const {
  const std::uint64_t draw = mix(hidden, seed);
  if (copies_ && (draw >> 32) % 8 != 0) {
    const auto next = static_cast<TokenId>(mix(0, static_cast<std::uint64_t>(last)) % vocab_size_);
    return {next, static_cast<float>(draw >> 44), alternatives(hidden, count)};
  }
  return {static_cast<TokenId>(draw % vocab_size_), static_cast<float>(draw >> 44), alternatives(hidden, count)};
}

TokenAlternatives HashModel::alternatives(std::uint64_t hidden, std::uint32_t count) const {
  TokenAlternatives all;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto token = static_cast<TokenId>(mix(hidden, i) % vocab_size_);
    all.push_back({token, score(hidden, token)});
  }
  return all;
}

float HashModel::score(std::uint64_t hidden, TokenId token) {
  return static_cast<float>(mix(hidden, static_cast<std::uint64_t>(token)) >> 44);
}

std::uint64_t HashModel::slot(const std::vector<PageId>& pages, std::uint32_t position) {
  return std::uint64_t{pages.at(position / kv_page_positions).value} * kv_page_positions + position % kv_page_positions;
}

bool HashModel::holds(const std::vector<PageId>& pages, const std::vector<TokenId>& tokens) const {
  std::uint64_t before = 1;
  for (std::uint32_t position = 0; position < tokens.size(); ++position) {
    const std::uint64_t expected = mix(before, static_cast<std::uint64_t>(tokens[position]));
    const auto found = kv_.find(slot(pages, position));
    if (found == kv_.end() || found->second != expected) return false;
    before = mix(before, expected);
  }
  return true;
}

std::vector<LogitsResult> HashModel::compute(const StepPlan& plan) {
  std::vector<std::uint64_t> hidden;
  for (const PlannedRow& row : plan.rows) {
    const std::vector<PageId>& pages = plan.sequences[row.sequence].pages;
    std::uint64_t state = 1;
    for (std::uint32_t position = 0; position < row.position; ++position) {
      const auto it = kv_.find(slot(pages, position));
      state = mix(state, it == kv_.end() ? 0 : it->second);
    }
    state = mix(state, static_cast<std::uint64_t>(row.token));
    kv_[slot(pages, row.position)] = state;
    hidden.push_back(state);
  }
  states_.clear();
  for (std::size_t i = 0; i < plan.rows.size(); ++i) {
    if (plan.rows[i].wants_hidden) states_.push_back(hidden[i]);
  }
  std::vector<LogitsResult> results;
  for (const PlannedLogits& wanted : plan.logits) {
    const std::uint64_t state = hidden[wanted.row];
    results.push_back(wanted.scores
                          ? LogitsResult{0, score(state, wanted.scored_token), alternatives(state, wanted.alternatives)}
                          : sample(state, plan.rows[wanted.row].token, wanted.position, wanted.alternatives));
  }
  return results;
}

HashModel::Reference HashModel::reference(const SequenceSpec& spec, std::uint32_t context_length) const {
  Reference reference;
  std::vector<std::uint64_t> kv;
  std::vector<TokenId> history = spec.prompt;
  const auto feed = [&](TokenId token) {
    std::uint64_t state = 1;
    for (const std::uint64_t value : kv) state = mix(state, value);
    kv.push_back(mix(state, static_cast<std::uint64_t>(token)));
    return kv.back();
  };
  std::uint64_t hidden = 0;
  TokenId last = spec.prompt.back();
  for (std::size_t i = 0; i < spec.prompt.size(); ++i) {
    hidden = feed(spec.prompt[i]);
    const bool wanted = spec.hidden == HiddenStates::all || (spec.hidden == HiddenStates::first && i == 0) ||
                        (spec.hidden == HiddenStates::last && i + 1 == spec.prompt.size());
    if (wanted) reference.vector = add_state(reference.vector, hidden);
    if (!spec.score_prompt || i + 1 == spec.prompt.size()) continue;
    reference.scores.push_back(score(hidden, spec.prompt[i + 1]));
    reference.score_alternatives.push_back(alternatives(hidden, spec.alternatives));
  }
  // The loop of generate() in runtime/model/generation.cpp.
  for (auto position = static_cast<std::uint32_t>(spec.prompt.size()); reference.tokens.size() < spec.tokens_max;
       ++position) {
    reference.tokens.push_back(sample(hidden, last, position, spec.alternatives));
    const TokenId token = reference.tokens.back().token;
    if (std::find(spec.end_tokens.begin(), spec.end_tokens.end(), token) != spec.end_tokens.end()) {
      reference.finished = FinishReason::end_token;
      break;
    }
    if (position >= context_length) break;
    if (reference.tokens.size() == spec.tokens_max) break;
    hidden = feed(token);
    last = token;
  }
  return reference;
}

}  // namespace tessera
