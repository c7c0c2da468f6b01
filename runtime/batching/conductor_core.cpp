// Sequences come and go; conductor_step.cpp plans and finishes their steps, conductor_pages.cpp has their pages.
#include "runtime/batching/conductor_core.hpp"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

Error invalid(std::string message) { return Error{ErrorCode::invalid_argument, std::move(message)}; }

Result<void> check_tokens(const std::vector<TokenId>& tokens, std::uint32_t vocab_size, const char* what) {
  for (const TokenId token : tokens) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= vocab_size) {
      return invalid(std::string(what) + " " + std::to_string(token) + " is outside the vocabulary (0 to " +
                     std::to_string(vocab_size - 1) + ")");
    }
  }
  return {};
}

/// Tokens or hidden states, and what the model has.
Result<void> check_wanted(const SequenceSpec& spec, const ConductorLimits& limits) {
  if (spec.hidden == HiddenStates::none) {
    if (limits.has_head) return {};
    return Error{
        ErrorCode::unsupported,
        "the model has no head that predicts tokens: it gives vectors of texts, but no text and no probabilities"};
  }
  if (spec.tokens_max > 0 || spec.score_prompt || !spec.delivered.empty()) {
    return invalid("a stream has tokens and scores, or a vector, not both");
  }
  if (spec.hidden == HiddenStates::first && !limits.whole_sequences) {
    return invalid(
        "the first token of this model sees nothing of its text, so that its state is no vector of it: pool by mean "
        "or last");
  }
  return {};
}

bool begins_with(const std::vector<TokenId>& tokens, const std::vector<TokenId>& beginning) {
  return beginning.size() <= tokens.size() && std::equal(beginning.begin(), beginning.end(), tokens.begin());
}

/// What cannot be true of a sequence that wants at most `pages_max` pages; empty: nothing.
std::string contradiction(const SequenceState& state, std::uint32_t pages_max) {
  const std::size_t history = state.spec.prompt.size() + state.generated.size();
  if (!begins_with(state.generated, state.spec.delivered)) return "delivered tokens are not among the generated ones";
  if (state.generated.size() > state.spec.tokens_max) return "more tokens than the request allows";
  if (state.log_probabilities.size() > state.generated.size()) return "more log-probabilities than tokens";
  if (state.scores.size() >= state.spec.prompt.size()) return "more scores than prompt tokens";
  if (state.spec.alternatives > 0 && (state.alternatives.size() != state.log_probabilities.size() ||
                                      state.score_alternatives.size() != state.scores.size()))
    return "alternatives are missing";
  if (state.computed >= history) return "the last token cannot be computed yet";
  if (pages_for(state.computed) > state.pages.size() || state.pages.size() > pages_max)
    return "the pages do not fit the computed positions";
  return {};
}

}  // namespace

ConductorCore::ConductorCore(const ConductorLimits& limits) : limits_(limits), pages_(limits.pages) {
  TESSERA_ENSURE(limits.context_length > 0 && limits.vocab_size > 0 && limits.pages > 0);
  TESSERA_ENSURE(limits.running_max > 0);
  TESSERA_ENSURE(limits.running_max <= limits.rows_max && limits.running_max <= limits.logits_rows_max);
  TESSERA_ENSURE(limits.drafts_max < 256);
}

/// The last token is never fed back, and none at position context_length can be.
std::uint32_t ConductorCore::pages_wanted(const SequenceSpec& spec) const {
  const bool all = spec.hidden != HiddenStates::none;  // of the prompt are fed
  const std::uint64_t positions = spec.prompt.size() + std::uint64_t{spec.tokens_max} - (all ? 0 : 1);
  return pages_for(static_cast<std::uint32_t>(std::min<std::uint64_t>(positions, limits_.context_length)));
}

