#include "cluster/config/readiness.hpp"

#include <cstdlib>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"

namespace {

using namespace tessera;

/// What an announcement writes into the launcher's pipe.
template <typename Announce>
std::string heard_by_launcher(Announce announce) {
  int ends[2];
  BOOST_TEST_REQUIRE(::pipe(ends) == 0);
  ::setenv(ready_fd_variable, std::to_string(ends[1]).c_str(), 1);
  announce();
  BOOST_TEST(std::getenv(ready_fd_variable) == nullptr);
  std::string text;
  char buffer[512];
  for (ssize_t count; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;) {  // ends, as the other end is closed
    text.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  return text;
}

BOOST_AUTO_TEST_SUITE(readiness)

BOOST_AUTO_TEST_CASE(a_node_says_one_line_and_closes_the_pipe) {
  const std::string ready = heard_by_launcher([] { announce_ready(); });
  BOOST_TEST(ready == "ready\n");
  const std::string failed = heard_by_launcher([] { announce_failure("no\nkey\r"); });
  BOOST_TEST(failed == "failed no key \n");
  const std::string long_line = heard_by_launcher([] { announce_failure(std::string(100'000, 'x')); });
  BOOST_TEST(long_line.size() == readiness_line_bytes_max + 1);
}

BOOST_AUTO_TEST_CASE(what_a_node_says_is_understood) {
  BOOST_TEST(parse_readiness("ready")->ready);
  const auto failed = parse_readiness("failed no key");
  BOOST_TEST_REQUIRE(bool(failed));
  BOOST_TEST((!failed->ready && failed->failure == "no key"));
  for (const char* line : {"", "readyy", "failed", "failed ", "hello"}) BOOST_TEST(!parse_readiness(line), line);
}

BOOST_AUTO_TEST_CASE(nothing_happens_where_nobody_listens) {
  ::unsetenv(ready_fd_variable);
  announce_ready();
  ::setenv(ready_fd_variable, "nonsense", 1);
  announce_ready();
  ::unsetenv(ready_fd_variable);
}

BOOST_AUTO_TEST_CASE(systemd_is_told_by_its_socket) {
  const test::TemporaryFolder folder;
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  folder.file("notify").copy(address.sun_path, sizeof address.sun_path - 1);
  BOOST_TEST_REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  ::setenv("NOTIFY_SOCKET", folder.file("notify").c_str(), 1);
  announce_ready();
  announce_failure("no key");
  ::unsetenv("NOTIFY_SOCKET");
  const auto receive = [&] {
    char buffer[100];
    const ssize_t count = ::recv(socket, buffer, sizeof buffer, MSG_DONTWAIT);
    return std::string(buffer, count > 0 ? static_cast<std::size_t>(count) : 0);
  };
  BOOST_TEST(receive() == "READY=1");
  BOOST_TEST(receive() == "STATUS=no key");
  ::close(socket);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
