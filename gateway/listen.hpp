// The sockets that a gateway listens on, and where it may.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/options.hpp"
#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// "HOST:PORT" or "HOST:PORT=SET,SET"; an IPv6 address stands in brackets. Errors: invalid_argument.
Result<ListenOptions> parse_listen(std::string_view text);

/// Whether a gateway may listen where it is told to: without keys, only programs of this machine may ask; a key does
/// not travel unencrypted beyond it unless that was asked for. Errors: invalid_argument.
Result<void> check_listen(const GatewayOptions& options);

/// Closes its socket.
class ListenSocket {
 public:
  /// Errors: invalid_argument (no IP address), unavailable (the port is taken), denied, io.
  static Result<ListenSocket> open(const ListenOptions& options);
  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&&) = delete;
  ~ListenSocket() { close(); }

  int descriptor() const { return descriptor_; }
  std::uint16_t port() const { return port_; }
  const ListenOptions& options() const { return options_; }
  void close();

 private:
  ListenSocket(int descriptor, const ListenOptions& options)
      : descriptor_(descriptor), port_(options.port), options_(options) {}
  int descriptor_;
  std::uint16_t port_;
  ListenOptions options_;
};

}  // namespace tessera::gateway