Result<void> ConductorCore::check(const SequenceSpec& spec) const {
  if (spec.prompt.empty()) return invalid("the prompt is empty: give at least one token");
  TESSERA_CHECK(check_wanted(spec, limits_));
  if (spec.prompt.size() > limits_.context_length) {
    return invalid("the prompt has " + std::to_string(spec.prompt.size()) + " tokens, the model's context only " +
                   std::to_string(limits_.context_length) + "; shorten the prompt");
  }
  // One token can be sampled behind a full context.
  if (spec.delivered.size() > spec.tokens_max ||
      spec.prompt.size() + spec.delivered.size() > std::size_t{limits_.context_length} + 1) {
    return invalid(std::to_string(spec.delivered.size()) +
                   " delivered tokens are more than the request or the model's " + "context allows");
  }
  if (spec.end_tokens.size() > limits_.end_tokens_max) {
    return invalid(std::to_string(spec.end_tokens.size()) + " end tokens: use at most " +
                   std::to_string(limits_.end_tokens_max));
  }
  if (spec.alternatives > limits::alternatives_max) {
    return invalid(std::to_string(spec.alternatives) + " alternatives of a token: ask for at most " +
                   std::to_string(limits::alternatives_max));
  }
  TESSERA_CHECK(check_tokens(spec.prompt, limits_.vocab_size, "prompt token"));
  TESSERA_CHECK(check_tokens(spec.delivered, limits_.vocab_size, "delivered token"));
  if (const std::uint32_t pages = pages_wanted(spec); pages > limits_.pages) {
    return Error{ErrorCode::exhausted, "the request needs up to " + std::to_string(pages) + " pages of " +
                                           std::to_string(kv_page_positions) +
                                           " positions, the replica's KV cache has " + std::to_string(limits_.pages) +
                                           "; shorten the prompt or ask for fewer tokens"};
  }
  return {};
}

Result<void> ConductorCore::submit(SequenceSpec spec) {
  TESSERA_CHECK(check(spec));
  const SequenceKey key = spec.key;
  if (const auto it = sequences_.find(key); it != sequences_.end()) return attach(it, spec);
  if (count(State::waiting) >= limits_.waiting_max) {
    return Error{ErrorCode::exhausted,
                 std::to_string(limits_.waiting_max) + " requests are waiting already; try again later"};
  }
  Sequence sequence;
  sequence.generated = spec.delivered;
  sequence.spec = std::move(spec);
  sequence.serial = next_++;
  sequence.order = sequence.serial;
  finish(sequences_.emplace(key, std::move(sequence)).first);
  return {};
}

/// The frontend of a sequence that is here opens it again: it may know fewer tokens than are computed (they were on
/// their way when its connection broke), or more (this conductor got an older state).
Result<void> ConductorCore::attach(Sequences::iterator it, SequenceSpec& spec) {
  Sequence& sequence = it->second;
  if (spec.prompt != sequence.spec.prompt || spec.tokens_max != sequence.spec.tokens_max ||
      spec.end_tokens != sequence.spec.end_tokens || spec.score_prompt != sequence.spec.score_prompt ||
      spec.alternatives != sequence.spec.alternatives || spec.hidden != sequence.spec.hidden ||
      spec.normalised != sequence.spec.normalised || spec.tenant_salt != sequence.spec.tenant_salt) {
    return Error{ErrorCode::conflict, "another request runs under the same stream id; choose a new id"};
  }
  const std::size_t known_from = sequence.generated.size() - sequence.log_probabilities.size();
  const bool ahead = spec.delivered.size() > sequence.generated.size();
  const bool agrees =
      ahead ? begins_with(spec.delivered, sequence.generated) : begins_with(sequence.generated, spec.delivered);
  if (!agrees || spec.delivered.size() < known_from) {
    // What it lacks was never reported here, so it has to be computed again.
    cancel(it->first);
    return submit(std::move(spec));
  }
  std::erase_if(updates_, [&](const SequenceUpdate& update) { return update.key == it->first; });
  sequence.spec.priority = spec.priority;
  if (ahead) {
    sequence.generated = spec.delivered;
    sequence.log_probabilities.clear();
    sequence.alternatives.clear();
    sequence.serial = next_++;  // the step in flight computes a token that the frontend has
  }
  if (sequence.state == State::detached) {
    const bool runs = sequence.reserved > 0 && count(State::running) < limits_.running_max;
    sequence.state = runs ? State::running : State::waiting;
  }
  report(it->first, sequence, static_cast<std::uint32_t>(spec.delivered.size()));
  finish(it);
  return {};
}

void ConductorCore::report(SequenceKey key, const Sequence& sequence, std::uint32_t tokens_from) {
  SequenceUpdate update{key, {}, {}, {}, {}, sequence.cached};
  if (tokens_from == 0) {
    for (std::uint32_t i = 0; i < sequence.scores.size(); ++i) {
      update.scores.push_back({i + 1, sequence.scores[i], {}});
      if (sequence.spec.alternatives > 0) update.scores.back().alternatives = sequence.score_alternatives[i];
    }
  }
  const std::size_t known_from = sequence.generated.size() - sequence.log_probabilities.size();
  for (std::uint32_t i = tokens_from; i < sequence.generated.size(); ++i) {
    update.tokens.push_back({i, sequence.generated[i], sequence.log_probabilities[i - known_from], {}});
    if (sequence.spec.alternatives > 0) update.tokens.back().alternatives = sequence.alternatives[i - known_from];
  }
  if (!update.scores.empty() || !update.tokens.empty()) updates_.push_back(std::move(update));
}

