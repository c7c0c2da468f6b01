// LogTail: the last lines of this process's log, so that an operator can read them from another machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// Any thread (mutex_). Lines are numbered from 1; the oldest go first when lines_max are kept.
class LogTail {
 public:
  static constexpr std::size_t lines_max = 4096;

  void add(std::string line);
  using Numbered = std::pair<std::uint64_t, std::string>;
  /// Lines numbered above `after`, oldest first, the newest `count` of them; with `after` 0 the last `count`.
  std::vector<Numbered> read(std::uint64_t after, std::size_t count) const;

 private:
  mutable std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::deque<std::string> lines_;
};

/// From now on the process's log also goes to the tail. Called once by main, after configure_log().
std::shared_ptr<const LogTail> keep_log_tail();

}  // namespace tessera
