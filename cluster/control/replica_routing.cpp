#include "cluster/control/replica_routing.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "runtime/batching/page_key.hpp"

namespace tessera {

namespace {

/// No two replicas of a cluster have the same number, so equal scores are left to it.
std::pair<std::uint64_t, ReplicaId> score(std::uint64_t key, ReplicaId replica) {
  const PhiloxCounter drawn = philox(philox_key(key), {static_cast<std::uint32_t>(replica.value),
                                                       static_cast<std::uint32_t>(replica.value >> 32), 0, 0});
  return {std::uint64_t{drawn[0]} << 32 | drawn[1], replica};
}

}  // namespace

std::uint64_t routing_key(const StreamRequest& request, std::string_view session) {
  if (!session.empty()) return PageKeyHash()(root_page_key("session " + std::string(session), request.tenant));
  PageKey key = root_page_key("prompt", request.tenant);
  const std::span<const TokenId> prompt(request.prompt);
  const std::size_t pages = std::min(prompt.size() / kv_page_positions, routing_pages_max);
  for (std::size_t page = 0; page < pages; ++page)
    key = next_page_key(key, prompt.subspan(page * kv_page_positions, kv_page_positions));
  if (pages == 0) {
    // Nothing of it will ever be shared: the whole of it spreads such prompts.
    std::array<TokenId, kv_page_positions> page;
    page.fill(-1);
    std::copy(prompt.begin(), prompt.end(), page.begin());
    key = next_page_key(key, page);
  }
  return PageKeyHash()(key);
}

std::uint64_t routing_bound(std::uint64_t streams, std::size_t replicas) {
  const std::uint64_t all = 100 * replicas;
  return std::max<std::uint64_t>(routing_streams_free, (routing_load_percent_max * (streams + 1) + all - 1) / all);
}

std::size_t choose_replica(std::uint64_t key, std::span<const RoutedReplica> replicas) {
  TESSERA_ENSURE(!replicas.empty());
  std::uint64_t streams = 0;
  for (const RoutedReplica& each : replicas) streams += each.streams;
  const std::uint64_t bound = routing_bound(streams, replicas.size());
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    if (replicas[i].streams + std::uint64_t{1} > bound) continue;
    if (!best || score(key, replicas[i].replica) > score(key, replicas[*best].replica)) best = i;
  }
  TESSERA_ENSURE(best.has_value());  // the bound is above the mean
  return *best;
}

}  // namespace tessera
