#include "tests/unit/gateway/http_client.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

namespace tessera::test {

namespace {

constexpr int patience_s = 60;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return text;
}

}  // namespace

gateway::Json HttpAnswer::json() const {
  gateway::Json json = gateway::Json::parse(body, nullptr, false);
  BOOST_REQUIRE_MESSAGE(!json.is_discarded(), "no JSON: " << body);
  return json;
}

HttpClient::HttpClient(std::uint16_t port, int receive_buffer)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{patience_s, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (receive_buffer > 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  BOOST_REQUIRE(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

HttpClient::~HttpClient() { close(); }

void HttpClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

ssize_t HttpClient::send_some(const char* bytes, std::size_t count) {
  return ::send(socket_, bytes, count, MSG_NOSIGNAL);
}

ssize_t HttpClient::receive_some(char* bytes, std::size_t count) { return ::recv(socket_, bytes, count, 0); }

void HttpClient::send(const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = send_some(bytes.data() + done, bytes.size() - done);
    if (count <= 0) return;  // the server does not take it all: its answer says why
    done += static_cast<std::size_t>(count);
  }
}

bool HttpClient::more() {
  char bytes[4096];
  const ssize_t count = receive_some(bytes, sizeof bytes);
  if (count > 0) buffer_.append(bytes, static_cast<std::size_t>(count));
  return count > 0;
}

bool HttpClient::closed() {
  while (more()) {
  }
  char byte;
  return ::recv(socket_, &byte, 1, MSG_DONTWAIT) == 0;
}

std::string HttpClient::read_until(const std::string& text) {
  while (buffer_.find(text) == std::string::npos) {
    BOOST_REQUIRE_MESSAGE(more(), "the connection ended without '" << text << "': " << buffer_);
  }
  const std::size_t end = buffer_.find(text) + text.size();
  std::string result = buffer_.substr(0, end);
  buffer_.erase(0, end);
  return result;
}

std::string HttpClient::read_bytes(std::size_t count) {
  while (buffer_.size() < count) BOOST_REQUIRE_MESSAGE(more(), "the connection ended early");
  std::string result = buffer_.substr(0, count);
  buffer_.erase(0, count);
  return result;
}

HttpAnswer HttpClient::read() {
  HttpAnswer answer;
  std::string head = read_until("\r\n\r\n");
  answer.status = std::stoi(head.substr(head.find(' ') + 1));
  std::size_t line = head.find("\r\n") + 2;
  while (line + 2 < head.size()) {
    const std::size_t end = head.find("\r\n", line), colon = head.find(':', line);
    answer.headers[lower(head.substr(line, colon - line))] = head.substr(colon + 2, end - colon - 2);
    line = end + 2;
  }
  if (answer.status == 204) return answer;  // never has a body
  if (answer.headers.contains("content-length")) {
    const std::size_t length = std::stoul(answer.headers["content-length"]);
    while (buffer_.size() < length) BOOST_REQUIRE_MESSAGE(more(), "the body ended early");
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return answer;
  }
  for (;;) {
    const std::string size = read_until("\r\n");
    const std::size_t length = std::stoul(size, nullptr, 16);
    while (buffer_.size() < length + 2) BOOST_REQUIRE_MESSAGE(more(), "a chunk ended early");
    answer.body += buffer_.substr(0, length);
    buffer_.erase(0, length + 2);
    if (length == 0) return answer;
  }
}

HttpAnswer HttpClient::get(const std::string& path, const std::string& headers) {
  send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
  return read();
}

std::string post_bytes(const std::string& path, const std::string& body, const std::string& headers) {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

HttpAnswer HttpClient::post(const std::string& path, const std::string& body, const std::string& headers) {
  send(post_bytes(path, body, headers));
  return read();
}

}  // namespace tessera::test
