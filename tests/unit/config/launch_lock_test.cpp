#include "cluster/config/launch_lock.hpp"

#include <optional>
#include <string>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"

using namespace tessera;

BOOST_AUTO_TEST_SUITE(launch_lock)

BOOST_AUTO_TEST_CASE(the_second_launch_is_told_who_holds_the_lock_and_gets_it_when_the_first_has_ended) {
  const test::TemporaryFolder folder;
  const StateFolder state(folder.path() / "state");
  BOOST_TEST(bool(LaunchLock::check_free(state)), "nobody has ever launched");
  std::optional<LaunchLock> first;
  {
    auto taken = LaunchLock::take(state);
    BOOST_REQUIRE(taken);
    first.emplace(std::move(*taken));
  }
  for (int round = 0; round < 2; ++round) {
    const auto second = LaunchLock::take(state);
    BOOST_REQUIRE(!second);
    BOOST_TEST((second.error().code == ErrorCode::conflict));
    BOOST_TEST(second.error().message.find("process " + std::to_string(::getpid())) != std::string::npos);
    const auto down = LaunchLock::check_free(state);
    BOOST_REQUIRE(!down);
    BOOST_TEST(down.error().message.find(state.root().string()) != std::string::npos);
  }
  first.reset();
  BOOST_TEST(bool(LaunchLock::check_free(state)));
  BOOST_TEST(bool(LaunchLock::take(state)));
}

BOOST_AUTO_TEST_SUITE_END()
