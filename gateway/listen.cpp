#include "gateway/listen.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
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

Error no_address(const std::string& host) {
  return {
      ErrorCode::invalid_argument,
      "cannot listen on '" + host + "': give an IP address of this machine, such as 127.0.0.1 or ::1, or localhost"};
}

Result<Address> address_of(const std::string& host, std::uint16_t port) {
  Address address;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.length = sizeof *v4;
    return address;
  }
  if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.length = sizeof *v6;
    return address;
  }
  return no_address(host);
}

bool is_loopback(const Address& address) {
  if (address.storage.ss_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr);
  return ntohl(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr.s_addr) >> 24 == 127;
}

Error system_error(const std::string& host, std::uint16_t port, int error) {
  ErrorCode code = ErrorCode::io;
  std::string remedy;
  if (error == EADDRINUSE) {
    code = ErrorCode::unavailable;
    remedy = "; choose another one with --port or --listen";
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

Result<ListenOptions> parse_listen(std::string_view text) {
  const std::string whole(text.substr(0, 256));
  const auto wrong = [&](const std::string& reason) {
    return Error{ErrorCode::invalid_argument, "'" + whole + "' is no address to listen on: " + reason +
                                                  "; give HOST:PORT or HOST:PORT=SET,SET, such as 127.0.0.1:8080 or "
                                                  "[::1]:9090=health,metrics"};
  };
  ListenOptions options;
  if (const std::size_t equals = text.find('='); equals != std::string_view::npos) {
    auto sets = RouteSets::parse(text.substr(equals + 1));
    if (!sets) return wrong(sets.error().message);
    options.sets = *sets;
    text = text.substr(0, equals);
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("it has no port");
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.port);
  if (error != std::errc{} || end != port.data() + port.size()) return wrong("its port is no number from 0 to 65535");
  std::string_view host = text.substr(0, colon);
  const bool in_brackets = host.starts_with('[') && host.ends_with(']');
  if (in_brackets) host = host.substr(1, host.size() - 2);
  if (!in_brackets && host.find(':') != std::string_view::npos) return wrong("an IPv6 address stands in brackets");
  options.host = host;
  if (const auto address = address_of(options.host, options.port); !address) return wrong(address.error().message);
  return options;
}

Result<void> check_listen(const GatewayOptions& options) {
  if (options.tls_certificate.empty() != options.tls_key.empty())
    return Error{ErrorCode::invalid_argument, "give both --tls-certificate and --tls-key, or neither"};
  if (options.listen.empty()) return Error{ErrorCode::invalid_argument, "there is no address to listen on"};
  for (const ListenOptions& each : options.listen) {
    TESSERA_TRY(const Address address, address_of(each.host, each.port));
    if (is_loopback(address)) continue;
    if (options.key_file.empty()) {
      return Error{ErrorCode::invalid_argument,
                   "cannot listen on " + each.host +
                       ": without keys, only programs of this machine may ask; use 127.0.0.1, ::1 or localhost, or "
                       "make keys with `tessera keys create` and give their file with --keys"};
    }
    if (options.tls_certificate.empty() && !options.insecure_http) {
      return Error{
          ErrorCode::invalid_argument,
          "cannot listen on " + each.host +
              ": API keys and prompts would travel unencrypted; give --tls-certificate and --tls-key, or allow it with "
              "--insecure-http where something before this server encrypts"};
    }
  }
  return {};
}

Result<ListenSocket> ListenSocket::open(const ListenOptions& options) {
  const std::string& host = options.host;
  const std::uint16_t port = options.port;
  TESSERA_TRY(const Address address, address_of(host, port));
  ListenSocket listening(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), options);
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
    : descriptor_(std::exchange(other.descriptor_, -1)), port_(other.port_), options_(std::move(other.options_)) {}

void ListenSocket::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

}  // namespace tessera::gateway
