#include "app/interrupt.hpp"

#include <atomic>
#include <signal.h>
#include <unistd.h>

#include "app/commands.hpp"

namespace tessera::app {

namespace {

std::atomic<bool> stop_requested{false}, end_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int signal) {
  if (signal == SIGTERM) end_requested.store(true);
  if (stop_requested.exchange(true)) ::_exit(exit_interrupted);
}

}  // namespace

void install_interrupt_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, nullptr);
}

bool interrupted() { return stop_requested.load(std::memory_order_relaxed); }

bool take_interruption() { return stop_requested.exchange(false); }

bool terminated() { return end_requested.load(std::memory_order_relaxed); }

}  // namespace tessera::app
