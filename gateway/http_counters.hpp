// HttpCounters: what the event loops of a gateway count together.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tessera::gateway {

/// Any thread.
struct HttpCounters {
  std::atomic<std::size_t> connections{0};  ///< open
  /// Turned away because there were too many, or closed to make room, since the start.
  std::atomic<std::uint64_t> turned_away{0};
};

}  // namespace tessera::gateway
