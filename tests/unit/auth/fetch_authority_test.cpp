// A joiner's first contact, over loopback: with the right cluster, with another one, and with nobody.
#include "cluster/auth/fetch_authority.hpp"

#include <arpa/inet.h>
#include <chrono>
#include <csignal>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/openssl_handles.hpp"
#include "runtime/base/clock.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

std::chrono::sys_seconds now() { return SystemWallClock().now(); }

CertificateAuthority new_authority() {
  auto authority = CertificateAuthority::create("demo", now());
  BOOST_TEST_REQUIRE(bool(authority));
  return std::move(*authority);
}

/// Listens on a free port of loopback.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    BOOST_TEST_REQUIRE((::bind(socket_, raw, size) == 0 && ::listen(socket_, 4) == 0));
    BOOST_TEST_REQUIRE(::getsockname(socket_, raw, &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { ::close(socket_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  std::uint16_t port() const { return port_; }
  int accept() const { return ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC); }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

/// Serves one TLS connection with a certificate and whatever else is in the chain.
class Server {
 public:
  Server(const Credentials& credentials, const std::string& chain_pem)
      : thread_([this, credentials, chain_pem] { serve(credentials, chain_pem); }) {}
  ~Server() { thread_.join(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  std::uint16_t port() const { return listener_.port(); }

 private:
  void serve(const Credentials& credentials, const std::string& chain_pem) {
    sigset_t pipe;  // the joiner may leave while this side writes
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    const openssl::TlsContext context(SSL_CTX_new(TLS_server_method()));
    const auto certificate = openssl::parse_certificate(credentials.certificate_pem);
    const auto key = openssl::parse_key(credentials.key_pem);
    SSL_CTX_use_certificate(context.get(), certificate.get());
    SSL_CTX_use_PrivateKey(context.get(), key.get());
    if (!chain_pem.empty()) {
      SSL_CTX_add_extra_chain_cert(context.get(), openssl::parse_certificate(chain_pem).release());
    }
    const openssl::Tls tls(SSL_new(context.get()));
    const int connection = listener_.accept();
    SSL_set_fd(tls.get(), connection);
    SSL_accept(tls.get());
    char byte;
    SSL_read(tls.get(), &byte, 1);  // until the joiner leaves
    ::close(connection);
  }

  Listener listener_;
  std::thread thread_;
};

Result<FetchedAuthority> fetch(std::uint16_t port, const Fingerprint& fingerprint,
                               std::chrono::milliseconds timeout = 20s) {
  return fetch_authority("127.0.0.1", port, fingerprint, timeout);
}

std::string where(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

BOOST_AUTO_TEST_SUITE(fetch_authority)

BOOST_AUTO_TEST_CASE(the_authority_is_recognised_by_its_fingerprint) {
  const auto authority = new_authority();
  const Server server(*authority.issue({Role::coordinator, "c"}, now()), authority.certificate_pem());
  const auto fetched = fetch(server.port(), authority.fingerprint());
  BOOST_TEST_REQUIRE(bool(fetched), fetched.error().message);
  BOOST_TEST(fetched->certificate_pem == authority.certificate_pem());
  BOOST_TEST((fetched->coordinator == Identity{Role::coordinator, "c"}));
}

void check_denied(const Credentials& credentials, const std::string& chain, const Fingerprint& expected,
                  const std::string& reason) {
  const Server server(credentials, chain);
  const auto fetched = fetch(server.port(), expected);
  BOOST_TEST_REQUIRE(!fetched);
  BOOST_TEST((fetched.error().code == ErrorCode::denied));
  BOOST_TEST(fetched.error().message ==
             "the process at " + where(server.port()) + " is not of the token's cluster: " + reason);
}

BOOST_AUTO_TEST_CASE(a_server_of_another_cluster_is_refused) {
  const auto authority = new_authority(), other = new_authority();
  check_denied(*other.issue({Role::coordinator, "c"}, now()), other.certificate_pem(), authority.fingerprint(),
               "it does not show the authority whose fingerprint the token has");
}

BOOST_AUTO_TEST_CASE(showing_the_authority_does_not_help_who_was_not_signed_by_it) {
  const auto authority = new_authority(), other = new_authority();
  check_denied(*other.issue({Role::coordinator, "c"}, now()), authority.certificate_pem(), authority.fingerprint(),
               "its certificate is not signed by the cluster's authority, or has expired");
}

BOOST_AUTO_TEST_CASE(a_worker_cannot_pose_as_the_coordinator) {
  const auto authority = new_authority();
  check_denied(*authority.issue({Role::worker, "w1"}, now()), authority.certificate_pem(), authority.fingerprint(),
               "its certificate is not a coordinator's");
}

BOOST_AUTO_TEST_CASE(an_expired_coordinator_is_refused) {
  const auto authority = new_authority();
  check_denied(*authority.issue({Role::coordinator, "c"}, now() - 48h, 24h), authority.certificate_pem(),
               authority.fingerprint(), "its certificate is not signed by the cluster's authority, or has expired");
}

BOOST_AUTO_TEST_CASE(a_server_that_shows_only_itself_is_refused) {
  const auto authority = new_authority();
  check_denied(*authority.issue({Role::coordinator, "c"}, now()), "", authority.fingerprint(),
               "it does not show the authority whose fingerprint the token has");
}

BOOST_AUTO_TEST_CASE(a_leaf_certificate_whose_fingerprint_is_expected_is_no_authority) {
  const auto authority = new_authority();
  const auto leaf = *authority.issue({Role::coordinator, "c"}, now());
  check_denied(leaf, authority.certificate_pem(), *fingerprint_of(leaf.certificate_pem),
               "its certificate is not signed by the cluster's authority, or has expired");
}

BOOST_AUTO_TEST_CASE(nobody_listening_is_said_so) {
  std::uint16_t port = 0;
  { port = Listener().port(); }
  const auto fetched = fetch(port, Fingerprint{});
  BOOST_TEST_REQUIRE(!fetched);
  BOOST_TEST((fetched.error().code == ErrorCode::unavailable));
  BOOST_TEST(fetched.error().message == "cannot reach a coordinator at " + where(port) +
                                            ": Connection refused; check the address and that it runs");
}

BOOST_AUTO_TEST_CASE(a_server_that_says_nothing_is_given_up) {
  const Listener silent;  // the kernel accepts, nobody answers
  const auto fetched = fetch(silent.port(), Fingerprint{}, 50ms);
  BOOST_TEST_REQUIRE(!fetched);
  BOOST_TEST((fetched.error().code == ErrorCode::timed_out));
  BOOST_TEST(fetched.error().message ==
             where(silent.port()) + " did not answer in time: is it the join address of a running coordinator?");
}

BOOST_AUTO_TEST_CASE(a_server_that_does_not_speak_tls_is_said_so) {
  const Listener listener;
  std::thread server([&] {
    const int connection = listener.accept();
    const std::string text = "HTTP/1.1 400 Bad Request\r\n\r\n";
    const bool sent = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL) > 0;
    char bytes[512];
    while (sent && ::read(connection, bytes, sizeof bytes) > 0) {
    }
    ::close(connection);
  });
  const auto fetched = fetch(listener.port(), Fingerprint{});
  server.join();
  BOOST_TEST_REQUIRE(!fetched);
  BOOST_TEST((fetched.error().code == ErrorCode::unavailable));
  BOOST_TEST(fetched.error().message.find("no TLS there (wrong version number)") != std::string::npos,
             fetched.error().message);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
