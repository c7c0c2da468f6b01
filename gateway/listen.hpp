// The socket that a gateway listens on.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// Closes its socket.
class ListenSocket {
 public:
  /// A loopback address only: without keys, nobody else may ask. Port 0: any free one. Errors: invalid_argument,
  /// unavailable (the port is taken), denied, io.
  static Result<ListenSocket> open(const std::string& host, std::uint16_t port);
  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&&) = delete;
  ~ListenSocket() { close(); }

  int descriptor() const { return descriptor_; }
  std::uint16_t port() const { return port_; }
  void close();

 private:
  ListenSocket(int descriptor, std::uint16_t port) : descriptor_(descriptor), port_(port) {}
  int descriptor_;
  std::uint16_t port_;
};

}  // namespace tessera::gateway
