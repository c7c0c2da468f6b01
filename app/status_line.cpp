#include "app/status_line.hpp"

#include <cstdio>
#include <unistd.h>

namespace tessera::app {

StatusLine::StatusLine(const Clock& clock, std::chrono::milliseconds quiet)
    : clock_(clock), quiet_(quiet), start_(clock.now()), terminal_(::isatty(STDERR_FILENO) == 1) {}

StatusLine::~StatusLine() { clear(); }

void StatusLine::clear() {
  if (visible_) std::fputs("\r\033[K", stderr);
  visible_ = false;
}

void StatusLine::show(const std::string& text) {
  if (clock_.now() - start_ < quiet_ || (text == shown_ && (visible_ || !terminal_))) return;
  shown_ = text;
  if (terminal_) {
    std::fprintf(stderr, "\r%s\033[K", text.c_str());
    visible_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
}

}  // namespace tessera::app
