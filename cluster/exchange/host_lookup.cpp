#include "cluster/exchange/host_lookup.hpp"

#include <mutex>
#include <thread>
#include <utility>

namespace tessera {

/// Outlives whichever of the two ends first.
struct HostLookup::Shared {
  std::mutex mutex;
  std::optional<Result<std::vector<SocketAddress>>> answer;
  EventFd arrived;

  void put(Result<std::vector<SocketAddress>> result) {
    const std::lock_guard lock(mutex);
    answer = std::move(result);
    arrived.signal();
  }
};

HostLookup::HostLookup(const Endpoint& endpoint, const ResolveHost& resolve) : shared_(std::make_shared<Shared>()) {
  if (auto numeric = numeric_address(endpoint)) {
    shared_->put(std::move(*numeric));
    return;
  }
  std::thread([shared = shared_, endpoint, resolve] { shared->put(resolve(endpoint)); }).detach();
}

int HostLookup::event_fd() const { return shared_->arrived.fd(); }

std::optional<Result<std::vector<SocketAddress>>> HostLookup::take() {
  const std::lock_guard lock(shared_->mutex);
  shared_->arrived.clear();
  return std::exchange(shared_->answer, std::nullopt);
}

}  // namespace tessera
