#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <future>
#include <string>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "runtime/base/utc_text.hpp"
#include "runtime/base/write_all.hpp"

using namespace tessera;
using std::chrono::seconds;
using std::chrono::sys_seconds;

BOOST_AUTO_TEST_SUITE(text_output)

BOOST_AUTO_TEST_CASE(a_moment_is_a_date_and_a_time) {
  BOOST_TEST(utc_text(sys_seconds(seconds(0))) == "1970-01-01T00:00:00Z");
  BOOST_TEST(utc_text(sys_seconds(seconds(1'785'585'907)), " ", " UTC") == "2026-08-01 12:05:07 UTC");
  BOOST_TEST(utc_text(sys_seconds(seconds(951'827'696))) == "2000-02-29T12:34:56Z");
}

BOOST_AUTO_TEST_CASE(a_text_larger_than_a_pipe_arrives_whole) {
  int ends[2];
  BOOST_REQUIRE(::pipe(ends) == 0);
  const std::string text(1 << 20, 'x');
  auto written = std::async(std::launch::async, [&] {
    const int error = write_all(ends[1], text);
    ::close(ends[1]);
    return error;
  });
  std::string read;
  char piece[4096];
  for (ssize_t count; (count = ::read(ends[0], piece, sizeof piece)) > 0;)
    read.append(piece, static_cast<std::size_t>(count));
  ::close(ends[0]);
  BOOST_TEST(written.get() == 0);
  BOOST_TEST((read == text));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_written_says_why) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  BOOST_REQUIRE(full >= 0);
  BOOST_TEST(write_all(full, "x") == ENOSPC);
  ::close(full);
  BOOST_TEST(write_all(full, "x") == EBADF);
  BOOST_TEST(write_all(full, "") == 0);
}

BOOST_AUTO_TEST_SUITE_END()
