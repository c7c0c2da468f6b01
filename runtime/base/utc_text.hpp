// utc_text(): a moment for people and logs.
#pragma once

#include <chrono>
#include <string>

namespace tessera {

/// "2026-11-27T14:00:05Z"; `between` stands between date and time, `end` behind both.
std::string utc_text(std::chrono::sys_seconds moment, const char* between = "T", const char* end = "Z");

}  // namespace tessera
