// A WebSocket as a test speaks it (RFC 6455): frames out and in, over an HttpClient's connection.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/json_body.hpp"
#include "tests/unit/gateway/http_client.hpp"

namespace tessera::test {

struct SocketFrame {
  int opcode = 0;  ///< 1: text, 8: close, 9: ping, 10: pong
  std::string payload;
  /// Of a close.
  int code() const;
};

class SocketClient {
 public:
  SocketClient(std::uint16_t port, const std::string& path, const std::string& headers = {});

  /// The answer to the handshake; 101 or an error.
  const std::string& handshake() const { return handshake_; }
  void send_frame(int opcode, const std::string& payload, bool last = true);
  void send(const std::string& text) { send_frame(1, text); }
  void send_close(int code);
  SocketFrame read();
  /// A text frame's JSON.
  gateway::Json message();
  HttpClient& connection() { return client_; }

 private:
  HttpClient client_;
  std::string handshake_;
};

}  // namespace tessera::test
