// KeyWatch: a key may be revoked, or expire, while a stream that was let in by it still runs. Looks again and again.
#pragma once

#include <kj/async.h>
#include <kj/timer.h>

#include "gateway/api_error.hpp"
#include "gateway/services.hpp"

namespace tessera::gateway {

inline constexpr kj::Duration key_watch_interval = 1 * kj::SECONDS;

/// Whether the error says that the key is good no more; others (its file cannot be read now) may pass.
bool ends_key(const ApiError& error);
/// Fulfilled with the reason once the key by which `services` are used is good no more; never where there are none.
/// Looks on a worker. On a loop's thread; `services` outlives it.
kj::Promise<ApiError> key_ends(Services& services, kj::Timer& timer);

}  // namespace tessera::gateway
