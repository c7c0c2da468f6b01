#include "cluster/config/readiness.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/write_all.hpp"

namespace tessera {

namespace {

constexpr std::string_view ready_line = "ready";
constexpr std::string_view failed_prefix = "failed ";

std::optional<int> descriptor_in(const char* text) {
  int number = -1;
  const char* const end = text + std::strlen(text);
  const auto [parsed, code] = std::from_chars(text, end, number);
  return code == std::errc{} && parsed == end && number >= 0 ? std::optional(number) : std::nullopt;
}

// The launcher may be gone: nobody is told then, and that is no failure of the node.
void tell_launcher(std::string line) {
  const char* const variable = std::getenv(ready_fd_variable);
  const auto pipe = variable ? descriptor_in(variable) : std::nullopt;
  if (!pipe) return;
  line += '\n';
  write_all(*pipe, line);
  ::close(*pipe);
  ::unsetenv(ready_fd_variable);  // children of the node do not have the pipe
}

// The protocol of sd_notify(3): a datagram to the socket that systemd names.
void tell_systemd(std::string_view message) {
  const char* const variable = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (!variable || variable[0] == '\0' || std::strlen(variable) >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(variable);
  std::memcpy(address.sun_path, variable, length);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  // Nothing to be done about a manager that does not listen.
  static_cast<void>(::sendto(socket, message.data(), message.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), size));
  ::close(socket);
}

}  // namespace

void announce_ready() {
  tell_systemd("READY=1");
  tell_launcher(std::string(ready_line));
}

void announce_failure(std::string_view message) {
  std::string text(message.substr(0, readiness_line_bytes_max - failed_prefix.size()));
  std::ranges::replace_if(
      text, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  tell_systemd("STATUS=" + text);
  tell_launcher(std::string(failed_prefix) + text);
}

Result<Readiness> parse_readiness(std::string_view line) {
  if (line == ready_line) return Readiness{true, ""};
  if (line.starts_with(failed_prefix) && line.size() > failed_prefix.size()) {
    return Readiness{false, std::string(line.substr(failed_prefix.size()))};
  }
  return Error{ErrorCode::corrupt, "it says neither that it is ready nor why not: '" + std::string(line.substr(0, 80)) +
                                       "'; is it another version of Tessera?"};
}

}  // namespace tessera
