// Who is let in, and what strangers can do (nothing). A good client works through all of it.
#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

/// A plain TCP connection of somebody who does not speak TLS.
class PlainSocket {
 public:
  explicit PlainSocket(const Endpoint& endpoint) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    ::inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    const timeval patience_s{patience.count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience_s, sizeof(patience_s));
  }
  ~PlainSocket() { ::close(fd_); }
  PlainSocket(const PlainSocket&) = delete;
  PlainSocket& operator=(const PlainSocket&) = delete;

  bool connected() const { return connected_; }
  void send(const std::string& bytes) const { (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  /// Waits until the other side closes; false after the test's patience.
  bool wait_closed() const {
    char buffer[512];
    for (;;) {
      const ssize_t count = ::recv(fd_, buffer, sizeof(buffer), 0);
      if (count == 0 || (count < 0 && errno == ECONNRESET)) return true;
      if (count < 0) return false;
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

Result<CoordinatorClient> dial(RpcThread& thread, DialOptions options) {
  Answer<CoordinatorClient> answer;
  CoordinatorClient::connect(thread, std::move(options), nullptr, answer.reply());
  return answer.wait();
}

void check_works(const CoordinatorClient& client) {
  Answer<std::vector<ConductorLocation>> answer;
  client.locate("s", long_deadline, answer.reply());
  const auto located = answer.wait();
  BOOST_TEST(succeeded(located));
}

/// A server that gives strangers little time.
struct StrictFixture : RpcFixture {
  StrictFixture() {
    ServerOptions options;
    options.listen = {"127.0.0.1", 0};
    options.identities = {authority.issue(Role::coordinator, "c")};
    options.facts = node_facts();
    options.handshake_deadline = std::chrono::milliseconds(300);
    server = std::move(*RpcServer::listen(*server_thread, options, {&coordinator, nullptr}));
  }
};

BOOST_FIXTURE_TEST_SUITE(handshake, RpcFixture)

BOOST_AUTO_TEST_CASE(another_protocol_cluster_or_profile_is_refused_with_both_sides_values) {
  const CoordinatorClient good = connect(Role::user, "alice");
  DialOptions options = dial_options(Role::worker, "w1");
  options.facts.cluster = "other";
  auto refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::conflict));
  BOOST_TEST(refused.error().message.find("'other'") != std::string::npos);
  BOOST_TEST(refused.error().message.find("'demo'") != std::string::npos);

  options = dial_options(Role::worker, "w1");
  options.facts.profile = "gpu-9";
  refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::conflict));
  BOOST_TEST(refused.error().message.find("'gpu-9'") != std::string::npos);
  BOOST_TEST(refused.error().message.find("'cpu-1'") != std::string::npos);

  options = dial_options(Role::worker, "w1");
  options.facts.cluster.clear();  // a node must know where it belongs
  refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::conflict));
  BOOST_TEST(server->counters().refused == 3u);
  check_works(good);
}

BOOST_AUTO_TEST_CASE(a_client_needs_neither_cluster_name_nor_profile) {
  DialOptions options = dial_options(Role::user, "alice");
  options.facts = {};
  const auto client = dial(*client_thread, options);
  BOOST_REQUIRE(succeeded(client));
  BOOST_TEST(client->server().cluster == "demo");
  BOOST_TEST(client->server().profile == "cpu-1");
  check_works(*client);
}

BOOST_AUTO_TEST_CASE(a_foreign_authority_is_refused_on_either_side) {
  const CoordinatorClient good = connect(Role::user, "alice");
  const TestAuthority foreign("demo");
  // A server that cannot be trusted.
  DialOptions options = dial_options(Role::user, "alice");
  options.identity.authority_pem = foreign.authority().certificate_pem();
  auto refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::denied));
  // A client that cannot be trusted.
  options = dial_options(Role::user, "alice");
  options.identity = foreign.issue(Role::operator_, "mallory");
  options.identity.authority_pem = authority.authority().certificate_pem();
  refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::denied));
  // None at all.
  options.identity.certificate_pem.clear();
  options.identity.key_pem.clear();
  refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::denied));
  check_works(good);
}

