// Random lives of many sequences, many of which begin alike: whatever the order of events, no page leaks or is written
// under somebody who reads it, bounds hold (also that of steps without progress: the driver watches it), every admitted
// request comes to its end, and every stream has the tokens that it has alone.
#include <algorithm>
#include <random>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"

namespace tessera {

namespace {

class RandomLife {
 public:
  /// `speculates`: with drafts, over a model that repeats itself, and steps whose cost is drawn.
  RandomLife(std::uint64_t seed, bool speculates)
      : random_(seed), limits_(draw_limits(speculates)), driver_(limits_, speculates) {
    for (std::uint32_t i = 0; i < limits_.context_length; ++i) common_.push_back(static_cast<TokenId>(below(20)));
  }
  std::uint64_t preempted() const { return driver_.core.load().preempted; }
  SpeculationCounts speculation() const { return speculation_; }
  std::uint64_t tokens_hit() const { return driver_.core.load().prefix.hit; }
  std::uint32_t longest_stall() const { return driver_.longest_stall; }

  void live() {
    for (int i = 0; i < 400; ++i) one_event();
    for (const SequenceKey key : driver_.core.detached()) come_back(key);
    if (driver_.plan) driver_.finish();
    driver_.run();
    count_drafts();
    for (const auto& [key, spec] : specs_) driver_.require_complete(spec);
    BOOST_REQUIRE(driver_.core.keys().empty());
    BOOST_REQUIRE_EQUAL(driver_.core.load().pages_used, 0u);
    // Nothing stays reserved either: a request that needs every page is admitted.
    SequenceSpec all = draw_spec();
    all.prompt.assign(std::min(limits_.pages * kv_page_positions, limits_.context_length), 7);
    all.delivered.clear();
    all.tokens_max = 1;
    all.hidden = HiddenStates::none;
    all.end_tokens.clear();
    BOOST_REQUIRE(driver_.core.submit(all));
    BOOST_REQUIRE(driver_.begin());
  }

 private:
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }

  ConductorLimits draw_limits(bool speculates) {
    ConductorLimits limits;
    limits.context_length = 32 + below(100);
    limits.vocab_size = 20;
    limits.pages = 5 + below(12);
    limits.running_max = 1 + below(6);
    limits.logits_rows_max = limits.running_max + below(4);
    limits.rows_max = limits.running_max + below(20);
    limits.waiting_max = 30;
    if (speculates) limits.drafts_max = 1 + below(10);
    if (below(2) == 0) {
      limits.stretch_max = 1.5;
      limits.short_prompt_rows = below(12);
    }
    return limits;
  }

  SequenceSpec draw_spec() {
    SequenceSpec spec;
    spec.key = {1, next_id_++};
    for (std::uint32_t i = 1 + below(limits_.context_length); i > 0; --i)
      spec.prompt.push_back(static_cast<TokenId>(below(20)));
    if (below(2) == 0) {
      const auto shared = static_cast<std::ptrdiff_t>(1 + below(static_cast<std::uint32_t>(spec.prompt.size())));
      std::copy(common_.begin(), common_.begin() + shared, spec.prompt.begin());
    }
    if (below(8) == 0) spec.tenant_salt = "another";
    spec.priority = static_cast<std::int32_t>(below(4)) - 1;
    spec.tokens_max = below(below(2) == 0 ? 120 : 30);
    spec.score_prompt = below(4) == 0;
    spec.alternatives = below(4);
    if (below(3) == 0) spec.end_tokens.push_back(static_cast<TokenId>(below(20)));
    if (below(6) == 0) {
      spec.hidden = below(2) == 0 ? HiddenStates::all : HiddenStates::last;
      spec.tokens_max = 0;
      spec.score_prompt = false;
    }
    return spec;
  }

