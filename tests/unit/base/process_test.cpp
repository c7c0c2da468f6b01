// Clock, log and ensure: what a process is set up with.
#include <chrono>
#include <csignal>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "runtime/base/clock.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/base/log.hpp"

namespace {

using namespace tessera;

/// Runs `action` in a child process; its wait status, and what it wrote to stderr (at most 4,000 bytes are read).
template <typename Action>
std::pair<int, std::string> in_child(Action action) {
  int pipe_ends[2];
  BOOST_TEST_REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  BOOST_TEST_REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(pipe_ends[1], STDERR_FILENO);
    std::signal(SIGABRT, SIG_DFL);  // the test framework's handler is not for the child
    action();
    ::_exit(0);
  }
  ::close(pipe_ends[1]);
  std::string text;
  char buffer[4000];
  for (ssize_t count; (count = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0 && text.size() < sizeof buffer;) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(pipe_ends[0]);
  int status = 0;
  BOOST_TEST_REQUIRE(::waitpid(child, &status, 0) == child);
  return {status, text};
}

BOOST_AUTO_TEST_SUITE(process)

BOOST_AUTO_TEST_CASE(a_manual_clock_moves_only_when_told) {
  ManualClock clock;
  const TimePoint start = clock.now();
  BOOST_TEST((clock.now() == start));
  clock.advance(std::chrono::milliseconds(1500));
  BOOST_TEST(seconds_between(start, clock.now()) == 1.5);
}

BOOST_AUTO_TEST_CASE(the_system_clock_never_goes_back) {
  const SystemClock clock;
  TimePoint last = clock.now();
  for (int i = 0; i < 1000; ++i) {
    const TimePoint now = clock.now();
    BOOST_TEST_REQUIRE((now >= last));
    last = now;
  }
}

BOOST_AUTO_TEST_CASE(an_unknown_log_level_is_refused_by_name_with_the_choices) {
  for (const std::string level : {"loud", "", "Info"}) {
    const Result<void> result = configure_log(level);
    BOOST_TEST_REQUIRE(!result);
    BOOST_TEST((result.error().code == ErrorCode::invalid_argument));
    BOOST_TEST(result.error().message.find('\'' + level + '\'') != std::string::npos);
    BOOST_TEST(result.error().message.find("trace, debug, info, warning, error or off") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(every_named_log_level_is_accepted) {
  for (const char* level : {"trace", "debug", "info", "warning", "error", "off"}) {
    const auto [status, text] = in_child([&] { ::_exit(configure_log(level) ? 0 : 1); });
    BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0), level << ": " << text);
  }
}

BOOST_AUTO_TEST_CASE(the_log_goes_to_stderr_from_its_level_upwards) {
  const auto [status, text] = in_child([] {
    if (!configure_log("warning")) ::_exit(1);
    log_info("quiet 100%{}");
    log_warning("loud 100%{}");
  });
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  BOOST_TEST(text.find("warning: loud 100%{}") != std::string::npos);
  BOOST_TEST(text.find("quiet") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_violated_ensure_names_its_condition_and_ends_the_process) {
  const int one = 1;
  const auto [status, text] = in_child([&] { TESSERA_ENSURE(one == 2); });
  BOOST_TEST((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
  BOOST_TEST(text.find("one == 2") != std::string::npos);
  BOOST_TEST(text.find("process_test.cpp") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_ensure_that_holds_does_nothing) {
  const auto [status, text] = in_child([] { TESSERA_ENSURE(2 + 2 == 4); });
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  BOOST_TEST(text.empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