BOOST_AUTO_TEST_CASE(the_server_must_be_whom_the_dialler_expects) {
  DialOptions options = dial_options(Role::user, "alice");
  options.server = {Role::coordinator, "d"};
  auto refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::denied));
  // A node with two roles has two names.
  options.server = {Role::worker, "c"};
  BOOST_TEST(succeeded(dial(*client_thread, options)));
}

BOOST_AUTO_TEST_CASE(an_endpoint_without_listener_is_unavailable) {
  DialOptions options = dial_options(Role::user, "alice");
  const Endpoint endpoint = server->endpoint();
  const PlainSocket somebody(endpoint);
  server.reset();
  BOOST_TEST(somebody.wait_closed());
  // The listener goes after its connections: until then the system still takes new ones for it.
  while (PlainSocket(endpoint).connected()) std::this_thread::yield();
  const auto refused = dial(*client_thread, options);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::unavailable));
  BOOST_TEST(refused.error().message.find("127.0.0.1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_listener_on_a_taken_port_fails_with_its_address) {
  ServerOptions options;
  options.listen = server->endpoint();
  options.identities = {authority.issue(Role::coordinator, "c")};
  const auto taken = RpcServer::listen(*server_thread, options, {&coordinator, nullptr});
  BOOST_REQUIRE(!taken);
  BOOST_TEST(taken.error().message.find(to_string(options.listen)) != std::string::npos);
  options.listen.port = 0;
  options.identities[0].key_pem = "nonsense";
  BOOST_TEST(!RpcServer::listen(*server_thread, options, {&coordinator, nullptr}));
}

BOOST_AUTO_TEST_CASE(a_peer_that_never_answers_times_out) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  BOOST_REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
  BOOST_REQUIRE(::listen(listener, 1) == 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  DialOptions options = dial_options(Role::user, "alice");
  options.endpoint.port = ntohs(address.sin_port);
  options.deadline = std::chrono::milliseconds(100);
  const auto silent = dial(*client_thread, options);
  BOOST_REQUIRE(!silent);
  BOOST_TEST((silent.error().code == ErrorCode::timed_out));
  ::close(listener);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(strangers, StrictFixture)

BOOST_AUTO_TEST_CASE(garbage_and_http_and_silence_are_closed_and_counted_while_a_member_works) {
  const CoordinatorClient good = connect(Role::user, "alice");
  const PlainSocket garbage(server->endpoint()), http(server->endpoint()), silent(server->endpoint());
  BOOST_REQUIRE((garbage.connected() && http.connected() && silent.connected()));
  garbage.send(std::string(4096, '\x5a'));
  http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  check_works(good);
  BOOST_TEST(garbage.wait_closed());
  BOOST_TEST(http.wait_closed());
  BOOST_TEST(silent.wait_closed());  // at the handshake's deadline
  check_works(good);
  BOOST_TEST(server->counters().strangers == 3u);
  BOOST_TEST(server->counters().accepted == 4u);
  BOOST_TEST(server->counters().entered == 1u);
}

BOOST_AUTO_TEST_CASE(a_flood_of_silent_connections_keeps_no_member_out) {
  const CoordinatorClient good = connect(Role::user, "alice");
  std::vector<std::unique_ptr<PlainSocket>> flood;
  for (int i = 0; i < 300; ++i) flood.push_back(std::make_unique<PlainSocket>(server->endpoint()));
  const CoordinatorClient another = connect(Role::user, "bob");
  check_works(another);
  check_works(good);
  for (const auto& socket : flood) BOOST_REQUIRE(socket->wait_closed());
  BOOST_TEST(server->counters().strangers == 300u);
  BOOST_TEST(server->counters().entered == 2u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
