// HelloReader: one hello from a nonblocking socket, and not a byte more: what follows belongs to whoever takes over.
#pragma once

#include <cstddef>
#include <vector>

#include "cluster/exchange/socket.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Never holds more than hello_prefix_bytes + hello_bytes_max. Confined to one thread.
class HelloReader {
 public:
  HelloReader();
  /// Takes what is there; true when the hello is complete. `corrupt` when it is none, `unavailable` when the connection
  /// ended first.
  Result<bool> advance(int fd);
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  std::size_t got_ = 0;
  bool length_known_ = false;
};

}  // namespace tessera
