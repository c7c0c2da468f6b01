// A thousand seeds and more, and the proof that the simulation would notice a fence with a hole, and that each of its
// invariants can fail.
#include <boost/test/unit_test.hpp>

#include "tests/sim/faults.hpp"
#include "tests/sim/scenario.hpp"
#include "tests/support/sanitizers.hpp"

namespace tessera::sim {

namespace {

/// `./dev sim SEED` tells what happens in one.
void run_seeds(std::uint64_t first, std::uint64_t last) {
  std::uint64_t resumptions = 0;
  std::map<std::string, std::uint64_t> faults;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const RunReport report = run_seed({seed});
    BOOST_CHECK_MESSAGE(report.violation.empty(), "./dev sim " << seed << ": " << report.violation);
    resumptions += report.resumptions;
    for (const auto& [kind, times] : report.faults) faults[kind] += times;
  }
  for (const Faults::Named& fault : Faults::all())
    BOOST_CHECK_MESSAGE(faults[fault.name] > 0, "no seed had the fault '" << fault.name << "'");
  BOOST_CHECK_MESSAGE(resumptions > 0, "the faults disturbed nobody");
}

constexpr std::uint64_t mutated_seeds = 4000;

void require_noticed(FenceCheck check) {
  RunOptions options;
  options.rules = FenceRules::without(check);
  options.rough = true;
  for (; options.seed <= mutated_seeds; ++options.seed) {
    const RunReport report = run_seed(options);
    if (report.violation.empty()) continue;
    BOOST_TEST_MESSAGE("without " << to_string(check) << ", seed " << options.seed << ": " << report.violation);
    // The fence is what the seed needs: with it, all is well.
    options.rules = FenceRules::all();
    BOOST_CHECK_EQUAL(run_seed(options).violation, "");
    return;
  }
  BOOST_ERROR("without " << to_string(check) << " no seed fails");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(simulation)

BOOST_AUTO_TEST_CASE(a_seed_is_a_run) {
  const RunReport first = run_seed({7}), second = run_seed({7});
  BOOST_CHECK_EQUAL(first.events, second.events);
  BOOST_CHECK_EQUAL(first.simulated_seconds, second.simulated_seconds);
  BOOST_CHECK_NE(first.events, run_seed({8}).events);
}

BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_1_to_200) { run_seeds(1, 200); }
BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_201_to_600,
                     *boost::unit_test::precondition(test::NotSanitized())) {
  run_seeds(201, 600);
}
BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_601_to_1000,
                     *boost::unit_test::precondition(test::NotSanitized())) {
  run_seeds(601, 1000);
}
BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_1001_to_1400,
                     *boost::unit_test::precondition(test::NotSanitized())) {
  run_seeds(1001, 1400);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(simulation_without_a_fence_check, *boost::unit_test::precondition(test::NotSanitized()))

BOOST_AUTO_TEST_CASE(some_seed_fails_without_prepare_term) { require_noticed(FenceCheck::prepare_term); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_prepare_epoch) { require_noticed(FenceCheck::prepare_epoch); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_activate_term) { require_noticed(FenceCheck::activate_term); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_hand_over_term) { require_noticed(FenceCheck::hand_over_term); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_hand_over_from) { require_noticed(FenceCheck::hand_over_from); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_retire_term) { require_noticed(FenceCheck::retire_term); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_begin_prepared) { require_noticed(FenceCheck::begin_prepared); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_begin_epoch) { require_noticed(FenceCheck::begin_epoch); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_step_current) { require_noticed(FenceCheck::step_current); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_step_number) { require_noticed(FenceCheck::step_number); }
BOOST_AUTO_TEST_CASE(some_seed_fails_without_result_current) { require_noticed(FenceCheck::result_current); }

BOOST_AUTO_TEST_CASE(every_check_has_its_case) { BOOST_CHECK_EQUAL(fence_checks, 11u); }

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(simulation_with_a_flaw)

namespace {

/// Some seed's violation has these words, and the same seed holds without the flaw.
void require_noticed(Flaw flaw, const std::string& invariant) {
  RunOptions options;
  options.flaw = flaw;
  for (; options.seed <= mutated_seeds; ++options.seed) {
    if (run_seed(options).violation.find(invariant) == std::string::npos) continue;
    options.flaw = Flaw::none;
    BOOST_CHECK_EQUAL(run_seed(options).violation, "");
    return;
  }
  BOOST_ERROR("with " << to_string(flaw) << " no seed fails by '" << invariant << "'");
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_wrong_token_is_noticed) { require_noticed(Flaw::wrong_sum, "is wrong"); }
BOOST_AUTO_TEST_CASE(a_wrong_page_is_noticed) { require_noticed(Flaw::lost_pages, "do not hold what it believes"); }
BOOST_AUTO_TEST_CASE(a_lost_token_is_noticed) { require_noticed(Flaw::lost_token, "lost or doubled"); }
BOOST_AUTO_TEST_CASE(a_lost_end_is_noticed) { require_noticed(Flaw::lost_token, "ended with"); }
BOOST_AUTO_TEST_CASE(a_doubled_token_is_noticed) { require_noticed(Flaw::doubled_token, "lost or doubled"); }
BOOST_AUTO_TEST_CASE(a_lost_answer_is_noticed) { require_noticed(Flaw::lost_answer, "a request without an answer"); }
BOOST_AUTO_TEST_CASE(a_second_answer_is_noticed) { require_noticed(Flaw::doubled_answer, "answered twice"); }
BOOST_AUTO_TEST_CASE(a_cluster_without_progress_is_noticed) { require_noticed(Flaw::lost_coordinator, "does not end"); }
BOOST_AUTO_TEST_CASE(what_is_left_over_is_noticed) { require_noticed(Flaw::deaf_to_retirement, "left over: epoch"); }
BOOST_AUTO_TEST_CASE(a_second_end_of_a_job_is_noticed) { require_noticed(Flaw::store_without_terms, "ended twice"); }
BOOST_AUTO_TEST_CASE(a_worker_over_its_budget_is_noticed) { require_noticed(Flaw::weightless_shards, "is to hold"); }
BOOST_AUTO_TEST_CASE(every_flaw_has_its_case) { BOOST_CHECK_EQUAL(flaws, 11u); }

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::sim
