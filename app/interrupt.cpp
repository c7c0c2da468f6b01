#include "app/interrupt.hpp"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "app/commands.hpp"

namespace tessera::app {

namespace {

std::atomic<bool> stop_requested{false}, end_requested{false}, hangup_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free);

// Every signal leaves a byte here. A signal that comes just before a read() would not end it, and one that another
// thread takes neither; a poll() of this pipe notices both.
int wake_pipe[2] = {-1, -1};

void on_signal(int signal) {
  if (signal == SIGTERM) end_requested.store(true);
  if (stop_requested.exchange(true)) ::_exit(exit_interrupted);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(wake_pipe[1], "", 1);
  errno = error;
}

}  // namespace

void install_interrupt_handlers() {
  // Without a pipe, poll() ignores its negative number, and a signal ends the wait only where this thread takes it.
  if (::pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) wake_pipe[0] = wake_pipe[1] = -1;
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

bool wait_for_input(int descriptor) {
  pollfd watched[] = {{descriptor, POLLIN, 0}, {wake_pipe[0], POLLIN, 0}};
  while (!interrupted()) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) return true;  // whoever reads meets the cause
    // Bytes of signals that were taken long ago too; a new one set its flag before it wrote.
    char bytes[16];
    while (::read(wake_pipe[0], bytes, sizeof bytes) > 0) {
    }
    if (!interrupted() && watched[0].revents != 0) return true;
  }
  return false;
}

void install_hangup_handler() {
  struct sigaction action {};
  action.sa_handler = [](int) { hangup_requested.store(true); };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGHUP, &action, nullptr);
}

bool take_hangup() { return hangup_requested.exchange(false); }

bool terminated() { return end_requested.load(std::memory_order_relaxed); }

}  // namespace tessera::app
