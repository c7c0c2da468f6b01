// GatewayOptions: where a gateway listens, and its limits. Each limit says what happens beyond it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tessera::gateway {

struct GatewayOptions {
  std::string host = "127.0.0.1";  ///< a loopback address: without keys nobody else may ask
  std::uint16_t port = 0;          ///< 0: any free one
  std::size_t http_threads = 1;    ///< event loops, which share the port
  std::size_t workers = 4;         ///< threads that tokenize and wait for the cluster

  std::size_t body_bytes_max = std::size_t{16} << 20;    ///< 413
  std::size_t header_bytes_max = std::size_t{32} << 10;  ///< 431
  std::size_t connections_max = 1024;                    ///< 503, and closed
  std::size_t streams_max = 256;                         ///< that run at once, of all requests: 429 with retry-after

  std::chrono::milliseconds header_timeout{15'000};       ///< for a request's head, once it began; then closed
  std::chrono::milliseconds idle_timeout{120'000};        ///< between two requests of a connection; then closed
  std::chrono::milliseconds body_timeout{30'000};         ///< for a whole body: 408
  std::chrono::milliseconds write_timeout{60'000};        ///< for a client to take what is ready; then closed
  std::chrono::milliseconds keep_alive_interval{15'000};  ///< of comments in a stream that has nothing to say
};

}  // namespace tessera::gateway
