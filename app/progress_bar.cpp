#include "app/progress_bar.hpp"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace tessera::app {

ProgressBar::ProgressBar(std::string label, const Clock& clock)
    : label_(std::move(label)),
      clock_(clock),
      start_(clock.now()),
      drawn_(start_),
      terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::clear() {
  if (visible_) std::fputs("\r\033[K", stderr);
  visible_ = false;
}

void ProgressBar::update(std::uint64_t done, std::uint64_t total) {
  const TimePoint now = clock_.now();
  if (!terminal_ || seconds_between(start_, now) < 0.5 || seconds_between(drawn_, now) < 0.1) return;
  drawn_ = now;
  visible_ = true;
  constexpr int width = 30;
  const double share = total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const double elapsed = seconds_between(start_, now);
  const double left = share > 0 ? elapsed / share - elapsed : 0;
  char bar[width + 1];
  for (int i = 0; i < width; ++i) bar[i] = i < static_cast<int>(share * width) ? '#' : '.';
  bar[width] = 0;
  std::fprintf(stderr, "\r%s [%s] %3.0f %%  %.0f of %.0f MB, %.0f s left \033[K", label_.c_str(), bar, share * 100,
               static_cast<double>(done) / 1e6, static_cast<double>(total) / 1e6, left);
  std::fflush(stderr);
}

}  // namespace tessera::app
