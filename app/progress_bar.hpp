// ProgressBar: one line on stderr for anything that takes longer than a second; silent when stderr is no terminal or
// the work is quick.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/clock.hpp"

namespace tessera::app {

/// One thread. Removes its line when destroyed.
class ProgressBar {
 public:
  ProgressBar(std::string label, const Clock& clock);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  /// At most ten lines a second are drawn. Units are bytes.
  void update(std::uint64_t done, std::uint64_t total);
  /// Removes the line, so that other output can follow.
  void clear();

 private:
  std::string label_;
  const Clock& clock_;
  TimePoint start_;
  TimePoint drawn_;
  bool terminal_;
  bool visible_ = false;
};

}  // namespace tessera::app
