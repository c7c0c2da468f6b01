#include "gateway/key_watch.hpp"

namespace tessera::gateway {

bool ends_key(const ApiError& error) { return error.status == 401; }

kj::Promise<ApiError> key_ends(Services& services, kj::Timer& timer) {
  if (!services.check_key) return kj::NEVER_DONE;
  return timer.afterDelay(key_watch_interval)
      .then([&services] {
        return services.pool.run<bool>([&services]() -> Outcome<bool> {
          if (auto error = services.check_key()) return *std::move(error);
          return true;
        });
      })
      .then([&services, &timer](Outcome<bool> is_good) -> kj::Promise<ApiError> {
        if (!is_good && ends_key(is_good.error())) return ApiError(is_good.error());
        return key_ends(services, timer);
      });
}

}  // namespace tessera::gateway
