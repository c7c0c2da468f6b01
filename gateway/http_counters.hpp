// HttpCounters: what the event loops of a gateway count together.
#pragma once

#include <atomic>
#include <cstddef>

namespace tessera::gateway {

/// Any thread.
struct HttpCounters {
  std::atomic<std::size_t> connections{0};  ///< open
};

}  // namespace tessera::gateway
