#include "cluster/exchange/socket.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

constexpr int listen_backlog = 1024;

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, FreeAddresses>;

Result<AddressList> look_up(const Endpoint& endpoint, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const char* host = endpoint.host.empty() ? nullptr : endpoint.host.c_str();
  const int status = ::getaddrinfo(host, std::to_string(endpoint.port).c_str(), &hints, &list);
  if (status != 0) {
    return Error{ErrorCode::not_found,
                 to_string(endpoint) + ": the host is not known (" + ::gai_strerror(status) + "); check its name"};
  }
  return AddressList(list);
}

std::vector<SocketAddress> addresses_of(const AddressList& list) {
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress& address = addresses.emplace_back();
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
  }
  return addresses;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Socket::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

EventFd::EventFd() : socket_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { TESSERA_ENSURE(socket_); }

void EventFd::signal() const {
  const std::uint64_t one = 1;
  // Fails only when the counter is full: then it is readable anyway.
  [[maybe_unused]] const ssize_t written = ::write(socket_.fd(), &one, sizeof one);
}

void EventFd::clear() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(socket_.fd(), &count, sizeof count);
}

Result<std::vector<SocketAddress>> resolve(const Endpoint& endpoint) {
  TESSERA_TRY(const AddressList list, look_up(endpoint, 0));
  return addresses_of(list);
}

std::optional<std::vector<SocketAddress>> numeric_address(const Endpoint& endpoint) {
  const Result<AddressList> list = look_up(endpoint, AI_NUMERICHOST);
  return list ? std::optional(addresses_of(*list)) : std::nullopt;
}

Result<Socket> listen_tcp(const Endpoint& at) {
  TESSERA_TRY(const AddressList list, look_up(at, AI_PASSIVE));
  int error = 0;
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    Socket socket(::socket(entry->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (socket && ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        ::bind(socket.fd(), entry->ai_addr, entry->ai_addrlen) == 0 && ::listen(socket.fd(), listen_backlog) == 0) {
      return socket;
    }
    error = errno;
  }
  return Error{ErrorCode::io, "cannot listen at " + to_string(at) + ": " + system_message(error) +
                                  "; choose another address or port for the data plane"};
}

std::uint16_t local_port(const Socket& socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  TESSERA_ENSURE(::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&storage), &size) == 0);
  if (storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

Result<Socket> start_dial(const SocketAddress& address) {
  Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return Error{ErrorCode::io, "no socket: " + system_message(errno)};
  prepare_data_socket(socket);
  const auto* const to = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(socket.fd(), to, address.size) != 0 && errno != EINPROGRESS)
    return Error{ErrorCode::unavailable, system_message(errno)};
  return socket;
}

int dial_error(const Socket& socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

void prepare_data_socket(const Socket& socket) {
  const int on = 1;
  // Refused only where it means nothing.
  ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(socket.fd(), F_SETFL, ::fcntl(socket.fd(), F_GETFL) | O_NONBLOCK);
}

std::string system_message(int error) { return std::generic_category().message(error); }

IoResult receive_some(int fd, std::byte* to, std::size_t bytes) {
  for (;;) {
    const ssize_t got = ::recv(fd, to, bytes, MSG_DONTWAIT);
    if (got > 0) return {IoStatus::progress, static_cast<std::size_t>(got), 0};
    if (got == 0) return {IoStatus::closed, 0, 0};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
    if (errno != EINTR) return {IoStatus::closed, 0, errno};
  }
}

IoResult send_some(int fd, const std::byte* from, std::size_t bytes) {
  for (;;) {
    const ssize_t sent = ::send(fd, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return {IoStatus::progress, static_cast<std::size_t>(sent), 0};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return {};
    if (errno != EINTR) return {IoStatus::closed, 0, errno};
  }
}

}  // namespace tessera
