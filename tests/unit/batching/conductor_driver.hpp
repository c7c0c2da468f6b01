// Drives a ConductorCore with the hash model, as a conductor does, and checks on the way what must hold at every step.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/hash_model.hpp"

namespace tessera {

/// What a frontend has received.
struct Received {
  std::vector<LogitsResult> tokens;
  std::map<std::uint32_t, float> scores;
  std::map<std::uint32_t, TokenAlternatives> score_alternatives;
  std::optional<FinishReason> finished;
  std::uint32_t cached_tokens = 0;  ///< as the first token had it
  std::uint64_t vector = 0;
};

class ConductorDriver {
 public:
  explicit ConductorDriver(const ConductorLimits& limits, bool copies = false)
      : core(limits), model(limits.vocab_size, copies) {}

  /// Plans a step, checks it; false when there is nothing to do.
  bool begin() {
    plan = core.plan_step();
    if (plan) check(*plan);
    return plan.has_value();
  }
  void finish() {
    const std::vector<LogitsResult> results = model.compute(*plan);
    add_states();
    core.step_done(results);
    plan.reset();
    watch();
    take();
  }
  bool step() {
    if (!begin()) {
      take();
      return false;
    }
    finish();
    return true;
  }
  void run(int steps_max = 100000) {
    for (int i = 0; step(); ++i) BOOST_REQUIRE_MESSAGE(i < steps_max, "the core does not come to an end");
  }
  void submit(const SequenceSpec& spec) {
    const auto result = core.submit(spec);
    BOOST_REQUIRE_MESSAGE(result, result.error().message);
  }
  /// The frontend of `spec` has what the stream would be alone.
  void require_complete(const SequenceSpec& spec) const {
    const HashModel::Reference reference = model.reference(spec, core.limits().context_length);
    const auto found = received.find(spec.key);
    BOOST_REQUIRE(found != received.end() && found->second.finished);
    const Received& stream = found->second;
    BOOST_REQUIRE_EQUAL(static_cast<int>(*stream.finished), static_cast<int>(reference.finished));
    BOOST_REQUIRE_EQUAL(stream.tokens.size(), reference.tokens.size());
    for (std::size_t i = 0; i < stream.tokens.size(); ++i) {
      BOOST_REQUIRE_EQUAL(stream.tokens[i].token, reference.tokens[i].token);
      BOOST_REQUIRE_EQUAL(stream.tokens[i].log_probability, reference.tokens[i].log_probability);
      BOOST_REQUIRE((stream.tokens[i].alternatives == reference.tokens[i].alternatives));
    }
    BOOST_REQUIRE_EQUAL(stream.scores.size(), reference.scores.size());
    BOOST_REQUIRE_EQUAL(stream.vector, reference.vector);
    for (const auto& [index, score] : stream.scores) BOOST_REQUIRE_EQUAL(score, reference.scores.at(index - 1));
    for (const auto& [index, best] : stream.score_alternatives)
      BOOST_REQUIRE((best == reference.score_alternatives.at(index - 1)));
  }
  void take() {
    for (const SequenceUpdate& update : core.take_updates()) {
      Received& stream = received[update.key];
      BOOST_REQUIRE(!stream.finished);
      BOOST_REQUIRE(!update.failed);
      for (const SequenceScore& score : update.scores) {
        stream.scores[score.index] = score.log_probability;
        stream.score_alternatives[score.index] = score.alternatives;
      }
      for (const SequenceToken& token : update.tokens) {
        if (token.index == 0) stream.cached_tokens = update.cached_tokens;
        if (token.index < stream.tokens.size()) continue;
        BOOST_REQUIRE_EQUAL(token.index, stream.tokens.size());
        stream.tokens.push_back({token.token, token.log_probability, token.alternatives});
      }
      if (update.finished) {
        stream.finished = update.finished;
        const auto vector = vectors_.find(update.key);
        if (vector != vectors_.end()) stream.vector = vector->second;
      }
    }
  }

  ConductorCore core;
  HashModel model;
  std::optional<StepPlan> plan;
  std::map<SequenceKey, Received> received;

  /// The most steps that a running sequence went without progress.
  std::uint32_t longest_stall = 0;
  /// Sequences that do not run throughout are watched anew.
  void watch_anew() { watched_.clear(); }

 private:
  struct Watched {
    std::uint64_t progress = 0;
    std::uint32_t stalled = 0;
  };

