// Hundreds of seeds, and the proof that the simulation would notice a fence with a hole.
#include <boost/test/unit_test.hpp>

#include "tests/sim/scenario.hpp"
#include "tests/support/sanitizers.hpp"

namespace tessera::sim {

namespace {

/// `./dev sim SEED` tells what happens in one.
void run_seeds(std::uint64_t first, std::uint64_t last) {
  std::uint64_t resumptions = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const RunReport report = run_seed({seed});
    BOOST_CHECK_MESSAGE(report.violation.empty(), "./dev sim " << seed << ": " << report.violation);
    resumptions += report.resumptions;
  }
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

BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_1_to_150) { run_seeds(1, 150); }
BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_151_to_300) { run_seeds(151, 300); }
BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_301_to_450,
                     *boost::unit_test::precondition(test::NotSanitized())) {
  run_seeds(301, 450);
}
BOOST_AUTO_TEST_CASE(every_invariant_holds_for_seeds_451_to_600,
                     *boost::unit_test::precondition(test::NotSanitized())) {
  run_seeds(451, 600);
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

}  // namespace tessera::sim
