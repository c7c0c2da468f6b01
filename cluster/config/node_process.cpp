#include "cluster/config/node_process.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/auth/private_file.hpp"
#include "cluster/config/pidfd.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

namespace {

constexpr std::string_view pid_suffix = ".pid";

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  return code == std::errc{} && end == text.data() + text.size();
}

/// "PID STARTED BOOT"
std::optional<ProcessId> parse_pid_file(std::string text) {
  text = trimmed(std::move(text));
  const std::size_t first = text.find(' '), second = text.find(' ', first + 1);
  if (first == std::string::npos || second == std::string::npos) return std::nullopt;
  ProcessId process;
  const std::string_view view = text;
  const bool valid = parse_number(view.substr(0, first), process.pid) &&
                     parse_number(view.substr(first + 1, second - first - 1), process.started) && process.pid > 0;
  process.boot = view.substr(second + 1);
  return valid ? std::optional(process) : std::nullopt;
}

/// A process that can be signalled and waited for without meaning another one by mistake.
class Handle {
 public:
  /// Empty when the process has ended, also where its number is another's by now.
  static Handle open(const ProcessId& process) {
    Handle handle(::pidfd_open(process.pid, 0));
    // Looked at after opening: as long as the handle is open, it means the process that was looked at.
    const auto now = identify_process(process.pid);
    if (!now || *now != process) handle.close();
    return handle;
  }
  Handle(Handle&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  Handle& operator=(Handle&&) = delete;
  ~Handle() { close(); }

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  /// 0, or errno.
  int signal(int number) const { return ::pidfd_send_signal(descriptor_, number, nullptr, 0) == 0 ? 0 : errno; }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

 private:
  explicit Handle(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

struct Stopping {
  RunningNode node;
  Handle handle;
  bool killed = false;
};

/// Waits until all have ended, or the time is over; closes the handles of those that have.
void wait_for_end(std::vector<Stopping>& processes, std::optional<std::chrono::milliseconds> patience) {
  const SystemClock clock;
  const TimePoint deadline = clock.now() + patience.value_or(std::chrono::milliseconds(0));
  for (;;) {
    std::vector<pollfd> waiting;
    for (const Stopping& process : processes) {
      if (process.handle.is_open()) waiting.push_back({process.handle.descriptor(), POLLIN, 0});
    }
    if (waiting.empty()) return;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now());
    const int timeout = patience ? static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000)) : -1;
    ::poll(waiting.data(), waiting.size(), timeout);
    for (Stopping& process : processes) {
      pollfd ended{process.handle.descriptor(), POLLIN, 0};
      if (!process.handle.is_open() || ::poll(&ended, 1, 0) <= 0) continue;
      ::waitpid(process.node.process.pid, nullptr, WNOHANG);  // where it is this process's child
      process.handle.close();
    }
    if (patience && clock.now() >= deadline) return;
  }
}

Result<void> send_signal(std::vector<Stopping>& processes, int signal) {
  for (Stopping& process : processes) {
    if (!process.handle.is_open()) continue;
    const int error = process.handle.signal(signal);
    if (error != 0 && error != ESRCH) {
      return Error{error == EPERM ? ErrorCode::denied : ErrorCode::io,
                   "cannot end node " + process.node.name + ", process " + std::to_string(process.node.process.pid) +
                       ": " + std::strerror(error)};
    }
  }
  return {};
}

}  // namespace

Result<ProcessId> identify_process(pid_t pid) {
  const Error ended{ErrorCode::not_found, "process " + std::to_string(pid) + " has ended"};
  const auto status = read_text_file("/proc/" + std::to_string(pid) + "/stat");
  const auto boot = read_text_file("/proc/sys/kernel/random/boot_id");
  if (!status || !boot) return ended;
  // The name in parentheses may hold anything, so count from its end: state is the first field, starttime the 20th.
  std::size_t at = status->rfind(')');
  if (at == std::string::npos || at + 2 >= status->size()) return ended;
  std::string_view fields = std::string_view(*status).substr(at + 2);
  if (fields.front() == 'Z' || fields.front() == 'X') return ended;
  for (int skipped = 0; skipped < 19; ++skipped) {
    const std::size_t blank = fields.find(' ');
    if (blank == std::string_view::npos) return ended;
    fields.remove_prefix(blank + 1);
  }
  ProcessId process{pid, 0, trimmed(*boot)};
  if (!parse_number(fields.substr(0, fields.find(' ')), process.started)) return ended;
  return process;
}

Result<void> write_pid_file(const StateFolder& state, const std::string& node, const ProcessId& process) {
  const std::string text =
      std::to_string(process.pid) + " " + std::to_string(process.started) + " " + process.boot + "\n";
  return write_file_atomically(state.pid_file(node), text, FileAccess::owner, FileDurability::process_end);
}

std::optional<RunningNode> find_running_node(const StateFolder& state, const std::string& node) {
  const auto text = read_text_file(state.pid_file(node));
  const auto process = text ? parse_pid_file(*text) : std::nullopt;
  if (!process) return std::nullopt;
  const auto now = identify_process(process->pid);
  return now && *now == *process ? std::optional(RunningNode{node, *process}) : std::nullopt;
}

Result<std::vector<RunningNode>> list_running_nodes(const StateFolder& state) {
  std::vector<RunningNode> nodes;
  std::error_code failed;
  std::filesystem::directory_iterator entries(state.run(), failed);
  if (failed == std::errc::no_such_file_or_directory) return nodes;
  for (; !failed && entries != std::filesystem::directory_iterator(); entries.increment(failed)) {
    const std::string file = entries->path().filename().string();
    if (!file.ends_with(pid_suffix)) continue;
    if (auto node = find_running_node(state, file.substr(0, file.size() - pid_suffix.size()))) nodes.push_back(*node);
  }
  if (failed) return Error{ErrorCode::io, "cannot read folder " + state.run().string() + ": " + failed.message()};
  std::ranges::sort(nodes, {}, &RunningNode::name);
  return nodes;
}

Result<std::vector<StoppedNode>> stop_nodes(const StateFolder& state, const std::vector<RunningNode>& nodes,
                                            std::chrono::milliseconds patience) {
  std::vector<Stopping> processes;
  for (const RunningNode& node : nodes) processes.push_back({node, Handle::open(node.process)});
  TESSERA_CHECK(send_signal(processes, SIGTERM));
  wait_for_end(processes, patience);
  for (Stopping& process : processes) process.killed = process.handle.is_open();
  TESSERA_CHECK(send_signal(processes, SIGKILL));
  wait_for_end(processes, std::nullopt);

  std::vector<StoppedNode> stopped;
  for (const Stopping& process : processes) {
    ::unlink(state.pid_file(process.node.name).c_str());
    stopped.push_back({process.node.name, process.node.process.pid, process.killed});
  }
  return stopped;
}

}  // namespace tessera
