#include "bench/child.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace tessera::bench {

namespace {

constexpr std::size_t shown_error_bytes = 400;

struct Pipe {
  Pipe() {
    if (::pipe(ends.data()) != 0) ends = {-1, -1};
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(std::size_t end) {
    if (ends[end] >= 0) ::close(ends[end]);
    ends[end] = -1;
  }
  std::array<int, 2> ends;  ///< to read, to write
};

Error failure(ErrorCode code, const std::vector<std::string>& command, const std::string& what) {
  std::string line;
  for (const std::string& word : command) line += (line.empty() ? "" : " ") + word;
  return Error{code, "`" + line + "`: " + what};
}

/// Appends what has come; false at its end.
bool read_some(int descriptor, std::string& text) {
  std::array<char, 4096> bytes;
  const ssize_t count = ::read(descriptor, bytes.data(), bytes.size());
  if (count > 0) text.append(bytes.data(), static_cast<std::size_t>(count));
  return count > 0 || (count < 0 && errno == EINTR);
}

/// With its output to the pipes.
Result<pid_t> spawn(const std::vector<std::string>& command, Pipe& out, Pipe& errors) {
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", 0, 0);
  ::posix_spawn_file_actions_adddup2(&files, out.ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, errors.ends[1], STDERR_FILENO);
  for (const int end : {out.ends[0], out.ends[1], errors.ends[0], errors.ends[1]})
    ::posix_spawn_file_actions_addclose(&files, end);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = 0;
  const int result = ::posix_spawnp(&pid, words[0], &files, nullptr, words.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  if (result != 0) return failure(ErrorCode::not_found, command, std::strerror(result));
  return pid;
}

}  // namespace

Result<ChildOutput> run_child(const std::vector<std::string>& command, const Clock& clock) {
  Pipe out, errors;
  if (out.ends[0] < 0 || errors.ends[0] < 0) return failure(ErrorCode::io, command, "no pipes for its output");
  const TimePoint start = clock.now();
  TESSERA_TRY(const pid_t pid, spawn(command, out, errors));
  out.close_end(1);
  errors.close_end(1);
  ChildOutput output;
  std::string complaint;
  while (out.ends[0] >= 0 || errors.ends[0] >= 0) {
    std::array<pollfd, 2> open = {pollfd{out.ends[0], POLLIN, 0}, pollfd{errors.ends[0], POLLIN, 0}};
    if (::poll(open.data(), open.size(), -1) < 0) continue;
    if (open[0].revents != 0) {
      if (output.text.empty()) output.first_byte_seconds = seconds_between(start, clock.now());
      if (!read_some(out.ends[0], output.text)) out.close_end(0);
    }
    if (open[1].revents != 0 && !read_some(errors.ends[0], complaint)) errors.close_end(0);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const std::string how = WIFEXITED(status) ? "ended with code " + std::to_string(WEXITSTATUS(status))
                                              : "was ended by signal " + std::to_string(WTERMSIG(status));
    if (complaint.size() > shown_error_bytes) complaint.erase(0, complaint.size() - shown_error_bytes);
    return failure(ErrorCode::io, command, how + ": " + complaint);
  }
  return output;
}

Result<BusyCore> BusyCore::start(std::uint32_t core) {
  Pipe out, errors;
  if (out.ends[0] < 0 || errors.ends[0] < 0) return Error{ErrorCode::io, "a busy process: no pipes for its output"};
  TESSERA_TRY(const pid_t pid, spawn({"sh", "-c", "while kill -0 $PPID; do :; done"}, out, errors));
  BusyCore busy(pid);  // and it ends by itself should this process die before
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CPU_SET(core, &mask);
  if (::sched_setaffinity(pid, sizeof mask, &mask) != 0)
    return Error{ErrorCode::io,
                 "a busy process cannot be bound to core " + std::to_string(core) + ": " + std::strerror(errno)};
  return busy;
}

BusyCore::~BusyCore() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace tessera::bench