  void one_event() {
    const std::uint32_t kind = below(100);
    if (kind < 12) {
      open();
    } else if (kind < 15) {
      cancel();
    } else if (kind < 18) {
      if (!specs_.empty()) driver_.core.detach(any());
    } else if (kind < 22) {
      const auto away = driver_.core.detached();
      if (!away.empty()) come_back(away[below(static_cast<std::uint32_t>(away.size()))]);
    } else if (kind == 22) {
      driver_.model.forget();
      driver_.core.invalidate_kv();
      driver_.watch_anew();
      driver_.plan.reset();
    } else if (kind == 23 && !driver_.plan) {
      hand_over();
    } else if (kind == 24 && driver_.plan) {
      driver_.core.step_abandoned();
      driver_.plan.reset();
    } else if (driver_.plan) {
      // What is worth it changes all the time.
      const auto rows = static_cast<std::uint32_t>(driver_.plan->rows.size());
      const std::uint32_t decodes = driver_.plan->decodes;
      driver_.core.learn_cost(decodes, rows - decodes, 1 + 0.05 * rows * below(4));
      driver_.finish();
    } else {
      driver_.begin();
    }
    driver_.take();
  }

  void open() {
    const SequenceSpec spec = draw_spec();
    if (driver_.core.submit(spec)) specs_[spec.key] = spec;
  }
  void cancel() {
    if (specs_.empty()) return;
    const SequenceKey key = any();
    driver_.core.cancel(key);
    specs_.erase(key);
    driver_.received.erase(key);
  }
  void come_back(SequenceKey key) {
    SequenceSpec spec = specs_.at(key);
    for (const LogitsResult& token : driver_.received[key].tokens) spec.delivered.push_back(token.token);
    const auto result = driver_.core.submit(spec);
    BOOST_REQUIRE_MESSAGE(result, result.error().message);
  }
  void hand_over() {
    const bool kv_valid = below(2) == 0, attached = below(2) == 0;
    std::vector<SequenceState> states = driver_.core.export_sequences();
    const std::vector<SequenceKey> away = driver_.core.detached();
    count_drafts();
    driver_.core = ConductorCore(limits_);
    driver_.watch_anew();
    if (!kv_valid) driver_.model.forget();
    BOOST_REQUIRE(driver_.core.import_sequences(std::move(states), kv_valid, attached));
  }
  void count_drafts() {
    speculation_.drafted += driver_.core.load().speculation.drafted;
    speculation_.accepted += driver_.core.load().speculation.accepted;
  }
  SequenceKey any() {
    auto it = specs_.begin();
    std::advance(it, below(static_cast<std::uint32_t>(specs_.size())));
    return it->first;
  }

  std::mt19937_64 random_;
  ConductorLimits limits_;
  std::vector<TokenId> common_;  ///< what many prompts begin with
  ConductorDriver driver_;
  SpeculationCounts speculation_;
  std::uint64_t next_id_ = 1;
  std::map<SequenceKey, SequenceSpec> specs_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_properties)

BOOST_AUTO_TEST_CASE(random_lives_keep_every_promise) {
  std::uint64_t hit = 0, preempted = 0;
  std::uint32_t longest_stall = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      RandomLife life(seed, false);
      life.live();
      hit += life.tokens_hit();
      preempted += life.preempted();
      longest_stall = std::max(longest_stall, life.longest_stall());
    }
  }
  // They did share, wait for each other, and take each other's pages away.
  BOOST_CHECK_GT(hit, 1000u);
  BOOST_CHECK_GT(preempted, 50u);
  BOOST_CHECK_GT(longest_stall, 0u);
}

/// The reference has no drafts: with and without them every stream is the same.
BOOST_AUTO_TEST_CASE(random_lives_with_drafts_keep_every_promise) {
  std::uint64_t hit = 0, preempted = 0, drafted = 0, accepted = 0;
  for (std::uint64_t seed = 1001; seed <= 1300; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      RandomLife life(seed, true);
      life.live();
      hit += life.tokens_hit();
      preempted += life.preempted();
      drafted += life.speculation().drafted;
      accepted += life.speculation().accepted;
    }
  }
  BOOST_CHECK_GT(hit, 1000u);
  BOOST_CHECK_GT(preempted, 50u);
  BOOST_TEST_MESSAGE(drafted << " drafted, " << accepted << " accepted");
  BOOST_CHECK_GT(accepted, 1000u);
  BOOST_CHECK_GT(drafted - accepted, 1000u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
