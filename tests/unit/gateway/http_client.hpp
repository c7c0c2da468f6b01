// HTTP as a test speaks it: bytes out, bytes in, over a socket of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>

#include "gateway/json_body.hpp"

namespace tessera::test {

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< chunks put together
  gateway::Json json() const;
};

/// One connection; closed when destroyed. Every wait has a limit that fails the test.
class HttpClient {
 public:
  /// `receive_buffer`: bytes that the system keeps until they are read, about; 0: as many as it likes.
  explicit HttpClient(std::uint16_t port, int receive_buffer = 0);
  virtual ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void send(const std::string& bytes);
  /// Reads one answer to its end.
  HttpAnswer read();
  /// Reads until `text` has come, and returns all that was read and not returned yet.
  std::string read_until(const std::string& text);
  /// Reads exactly so many.
  std::string read_bytes(std::size_t count);
  /// True once the server has closed the connection; what came before is dropped.
  bool closed();
  void close();

  HttpAnswer get(const std::string& path, const std::string& headers = {});
  HttpAnswer post(const std::string& path, const std::string& body, const std::string& headers = {});

 protected:
  /// As ::send and ::recv; a client that speaks TLS has its own.
  virtual ssize_t send_some(const char* bytes, std::size_t count);
  virtual ssize_t receive_some(char* bytes, std::size_t count);
  int socket_ = -1;

 private:
  bool more();
  std::string buffer_;
};

std::string post_bytes(const std::string& path, const std::string& body, const std::string& headers = {});

}  // namespace tessera::test
