// GatewayOptions: where a gateway listens, who may ask it, and its limits. Each limit says what happens beyond it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gateway/route_set.hpp"

namespace tessera::gateway {

/// One address.
struct ListenOptions {
  std::string host = "127.0.0.1";  ///< an IP address or "localhost"
  std::uint16_t port = 0;          ///< 0: any free one
  RouteSets sets = RouteSets::all();
};

struct GatewayOptions {
  /// At least one; loopback addresses only while there are no keys.
  std::vector<ListenOptions> listen{ListenOptions{}};
  std::string key_file;                     ///< of the API keys; empty: there are none
  bool open_metrics = false;                ///< /metrics needs no key
  bool insecure_http = false;               ///< beyond loopback, where keys could be overheard
  std::string tls_certificate, tls_key;     ///< files in PEM; empty: plain HTTP
  std::vector<std::string> cors_origins;    ///< whose pages may ask, see cors.hpp
  std::string access_log;                   ///< a file, or "-"; empty: none
  std::function<bool()> reopen_access_log;  ///< see access_log.hpp

  std::size_t http_threads = 1;    ///< event loops, which share the ports
  std::size_t workers = 4;         ///< threads that tokenize and wait for the cluster
  std::string default_model = {};  ///< of requests that name none; empty: the only one

  std::size_t body_bytes_max = std::size_t{16} << 20;    ///< 413
  std::size_t header_bytes_max = std::size_t{32} << 10;  ///< 431
  /// One more closes the one that has been idle longest, of the address that has most idle ones; where none is idle, it
  /// is answered 503 and closed. Fewer where the process may not open so many files.
  std::size_t connections_max = 1024;
  std::size_t streams_max = 256;  ///< that run at once, of all requests: 429 with retry-after

  std::chrono::milliseconds header_timeout{15'000};       ///< for a request's head, once it began; then closed
  std::chrono::milliseconds idle_timeout{120'000};        ///< between two requests of a connection; then closed
  std::chrono::milliseconds body_timeout{30'000};         ///< for a whole body: 408
  std::chrono::milliseconds write_timeout{60'000};        ///< for a client to take what is ready; then closed
  std::chrono::milliseconds keep_alive_interval{15'000};  ///< of comments in a stream that has nothing to say
};

}  // namespace tessera::gateway