std::optional<FinishReason> ConductorCore::finish_of(const Sequence& sequence) const {
  const SequenceSpec& spec = sequence.spec;
  if (spec.hidden != HiddenStates::none) {
    if (sequence.computed == spec.prompt.size()) return FinishReason::length;
    return {};
  }
  if (sequence.generated.empty()) {
    const bool evaluated = !spec.score_prompt || sequence.scores.size() + 1 == spec.prompt.size();
    if (spec.tokens_max == 0 && evaluated) return FinishReason::length;
    return {};
  }
  if (std::find(spec.end_tokens.begin(), spec.end_tokens.end(), sequence.generated.back()) != spec.end_tokens.end())
    return FinishReason::end_token;
  if (spec.prompt.size() + sequence.generated.size() > limits_.context_length) return FinishReason::length;
  if (sequence.generated.size() >= spec.tokens_max) return FinishReason::length;
  return {};
}

bool ConductorCore::finish(Sequences::iterator it) {
  const std::optional<FinishReason> reason = finish_of(it->second);
  if (!reason || it->second.state == State::detached) return false;
  update_of(it->first).finished = reason;
  remove(it);
  return true;
}

SequenceUpdate& ConductorCore::update_of(SequenceKey key) {
  if (updates_.empty() || updates_.back().key != key) updates_.push_back({key, {}, {}, {}, {}, 0});
  return updates_.back();
}

/// Gives pages and reservation back, or leaves them to the step in flight, whose rows may still write them.
void ConductorCore::release(Sequence& sequence) {
  if (flight_ && std::any_of(flight_->parts.begin(), flight_->parts.end(),
                             [&](const Flight::Part& part) { return part.key == sequence.spec.key; })) {
    flight_->pages.insert(flight_->pages.end(), sequence.pages.begin(), sequence.pages.end());
    sequence.pages.clear();
  } else {
    pages_.release(sequence.pages);
  }
  sequence.reserved = 0;
  sequence.computed = 0;
  sequence.waited = 0;
  sequence.cached = 0;
}

void ConductorCore::remove(Sequences::iterator it) {
  release(it->second);
  sequences_.erase(it);
}

void ConductorCore::cancel(SequenceKey key) {
  const auto it = sequences_.find(key);
  if (it == sequences_.end()) return;
  std::erase_if(updates_, [&](const SequenceUpdate& update) { return update.key == key; });
  remove(it);
}

void ConductorCore::fail(SequenceKey key, Error error) {
  const auto it = sequences_.find(key);
  if (it == sequences_.end()) return;
  update_of(key).failed = std::move(error);
  remove(it);
}

void ConductorCore::detach(SequenceKey key) {
  const auto it = sequences_.find(key);
  if (it == sequences_.end() || it->second.state == State::detached) return;
  it->second.state = State::detached;
  it->second.order = next_++;
  limit_detached();
}

void ConductorCore::limit_detached() {
  std::vector<SequenceKey> away = detached();
  for (std::size_t i = 0; away.size() - i > limits_.detached_max; ++i) cancel(away[i]);
}

void ConductorCore::invalidate_kv() {
  step_abandoned();
  for (auto& [key, sequence] : sequences_) {
    release(sequence);
    sequence.senior = 0;
    if (sequence.state == State::running) sequence.state = State::waiting;
  }
  pages_.forget();
}

std::vector<SequenceState> ConductorCore::export_sequences() {
  TESSERA_ENSURE(!flight_);
  // Admitted ones first, as they were admitted, then those that wait as they came.
  std::vector<std::tuple<bool, std::uint64_t, SequenceKey>> by_order;
  for (const auto& [key, sequence] : sequences_) {
    const bool admitted = sequence.senior > 0;
    by_order.emplace_back(!admitted, admitted ? sequence.senior : sequence.serial, key);
  }
  std::sort(by_order.begin(), by_order.end());
  std::vector<SequenceState> states;
  for (const auto& [waits, order, key] : by_order) {
    Sequence& sequence = sequences_.at(key);
    if (sequence.spec.hidden != HiddenStates::none) release(sequence);  // its hidden states stay behind
    states.push_back(static_cast<SequenceState&>(sequence));
    states.back().detached = sequence.state == State::detached;
    release(sequence);
  }
  sequences_.clear();
  pages_.forget();
  return states;
}

