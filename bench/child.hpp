// Other programs: those that a benchmark measures, run to their end, and one that disturbs.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <utility>
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

/// A foreign process that keeps one core busy for as long as this lives.
class BusyCore {
 public:
  static Result<BusyCore> start(std::uint32_t core);
  BusyCore(BusyCore&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  BusyCore& operator=(BusyCore&&) = delete;
  ~BusyCore();

 private:
  explicit BusyCore(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

}  // namespace tessera::bench
