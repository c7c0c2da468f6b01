// The few things of the operating system that the data plane stands on: descriptors that close themselves, nonblocking
// TCP sockets, an event to wake a poll.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include "cluster/control/plan.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Owns a descriptor. Moves, does not copy.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { reset(); }
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

/// An eventfd: signal() makes it readable until clear(). Any thread.
class EventFd {
 public:
  EventFd();
  int fd() const { return socket_.fd(); }
  void signal() const;
  void clear() const;

 private:
  Socket socket_;
};

/// An address as the system writes it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// Addresses of "host:port"; may ask a name server, and blocks as long as that takes. `not_found` names the host.
Result<std::vector<SocketAddress>> resolve(const Endpoint& endpoint);
/// The address, when the host is written as one: asks nobody.
std::optional<std::vector<SocketAddress>> numeric_address(const Endpoint& endpoint);
/// A nonblocking listening socket; an empty host means every address of this machine.
Result<Socket> listen_tcp(const Endpoint& at);
std::uint16_t local_port(const Socket& socket);
/// Starts a nonblocking connect; finished when the socket is writable and dial_error is 0.
Result<Socket> start_dial(const SocketAddress& address);
/// errno of the finished connect.
int dial_error(const Socket& socket);
/// What every data connection wants: no delay, no SIGPIPE, nonblocking.
void prepare_data_socket(const Socket& socket);

/// "Connection refused" for ECONNREFUSED, and so on. Any thread.
std::string system_message(int error);

enum class IoStatus : std::uint8_t {
  progress,  ///< `bytes` were moved
  blocked,   ///< nothing to read, or no room to write, now
  closed,    ///< by the peer, or broken (`error` is errno, 0 for an orderly end)
};
struct IoResult {
  IoStatus status = IoStatus::blocked;
  std::size_t bytes = 0;
  int error = 0;
};
/// Nonblocking; never raises SIGPIPE.
IoResult receive_some(int fd, std::byte* to, std::size_t bytes);
IoResult send_some(int fd, const std::byte* from, std::size_t bytes);

}  // namespace tessera