Result<void> ConductorCore::import_sequences(std::vector<SequenceState> states, bool kv_valid, bool attached) {
  TESSERA_ENSURE(sequences_.empty() && !flight_);
  const auto undo = [&](std::string message) {
    for (auto& [key, sequence] : sequences_) release(sequence);
    sequences_.clear();
    pages_.forget();
    return Error{ErrorCode::corrupt, "handed-over sequences: " + std::move(message)};
  };
  for (SequenceState& state : states) {
    if (const auto fits = check(state.spec); !fits && fits.error().code != ErrorCode::exhausted)
      return undo(fits.error().message);
    const SequenceKey key = state.spec.key;
    if (sequences_.contains(key)) return undo("a sequence is named twice");
    const std::uint32_t wanted = pages_wanted(state.spec);
    if (const std::string fault = contradiction(state, wanted); !fault.empty()) return undo(fault);
    const bool here =
        std::all_of(state.pages.begin(), state.pages.end(), [&](PageId page) { return page.value < limits_.pages; });
    const bool valid = kv_valid && here && !state.pages.empty();
    const State place = attached && !state.detached ? State::waiting : State::detached;
    Sequence sequence{{std::move(state)}, place, next_, next_, 0, 0, {}, 0, 0, 0, {}, {}};
    ++next_;
    if (valid && !claim(sequence)) return undo("a page is named twice, for different tokens");
    const std::uint32_t reserved =
        std::max(pages_for(feed_end(sequence)), static_cast<std::uint32_t>(sequence.pages.size()));
    if (valid && promised() + reserved <= pages_.available() + sequence.pages.size()) {
      sequence.reserved = reserved;
      sequence.senior = next_++;
    } else {
      if (!valid) sequence.pages.clear();
      release(sequence);
    }
    sequences_.emplace(key, std::move(sequence));
  }
  limit_detached();
  for (auto it = sequences_.begin(); it != sequences_.end();) {
    const auto current = it++;
    if (pages_wanted(current->second.spec) <= limits_.pages) continue;
    update_of(current->first).failed = check(current->second.spec).error();
    remove(current);
  }
  return {};
}

std::vector<SequenceUpdate> ConductorCore::take_updates() { return std::exchange(updates_, {}); }

std::optional<ConductorCore::View> ConductorCore::find(SequenceKey key) const {
  const auto it = sequences_.find(key);
  if (it == sequences_.end()) return {};
  const Sequence& sequence = it->second;
  return View{&sequence.spec, sequence.generated, sequence.computed, sequence.state == State::running};
}

std::vector<SequenceKey> ConductorCore::keys() const {
  std::vector<SequenceKey> keys;
  for (const auto& [key, sequence] : sequences_) keys.push_back(key);
  return keys;
}

namespace {

std::vector<SequenceKey> in_order(std::vector<std::pair<std::uint64_t, SequenceKey>> numbered) {
  std::sort(numbered.begin(), numbered.end());
  std::vector<SequenceKey> keys;
  for (const auto& [number, key] : numbered) keys.push_back(key);
  return keys;
}

}  // namespace

std::vector<SequenceKey> ConductorCore::detached() const {
  std::vector<std::pair<std::uint64_t, SequenceKey>> away;
  for (const auto& [key, sequence] : sequences_)
    if (sequence.state == State::detached) away.emplace_back(sequence.order, key);
  return in_order(std::move(away));
}

std::vector<SequenceKey> ConductorCore::waiting() const {
  std::vector<std::pair<std::uint64_t, SequenceKey>> wait;
  for (const auto& [key, sequence] : sequences_) {
    const bool began = sequence.senior > 0 || !sequence.generated.empty() || !sequence.scores.empty();
    if (sequence.state == State::waiting && !began) wait.emplace_back(sequence.serial, key);
  }
  return in_order(std::move(wait));
}

std::uint32_t ConductorCore::count(State state) const {
  return static_cast<std::uint32_t>(std::count_if(sequences_.begin(), sequences_.end(),
                                                  [&](const auto& entry) { return entry.second.state == state; }));
}

ConductorLoad ConductorCore::load() const {
  return {count(State::running),
          count(State::waiting),
          count(State::detached),
          limits_.pages - pages_.available(),
          pages_.idle(),
          limits_.pages,
          prefix_,
          preempted_,
          speculation_};
}

}  // namespace tessera
