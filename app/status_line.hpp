// StatusLine: what a command waits for, on stderr. On a terminal one line that changes; elsewhere a line per change, so
// that a log shows every state once.
#pragma once

#include <string>

#include "runtime/base/clock.hpp"

namespace tessera::app {

/// One thread. Removes its line from a terminal when destroyed.
class StatusLine {
 public:
  /// Shows nothing before `quiet` has passed: quick work needs no word.
  explicit StatusLine(const Clock& clock, std::chrono::milliseconds quiet = std::chrono::milliseconds(500));
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  void show(const std::string& text);
  /// Removes the line, so that other output can follow.
  void clear();
  bool on_terminal() const { return terminal_; }

 private:
  const Clock& clock_;
  std::chrono::milliseconds quiet_;
  TimePoint start_;
  std::string shown_;
  bool terminal_;
  bool visible_ = false;
};

}  // namespace tessera::app