  /// As a conductor does it.
  void add_states() {
    std::size_t next = 0;
    for (const PlannedRow& row : plan->rows) {
      if (!row.wants_hidden) continue;
      const SequenceKey key = plan->sequences.at(row.sequence).key;
      const std::uint64_t state = model.states().at(next++);
      const auto view = core.find(key);
      if (!view) continue;
      std::uint64_t& vector = vectors_[key];
      if (row.position == 0 || view->spec->hidden == HiddenStates::last) vector = 0;
      vector = HashModel::add_state(vector, state);
    }
    BOOST_REQUIRE_EQUAL(next, model.states().size());
  }

  /// What a sequence believes to be in its pages is there, and nobody else has the pages that its rows write.
  void check_pages(const StepPlan& step) const {
    std::map<PageId, std::size_t> users;
    for (const PlannedSequence& sequence : step.sequences) {
      for (const PageId page : sequence.pages) {
        BOOST_REQUIRE(page.value < core.limits().pages);
        ++users[page];
      }
    }
    for (std::size_t i = 0; i < step.rows.size(); ++i) {
      const PlannedRow& row = step.rows[i];
      const PlannedSequence& sequence = step.sequences.at(row.sequence);
      const PageId written = sequence.pages.at(row.position / kv_page_positions);
      BOOST_REQUIRE_MESSAGE(users[written] == 1, "page " << written.value << " is written and has two users");
      if (i > 0 && step.rows[i - 1].sequence == row.sequence) continue;
      const auto view = core.find(sequence.key);
      BOOST_REQUIRE(view && view->running);
      std::vector<TokenId> tokens = view->spec->prompt;
      tokens.insert(tokens.end(), view->generated.begin(), view->generated.end());
      tokens.resize(row.position);
      BOOST_REQUIRE_MESSAGE(model.holds(sequence.pages, tokens), "the pages do not hold what the sequence believes");
    }
  }

  /// Every running sequence that decodes has a row.
  void check_decodes(const StepPlan& step) const {
    std::set<SequenceKey> planned;
    for (const PlannedSequence& sequence : step.sequences) planned.insert(sequence.key);
    for (const SequenceKey& key : core.keys()) {
      const auto view = core.find(key);
      const bool decodes = view->running && view->spec->hidden == HiddenStates::none &&
                           view->computed + 1 == view->spec->prompt.size() + view->generated.size();
      BOOST_REQUIRE(!decodes || planned.contains(key));
    }
  }

  /// The bound of conductor_core.hpp.
  void watch() {
    std::map<SequenceKey, Watched> now;
    for (const SequenceKey& key : core.keys()) {
      const auto view = core.find(key);
      if (!view->running) continue;
      Watched& watched = now[key];
      watched.progress = view->computed + view->generated.size();
      const auto before = watched_.find(key);
      if (before != watched_.end() && before->second.progress == watched.progress)
        watched.stalled = before->second.stalled + 1;
      longest_stall = std::max(longest_stall, watched.stalled);
      BOOST_REQUIRE_MESSAGE(watched.stalled <= kv_page_positions, "an admitted sequence starves");
    }
    watched_ = std::move(now);
  }

  void check(const StepPlan& step) const {
    const ConductorLimits& limits = core.limits();
    BOOST_REQUIRE(!step.rows.empty());
    BOOST_REQUIRE(step.rows.size() <= limits.rows_max || (limits.whole_sequences && step.sequences.size() == 1));
    BOOST_REQUIRE(step.logits.size() <= limits.logits_rows_max);
    BOOST_REQUIRE(step.sequences.size() <= limits.running_max);
    check_pages(step);
    check_decodes(step);
    std::size_t wanting = 0;
    for (std::size_t i = 0; i < step.rows.size(); ++i) {
      const PlannedRow& row = step.rows[i];
      BOOST_REQUIRE(row.position < limits.context_length);
      BOOST_REQUIRE(row.position / kv_page_positions < step.sequences.at(row.sequence).pages.size());
      if (i > 0) {
        const PlannedRow& before = step.rows[i - 1];
        BOOST_REQUIRE(row.sequence == before.sequence ? row.position == before.position + 1
                                                      : row.sequence == before.sequence + 1);
      }
      if (!row.wants_logits) continue;
      BOOST_REQUIRE(wanting < step.logits.size());
      BOOST_REQUIRE_EQUAL(step.logits[wanting].row, i);
      BOOST_REQUIRE_EQUAL(step.logits[wanting].sequence, row.sequence);
      BOOST_REQUIRE_EQUAL(step.logits[wanting++].position, row.position + 1);
    }
    BOOST_REQUIRE_EQUAL(wanting, step.logits.size());
  }

  std::map<SequenceKey, Watched> watched_;
  std::map<SequenceKey, std::uint64_t> vectors_;
};

}  // namespace tessera
