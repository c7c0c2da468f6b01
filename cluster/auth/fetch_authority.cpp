#include "cluster/auth/fetch_authority.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/auth/openssl_handles.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

namespace {

using namespace openssl;

/// Closes at the end of a scope.
class Socket {
 public:
  explicit Socket(int number) : number_(number) {}
  ~Socket() {
    if (number_ >= 0) ::close(number_);
  }
  Socket(Socket&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Socket& operator=(Socket&&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

/// The whole attempt: where to, and until when.
class Attempt {
 public:
  Attempt(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout)
      : where_((host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port)),
        deadline_(clock_.now() + timeout) {}

  /// Blocks until the socket is ready for `events` (poll).
  Result<void> wait(int socket, short events) const {
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock_.now());
      if (left.count() <= 0) {
        return Error{ErrorCode::timed_out,
                     where_ + " did not answer in time: is it the join address of a running coordinator?"};
      }
      pollfd waiting{socket, events, 0};
      const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return unavailable(std::strerror(errno));
    }
  }
  Error unavailable(const std::string& reason) const {
    return Error{ErrorCode::unavailable,
                 "cannot reach a coordinator at " + where_ + ": " + reason + "; check the address and that it runs"};
  }
  Error denied(const std::string& reason) const {
    return Error{ErrorCode::denied, "the process at " + where_ + " is not of the token's cluster: " + reason};
  }

 private:
  SystemClock clock_;
  std::string where_;
  TimePoint deadline_;
};

Result<Socket> connect_to(const addrinfo& address, const Attempt& attempt) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.number() < 0) return attempt.unavailable(std::strerror(errno));
  if (::connect(socket.number(), address.ai_addr, address.ai_addrlen) == 0) return socket;
  if (errno != EINPROGRESS) return attempt.unavailable(std::strerror(errno));
  TESSERA_CHECK(attempt.wait(socket.number(), POLLOUT));
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return attempt.unavailable(std::strerror(error));
  return socket;
}

/// The first of the host's addresses that answers.
Result<Socket> connect_to(const std::string& host, std::uint16_t port, const Attempt& attempt) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed != 0) return attempt.unavailable(::gai_strerror(failed));
  const std::unique_ptr<addrinfo, Free<::freeaddrinfo>> addresses(found);
  Error last = attempt.unavailable("the name has no address");
  for (const addrinfo* address = found; address; address = address->ai_next) {
    Result<Socket> socket = connect_to(*address, attempt);
    if (socket) return socket;
    last = socket.error();
  }
  return last;
}

/// Sends what TLS has to say. The library's own sockets would raise SIGPIPE where the peer has left.
Result<void> send_pending(SSL* tls, int socket, const Attempt& attempt) {
  char bytes[4096];
  for (int count; (count = BIO_read(SSL_get_wbio(tls), bytes, sizeof bytes)) > 0;) {
    for (int sent = 0; sent < count;) {
      const ssize_t done = ::send(socket, bytes + sent, static_cast<std::size_t>(count - sent), MSG_NOSIGNAL);
      if (done < 0 && errno != EAGAIN && errno != EINTR) return attempt.unavailable(std::strerror(errno));
      if (done < 0) TESSERA_CHECK(attempt.wait(socket, POLLOUT));
      sent += done > 0 ? static_cast<int>(done) : 0;
    }
  }
  return {};
}

/// Waits for bytes of the peer and hands them to TLS.
Result<void> receive(SSL* tls, int socket, const Attempt& attempt) {
  TESSERA_CHECK(attempt.wait(socket, POLLIN));
  char bytes[4096];
  const ssize_t count = ::recv(socket, bytes, sizeof bytes, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (count <= 0) return attempt.unavailable(count == 0 ? "no TLS there (it hung up)" : std::strerror(errno));
  if (BIO_write(SSL_get_rbio(tls), bytes, static_cast<int>(count)) != count) return attempt.unavailable(take_error());
  return {};
}

Result<void> shake_hands(SSL* tls, int socket, const Attempt& attempt) {
  for (;;) {
    const int done = SSL_connect(tls);
    const int state = SSL_get_error(tls, done);
    const std::string reason = take_error();
    TESSERA_CHECK(send_pending(tls, socket, attempt));
    if (done == 1) return {};
    if (state != SSL_ERROR_WANT_READ && state != SSL_ERROR_WANT_WRITE) {
      return attempt.unavailable("no TLS there (" + reason + ")");
    }
    TESSERA_CHECK(receive(tls, socket, attempt));
  }
}

bool is_signed_by(X509* leaf, X509* authority) {
  const Trust trust(X509_STORE_new());
  const Verification verification(X509_STORE_CTX_new());
  const bool valid = trust && verification && X509_STORE_add_cert(trust.get(), authority) == 1 &&
                     X509_STORE_CTX_init(verification.get(), trust.get(), leaf, nullptr) == 1 &&
                     X509_STORE_CTX_set_purpose(verification.get(), X509_PURPOSE_SSL_SERVER) == 1 &&
                     X509_verify_cert(verification.get()) == 1;
  take_error();
  return valid;
}

Result<FetchedAuthority> examine(SSL* tls, const Fingerprint& expected, const Attempt& attempt) {
  const Certificate leaf(SSL_get1_peer_certificate(tls));
  STACK_OF(X509)* const shown = SSL_get_peer_cert_chain(tls);
  if (!leaf || !shown) return attempt.denied("it shows no certificate");
  for (int i = 0; i < sk_X509_num(shown); ++i) {
    X509* const candidate = sk_X509_value(shown, i);
    Fingerprint fingerprint;
    unsigned size = 0;
    if (X509_digest(candidate, EVP_sha256(), fingerprint.data(), &size) != 1 || fingerprint != expected) continue;
    if (X509_check_ca(candidate) != 1 || !is_signed_by(leaf.get(), candidate)) {
      return attempt.denied("its certificate is not signed by the cluster's authority, or has expired");
    }
    const auto server = parse_common_name(common_name_of(leaf.get()));
    if (!server || server->role != Role::coordinator) return attempt.denied("its certificate is not a coordinator's");
    return FetchedAuthority{to_pem(candidate), *server};
  }
  return attempt.denied("it does not show the authority whose fingerprint the token has");
}

}  // namespace

Result<FetchedAuthority> fetch_authority(const std::string& host, std::uint16_t port, const Fingerprint& expected,
                                         std::chrono::milliseconds timeout) {
  const Attempt attempt(host, port, timeout);
  const TlsContext context(SSL_CTX_new(TLS_client_method()));
  const Tls tls(context ? SSL_new(context.get()) : nullptr);
  if (!tls) return Error{ErrorCode::io, "cannot set up TLS: " + take_error()};
  // Nothing is trusted before examine(): the connection only carries the peer's certificates.
  SSL_set_verify(tls.get(), SSL_VERIFY_NONE, nullptr);
  SSL_set_min_proto_version(tls.get(), TLS1_2_VERSION);
  TESSERA_TRY(const Socket socket, connect_to(host, port, attempt));
  Bio incoming(BIO_new(BIO_s_mem())), outgoing(BIO_new(BIO_s_mem()));
  if (!incoming || !outgoing) return Error{ErrorCode::io, "cannot set up TLS: " + take_error()};
  SSL_set_bio(tls.get(), incoming.release(), outgoing.release());
  TESSERA_CHECK(shake_hands(tls.get(), socket.number(), attempt));
  return examine(tls.get(), expected, attempt);
}

}  // namespace tessera
