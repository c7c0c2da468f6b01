#include "cluster/config/local_host.hpp"

#include <array>
#include <ifaddrs.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/config/cluster_config.hpp"

namespace tessera {

namespace {

/// The bytes of an address, by which two of one family can be compared.
std::string address_bytes(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    return std::string(reinterpret_cast<const char*>(&v4), sizeof v4);
  }
  if (address->sa_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    return std::string(reinterpret_cast<const char*>(&v6), sizeof v6);
  }
  return "";
}

}  // namespace

bool is_local_host(const std::string& host) {
  if (is_loopback(host)) return true;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0 && host == name.data()) return true;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* resolved = nullptr;
  ifaddrs* interfaces = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &resolved) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(resolved, &::freeaddrinfo);
  if (::getifaddrs(&interfaces) != 0) return false;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> own(interfaces, &::freeifaddrs);
  for (const addrinfo* address = resolved; address; address = address->ai_next) {
    const std::string wanted = address_bytes(address->ai_addr);
    for (const ifaddrs* at = interfaces; at; at = at->ifa_next) {
      if (at->ifa_addr && !wanted.empty() && address_bytes(at->ifa_addr) == wanted) return true;
    }
  }
  return false;
}

}  // namespace tessera
