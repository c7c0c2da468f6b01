// A library to be preloaded (LD_PRELOAD) into processes whose connections a test wants to lie between: connect() to one
// of the TCP ports in TESSERA_TEST_RELAY ("PORT=PORT,PORT=PORT") goes to the other one on the same address.
#include <arpa/inet.h>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace {

using Connect = int (*)(int, const sockaddr*, socklen_t);

unsigned long relay_of(unsigned long port) {
  const char* at = std::getenv("TESSERA_TEST_RELAY");
  while (at != nullptr && *at != '\0') {
    char* end = nullptr;
    const unsigned long from = std::strtoul(at, &end, 10);
    if (end == at || *end != '=') break;
    const unsigned long to = std::strtoul(end + 1, &end, 10);
    if (from == port) return to;
    at = *end == ',' ? end + 1 : nullptr;
  }
  return port;
}

}  // namespace

extern "C" int connect(int fd, const sockaddr* address, socklen_t size) {
  static const auto next = reinterpret_cast<Connect>(::dlsym(RTLD_NEXT, "connect"));
  if (address->sa_family != AF_INET || size < sizeof(sockaddr_in)) return next(fd, address, size);
  sockaddr_in changed;
  std::memcpy(&changed, address, sizeof changed);
  changed.sin_port = htons(static_cast<unsigned short>(relay_of(ntohs(changed.sin_port))));
  return next(fd, reinterpret_cast<const sockaddr*>(&changed), sizeof changed);
}
