#include "cluster/config/spawn_node.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/config/pidfd.hpp"
#include "cluster/config/readiness.hpp"

namespace tessera {

namespace {

/// Number of the readiness pipe in a node that runs on this machine.
constexpr int ready_descriptor = 3;

Error system_error(const std::string& action, int error) {
  return Error{ErrorCode::io, "cannot " + action + ": " + std::strerror(error)};
}

/// Closes at the end of a scope.
struct Descriptor {
  int number = -1;
  explicit Descriptor(int open) : number(open) {}
  Descriptor(Descriptor&& other) noexcept : number(other.number) { other.number = -1; }
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

/// The files that a node starts with, as the launcher holds them.
struct SpawnFiles {
  Descriptor log, input, ready_read, ready_write;
  std::streamoff log_begin = 0;

  static Result<SpawnFiles> open(const std::string& action, const std::filesystem::path& log, const std::string& text);
};

/// stdin: nothing, or a pipe with the text. Opened for both directions, it is held open by whoever reads it: the node
/// behind an ssh sees its end when that ssh ends, and not when the launcher does.
Result<Descriptor> open_input(const std::string& action, const std::string& text) {
  if (text.empty()) return Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error(action, errno);
  const Descriptor read(ends[0]), write(ends[1]);
  Descriptor both(::open(("/proc/self/fd/" + std::to_string(read.number)).c_str(), O_RDWR | O_CLOEXEC));
  const bool written = ::write(write.number, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (both.number < 0 || !written) return system_error(action, errno);
  return both;
}

Result<SpawnFiles> SpawnFiles::open(const std::string& action, const std::filesystem::path& log,
                                    const std::string& text) {
  TESSERA_TRY(Descriptor input, open_input(action, text));
  Descriptor log_file(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  struct stat facts {};
  if (input.number < 0 || log_file.number < 0 || ::fstat(log_file.number, &facts) != 0) {
    return system_error(action + " with the log " + log.string(), errno);
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error(action, errno);
  Descriptor read(ends[0]), write(ends[1]);
  // Only this end: the node's end blocks, as it expects.
  if (::fcntl(read.number, F_SETFL, O_NONBLOCK) != 0) return system_error(action, errno);
  return SpawnFiles{std::move(log_file), std::move(input), std::move(read), std::move(write), facts.st_size};
}

/// This process's, with the number of the readiness pipe.
std::vector<std::string> environment_of_node() {
  const std::string ready = std::string(ready_fd_variable) + "=";
  std::vector<std::string> variables;
  for (char** at = environ; *at; ++at) {
    const std::string_view variable = *at;
    if (!variable.starts_with(ready) && !variable.starts_with("NOTIFY_SOCKET=")) variables.emplace_back(variable);
  }
  variables.push_back(ready + std::to_string(ready_descriptor));
  return variables;
}

/// As exec wants them; the texts must live on.
std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// What posix_spawn is told, freed at the end of a scope.
class SpawnPlan {
 public:
  SpawnPlan(const SpawnFiles& files, bool is_remote) {
    ::posix_spawn_file_actions_init(&files_);
    ::posix_spawnattr_init(&attributes_);
    set_files(files, is_remote);
    set_signals();
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&files_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  /// 0, or errno.
  int run(const std::vector<std::string>& command, pid_t& pid) const {
    const std::vector<std::string> environment = environment_of_node();
    return ::posix_spawnp(&pid, command.front().c_str(), &files_, &attributes_, pointers_to(command).data(),
                          pointers_to(environment).data());
  }

 private:
  void set_files(const SpawnFiles& files, bool is_remote) {
    ::posix_spawn_file_actions_adddup2(&files_, files.input.number, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&files_, is_remote ? files.ready_write.number : files.log.number, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files_, files.log.number, STDERR_FILENO);
    if (!is_remote) ::posix_spawn_file_actions_adddup2(&files_, files.ready_write.number, ready_descriptor);
    ::posix_spawn_file_actions_addclosefrom_np(&files_, is_remote ? ready_descriptor : ready_descriptor + 1);
  }

  void set_signals() {
    // Whatever the launcher does with signals is not for the node.
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }

  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

}  // namespace

Result<SpawnedNode> spawn_node(const std::string& node, const std::vector<std::string>& command,
                               const std::filesystem::path& log, const std::string& input) {
  const std::string action = "start node " + node;
  TESSERA_TRY(const SpawnFiles files, SpawnFiles::open(action, log, input));
  SpawnedNode spawned;
  spawned.log_begin = files.log_begin;
  const int failed = SpawnPlan(files, !input.empty()).run(command, spawned.pid);
  if (failed != 0) return system_error(action + " by running " + command.front(), failed);
  spawned.process = ::pidfd_open(spawned.pid, 0);
  spawned.ready_pipe = ::fcntl(files.ready_read.number, F_DUPFD_CLOEXEC, 0);
  if (spawned.process < 0 || spawned.ready_pipe < 0) return system_error("watch node " + node, errno);
  return spawned;
}

}  // namespace tessera
