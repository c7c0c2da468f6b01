#include "cluster/executor/phase_times.hpp"

#include <chrono>

#include <boost/test/unit_test.hpp>

namespace tessera::test {

namespace {

constexpr SequenceKey first{1, 1}, second{1, 2};

TimePoint at(int seconds) { return TimePoint{} + std::chrono::seconds(seconds); }

bool nobody(SequenceKey) { return false; }
bool everybody(SequenceKey) { return true; }

}  // namespace

BOOST_AUTO_TEST_SUITE(phase_times)

BOOST_AUTO_TEST_CASE(a_stream_waits_is_prefilled_and_decodes) {
  PhaseTimes times;
  times.submitted(first, at(10));
  times.admit(at(11), nobody);
  times.admit(at(13), everybody);
  times.admit(at(14), everybody);  // long since
  times.stepped(first);
  times.stepped(first);
  BOOST_TEST((times.told(first, at(18)) == StreamPhases{3, 5, 0, 2}));
  times.stepped(first);
  BOOST_TEST((times.told(first, at(25)) == StreamPhases{3, 5, 7, 3}));
}

BOOST_AUTO_TEST_CASE(streams_are_told_apart_and_unknown_ones_have_no_times) {
  PhaseTimes times;
  times.submitted(first, at(1));
  times.submitted(second, at(2));
  times.admit(at(3), [](SequenceKey key) { return key == second; });
  times.admit(at(7), everybody);
  times.stepped(second);
  times.stepped({9, 9});
  BOOST_TEST((times.told(first, at(8)) == StreamPhases{6, 1, 0, 0}));
  BOOST_TEST((times.told(second, at(8)) == StreamPhases{1, 5, 0, 1}));
  BOOST_TEST(!times.told({9, 9}, at(8)).has_value());
}

BOOST_AUTO_TEST_CASE(a_stream_that_is_opened_again_begins_anew) {
  PhaseTimes times;
  times.submitted(first, at(1));
  times.admit(at(2), everybody);
  times.stepped(first);
  times.told(first, at(3));
  times.submitted(first, at(5));
  // What was computed for it meanwhile is told at once.
  BOOST_TEST((times.told(first, at(6)) == StreamPhases{1, 0, 0, 0}));
  times.admit(at(7), everybody);
  times.stepped(first);
  BOOST_TEST((times.told(first, at(8)) == StreamPhases{1, 0, 2, 1}));
}

BOOST_AUTO_TEST_CASE(streams_that_are_gone_are_forgotten) {
  PhaseTimes times;
  times.submitted(first, at(1));
  times.submitted(second, at(1));
  times.forget_unless([](SequenceKey key) { return key == first; });
  BOOST_TEST(times.told(first, at(2)).has_value());
  BOOST_TEST(!times.told(second, at(2)).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
