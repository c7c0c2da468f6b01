#include "tests/unit/gateway/socket_client.hpp"

#include <boost/test/unit_test.hpp>

namespace tessera::test {

namespace {

constexpr std::size_t short_max = 125, medium_max = 65535;

std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

std::uint64_t from_big_endian(const std::string& bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

}  // namespace

int SocketFrame::code() const {
  BOOST_REQUIRE(opcode == 8);
  return payload.size() < 2 ? 1005 : static_cast<int>(from_big_endian(payload.substr(0, 2)));
}

SocketClient::SocketClient(std::uint16_t port, const std::string& path, const std::string& headers) : client_(port) {
  client_.send("GET " + path +
               " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
               headers + "\r\n");
  handshake_ = client_.read_until("\r\n\r\n");
}

void SocketClient::send_frame(int opcode, const std::string& payload, bool last) {
  const std::size_t size = payload.size();
  std::string head{static_cast<char>((last ? 0x80 : 0) | opcode)};
  if (size <= short_max) {
    head += static_cast<char>(0x80 | size);
  } else if (size <= medium_max) {
    head += static_cast<char>(0x80 | 126);
    head += big_endian(size, 2);
  } else {
    head += static_cast<char>(0x80 | 127);
    head += big_endian(size, 8);
  }
  const std::string mask = "\x12\x34\x56\x78";
  std::string masked = payload;
  for (std::size_t i = 0; i < size; ++i) masked[i] = static_cast<char>(masked[i] ^ mask[i % mask.size()]);
  client_.send(head + mask + masked);
}

void SocketClient::send_close(int code) { send_frame(8, big_endian(static_cast<std::uint64_t>(code), 2)); }

SocketFrame SocketClient::read() {
  const std::string head = client_.read_bytes(2);
  SocketFrame frame{head[0] & 0x0F, {}};
  BOOST_REQUIRE_MESSAGE((head[0] & 0x80) != 0 && (head[1] & 0x80) == 0, "a whole frame without a mask was expected");
  std::uint64_t size = static_cast<unsigned char>(head[1]);
  if (size > short_max) size = from_big_endian(client_.read_bytes(size == 126 ? 2 : 8));
  frame.payload = client_.read_bytes(static_cast<std::size_t>(size));
  return frame;
}

gateway::Json SocketClient::message() {
  const SocketFrame frame = read();
  BOOST_REQUIRE_MESSAGE(frame.opcode == 1, "no text, but a frame of opcode " << frame.opcode);
  gateway::Json json = gateway::Json::parse(frame.payload, nullptr, false);
  BOOST_REQUIRE_MESSAGE(json.is_object(), "no object: " << frame.payload);
  return json;
}

}  // namespace tessera::test
