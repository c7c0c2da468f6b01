// Gateway: serves the models of a source over HTTP, on threads of its own.
//
//   auto models = ClusterModels::connect(options);              // or a test's own source
//   auto gateway = Gateway::start({.listen = {{.port = 8080}}}, **models);
//   … (*gateway)->port() …
//   (*gateway)->drain(std::chrono::seconds(30));                // requests that run come to their end
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "gateway/models.hpp"
#include "gateway/options.hpp"
#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// Owned by whoever serves; ends before its source does.
class Gateway {
 public:
  /// Listens when it returns. Errors: invalid_argument (an address that it may not listen on), unavailable (a port is
  /// taken), those of the files that it is given, io.
  static Result<std::unique_ptr<Gateway>> start(const GatewayOptions& options, ModelSource& models);
  /// Cuts off what still runs.
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Of an address that it was told to listen on.
  std::uint16_t port(std::size_t index = 0) const;
  /// "http://127.0.0.1:8080"
  std::string url(std::size_t index = 0) const;
  /// Takes no new connection or request, and waits until none is worked on; false when `patience` was over before.
  bool drain(std::chrono::milliseconds patience);
  /// Streams that run now.
  std::size_t streams() const;

 private:
  struct State;
  explicit Gateway(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera::gateway
