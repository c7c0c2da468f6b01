// Other programs that a benchmark measures: run to their end, one at a time.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"

namespace tessera::bench {

struct ChildOutput {
  std::string text;             ///< stdout
  double first_byte_seconds{};  ///< from the start of the process to its first output
};

/// Runs `command` (its first word by PATH) without input and waits for its end. `not_found` when it cannot be started,
/// `io` when it ends with another code than 0; the message has the end of its stderr.
Result<ChildOutput> run_child(const std::vector<std::string>& command, const Clock& clock);

}  // namespace tessera::bench
