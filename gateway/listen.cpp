#include "gateway/listen.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace tessera::gateway {

namespace {

constexpr int backlog = 1024;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Result<Address> loopback(const std::string& host, std::uint16_t port) {
  Address address;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (host == "::1" && ::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.length = sizeof *v6;
    return address;
  }
  const bool is_v4 = ::inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &v4->sin_addr) == 1;
  if (is_v4 && (ntohl(v4->sin_addr.s_addr) >> 24) == 127) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.length = sizeof *v4;
    return address;
  }
  return Error{ErrorCode::invalid_argument,
               "cannot listen on " + host +
                   ": without keys, only programs of this machine may ask; use 127.0.0.1, ::1 or localhost"};
}

Error system_error(const std::string& host, std::uint16_t port, int error) {
  ErrorCode code = ErrorCode::io;
  std::string remedy;
  if (error == EADDRINUSE) {
    code = ErrorCode::unavailable;
    remedy = "; choose another one with --port";
  }
  if (error == EACCES) code = ErrorCode::denied;
  return {code, "cannot listen on " + host + " port " + std::to_string(port) + ": " + std::strerror(error) + remedy};
}

std::uint16_t port_of(int descriptor) {
  Address address;
  address.length = sizeof address.storage;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) return 0;
  // Both families have it at the same place.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

}  // namespace

Result<ListenSocket> ListenSocket::open(const std::string& host, std::uint16_t port) {
  TESSERA_TRY(const Address address, loopback(host, port));
  ListenSocket listening(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), port);
  if (listening.descriptor_ < 0) return system_error(host, port, errno);
  const int yes = 1;
  ::setsockopt(listening.descriptor_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(listening.descriptor_, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 ||
      ::listen(listening.descriptor_, backlog) != 0) {
    return system_error(host, port, errno);
  }
  listening.port_ = port_of(listening.descriptor_);
  return listening;
}

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), port_(other.port_) {}

void ListenSocket::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

}  // namespace tessera::gateway
