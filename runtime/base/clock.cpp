#include "runtime/base/clock.hpp"

namespace tessera {

TimePoint SystemClock::now() const { return std::chrono::steady_clock::now(); }

}  // namespace tessera
