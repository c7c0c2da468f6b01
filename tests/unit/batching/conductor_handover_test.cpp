// Sequences that leave one conductor for another, and frontends that come and go.
#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"

namespace tessera {

namespace {

ConductorLimits limits_of(std::uint32_t pages) {
  ConductorLimits limits;
  limits.context_length = 128;
  limits.vocab_size = 40;
  limits.pages = pages;
  limits.rows_max = 8;
  limits.logits_rows_max = 6;
  limits.running_max = 6;
  return limits;
}

SequenceSpec spec_of(std::uint64_t id) {
  SequenceSpec spec;
  spec.key = {id, 0};
  for (std::uint64_t i = 0; i < 3 + 7 * id; ++i) spec.prompt.push_back(static_cast<TokenId>((id + i * i) % 40));
  spec.tokens_max = 12;
  spec.score_prompt = id == 2;
  return spec;
}

void submit_three(ConductorDriver& driver) {
  for (std::uint64_t id = 1; id <= 3; ++id) BOOST_REQUIRE(driver.core.submit(spec_of(id)));
}

void require_three_complete(const ConductorDriver& driver) {
  for (std::uint64_t id = 1; id <= 3; ++id) driver.require_complete(spec_of(id));
}

void move_sequences(ConductorDriver& from, ConductorDriver& to, bool kv_valid, bool attached) {
  if (kv_valid) to.model = from.model;
  to.received = from.received;
  const auto imported = to.core.import_sequences(from.core.export_sequences(), kv_valid, attached);
  BOOST_REQUIRE_MESSAGE(imported, imported.error().message);
  BOOST_CHECK_EQUAL(from.core.load().pages_used, 0u);
}

/// Every frontend opens its stream again with what it has.
void reattach(ConductorDriver& driver) {
  for (std::uint64_t id = 1; id <= 3; ++id) {
    SequenceSpec spec = spec_of(id);
    for (const LogitsResult& token : driver.received[spec.key].tokens) spec.delivered.push_back(token.token);
    if (driver.received[spec.key].finished) continue;
    BOOST_REQUIRE(driver.core.submit(spec));
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_handover)

BOOST_AUTO_TEST_CASE(sequences_move_at_any_step_with_and_without_their_pages) {
  for (int steps = 0; steps < 25; ++steps) {
    for (const bool kv_valid : {false, true}) {
      for (const bool attached : {false, true}) {
        ConductorDriver from(limits_of(12)), to(limits_of(12));
        submit_three(from);
        for (int i = 0; i < steps; ++i) from.step();
        move_sequences(from, to, kv_valid, attached);
        if (!attached) {
          BOOST_CHECK(!to.core.plan_step());
          reattach(to);
        }
        to.run();
        require_three_complete(to);
        BOOST_CHECK_EQUAL(to.core.load().pages_used, 0u);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(sequences_with_valid_pages_are_not_replayed) {
  ConductorDriver from(limits_of(12)), to(limits_of(12));
  submit_three(from);
  for (int i = 0; i < 12; ++i) from.step();
  move_sequences(from, to, true, true);
  BOOST_REQUIRE(to.begin());
  for (const PlannedRow& row : to.plan->rows) BOOST_CHECK_GT(row.position, 0u);
}

BOOST_AUTO_TEST_CASE(pages_that_a_smaller_cache_lacks_are_replayed) {
  ConductorDriver from(limits_of(12)), to(limits_of(3));
  submit_three(from);
  for (int i = 0; i < 8; ++i) from.step();
  move_sequences(from, to, true, true);
  to.run();
  require_three_complete(to);
}

BOOST_AUTO_TEST_CASE(a_sequence_that_can_never_fit_the_new_cache_fails) {
  ConductorDriver from(limits_of(12));
  submit_three(from);
  ConductorCore to(limits_of(1));
  BOOST_REQUIRE(to.import_sequences(from.core.export_sequences(), true, true));
  const auto updates = to.take_updates();
  BOOST_REQUIRE_EQUAL(updates.size(), 1u);
  BOOST_REQUIRE(updates[0].failed.has_value());
  BOOST_CHECK(updates[0].failed->code == ErrorCode::exhausted);
}

BOOST_AUTO_TEST_CASE(contradictory_sequences_are_refused_and_nothing_is_imported) {
  const auto states = [] {
    ConductorDriver from(limits_of(12));
    submit_three(from);
    for (int i = 0; i < 12; ++i) from.step();
    return from.core.export_sequences();
  };
  const auto refused = [&](auto&& spoil) {
    std::vector<SequenceState> spoiled = states();
    spoil(spoiled);
    ConductorCore core(limits_of(12));
    const auto result = core.import_sequences(std::move(spoiled), true, true);
    BOOST_REQUIRE(!result);
    BOOST_CHECK(result.error().code == ErrorCode::corrupt);
    BOOST_CHECK(core.keys().empty());
    BOOST_CHECK_EQUAL(core.load().pages_used, 0u);
  };
  refused([](auto& s) { s[1].pages = s[0].pages; });
  refused([](auto& s) { s[1].spec.key = s[0].spec.key; });
  refused([](auto& s) { s[0].computed += 100; });
  refused([](auto& s) { s[0].pages.clear(); });
  refused([](auto& s) { s[0].log_probabilities.resize(50); });
  refused([](auto& s) { s[0].scores.resize(50); });
  refused([](auto& s) { s[0].spec.delivered = {39, 39, 39, 39, 39}; });
  refused([](auto& s) { s[0].spec.prompt.clear(); });
}

BOOST_AUTO_TEST_CASE(a_detached_sequence_is_paused_and_keeps_its_pages) {
  ConductorDriver driver(limits_of(12));
  submit_three(driver);
  for (int i = 0; i < 8; ++i) driver.step();
  const SequenceSpec spec = spec_of(1);
  const std::size_t before = driver.received[spec.key].tokens.size();
  driver.core.detach(spec.key);
  driver.run();
  BOOST_CHECK_EQUAL(driver.received[spec.key].tokens.size(), before);
  BOOST_CHECK_GT(driver.core.load().pages_used, 0u);
  BOOST_CHECK(driver.core.detached() == std::vector<SequenceKey>{spec.key});
  reattach(driver);
  driver.run();
  require_three_complete(driver);
}

BOOST_AUTO_TEST_CASE(tokens_that_were_computed_while_the_frontend_left_are_sent_when_it_is_back) {
  ConductorDriver driver(limits_of(12));
  SequenceSpec spec = spec_of(1);
  BOOST_REQUIRE(driver.core.submit(spec));
  for (int i = 0; i < 12; ++i) driver.step();  // one token is left
  BOOST_REQUIRE_EQUAL(driver.received[spec.key].tokens.size(), 11u);
  BOOST_REQUIRE(driver.begin());
  driver.core.detach(spec.key);
  driver.finish();
  BOOST_CHECK(!driver.received[spec.key].finished);
  driver.received[spec.key].tokens.resize(7);  // four updates never arrived
  for (const LogitsResult& token : driver.received[spec.key].tokens) spec.delivered.push_back(token.token);
  BOOST_REQUIRE(driver.core.submit(spec));
  driver.take();
  BOOST_CHECK(driver.received[spec.key].finished.has_value());
  BOOST_CHECK_EQUAL(driver.received[spec.key].tokens.size(), 12u);
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
}

BOOST_AUTO_TEST_CASE(a_frontend_that_knows_more_than_the_conductor_is_believed) {
  ConductorDriver driver(limits_of(12));
  SequenceSpec spec = spec_of(1);
  const auto reference = driver.model.reference(spec, 128);
  BOOST_REQUIRE(driver.core.submit(spec));
  for (int i = 0; i < 5; ++i) driver.step();
  BOOST_REQUIRE(driver.begin());
  for (std::size_t i = 0; i < 9; ++i) spec.delivered.push_back(reference.tokens[i].token);
  driver.received[spec.key].tokens.assign(reference.tokens.begin(), reference.tokens.begin() + 9);
  BOOST_REQUIRE(driver.core.submit(spec));
  driver.finish();
  driver.run();
  BOOST_CHECK_EQUAL(driver.received[spec.key].tokens.size(), 12u);
  BOOST_CHECK_EQUAL(driver.received[spec.key].tokens.back().token, reference.tokens.back().token);
}

BOOST_AUTO_TEST_CASE(a_frontend_that_lost_tokens_it_had_gets_them_computed_again) {
  ConductorDriver driver(limits_of(12));
  SequenceSpec spec = spec_of(1);
  const auto reference = driver.model.reference(spec, 128);
  for (std::size_t i = 0; i < 6; ++i) spec.delivered.push_back(reference.tokens[i].token);
  BOOST_REQUIRE(driver.core.submit(spec));
  driver.step();
  spec.delivered.resize(2);
  BOOST_REQUIRE(driver.core.submit(spec));
  driver.received[spec.key] = {};
  driver.received[spec.key].tokens.assign(reference.tokens.begin(), reference.tokens.begin() + 2);
  driver.run();
  BOOST_CHECK_EQUAL(driver.received[spec.key].tokens.size(), 12u);
}

BOOST_AUTO_TEST_CASE(beyond_detached_max_the_longest_detached_is_dropped) {
  ConductorLimits limits = limits_of(12);
  limits.detached_max = 1;
  ConductorDriver driver(limits);
  submit_three(driver);
  driver.step();
  driver.core.detach(spec_of(2).key);
  driver.core.detach(spec_of(1).key);
  BOOST_CHECK(driver.core.detached() == std::vector<SequenceKey>{spec_of(1).key});
  BOOST_CHECK(!driver.core.find(spec_of(2).key));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
