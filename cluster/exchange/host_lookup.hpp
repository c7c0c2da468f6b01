// HostLookup: the addresses of a host without waiting for a name server. The system's resolver cannot be interrupted,
// so it runs on a thread of its own, which nobody waits for: whoever gives up leaves it to end by itself.
//
//   HostLookup lookup(endpoint, options.resolve_host);
//   … poll lookup.event_fd() …
//   if (auto addresses = lookup.take()) …
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cluster/exchange/socket.hpp"

namespace tessera {

/// What asks the name server; may block for as long as it likes. Passed in, so that tests own it.
using ResolveHost = std::function<Result<std::vector<SocketAddress>>(const Endpoint&)>;

/// Confined to one thread. A numeric address is there at once and takes no thread. At most one thread lives on for each
/// abandoned look-up, until the resolver's own time limit.
class HostLookup {
 public:
  HostLookup(const Endpoint& endpoint, const ResolveHost& resolve);

  /// Readable once the answer is there.
  int event_fd() const;
  /// The answer, once; nothing while it is awaited.
  std::optional<Result<std::vector<SocketAddress>>> take();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace tessera
