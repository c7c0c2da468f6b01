#include "cluster/config/launch.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/config/launch_command.hpp"
#include "cluster/config/spawn_node.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

namespace {

/// How much of a log's end is searched for a node's last words.
constexpr std::streamoff log_tail_bytes = 16384;

/// The newest line since `begin` that names an error, or else the newest line at all.
std::string last_words(const std::filesystem::path& log, std::streamoff begin) {
  std::ifstream file(log, std::ios::binary);
  file.seekg(0, std::ios::end);
  const std::streamoff end = file.tellg();
  file.seekg(std::max(begin, end - log_tail_bytes));
  std::string line, newest, newest_error;
  while (std::getline(file, line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    newest = line;
    if (line.find("error") != std::string::npos || line.find("Error") != std::string::npos) newest_error = line;
  }
  return newest_error.empty() ? newest : newest_error;
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) return std::string("signal ") + ::strsignal(WTERMSIG(status)) + " ended it";
  return "it ended with exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

/// A started node that has not announced itself.
struct Launch::Pending {
  std::string node;
  SpawnedNode spawned;
  std::string heard;       ///< of the line so far
  bool is_silent = false;  ///< it has closed the pipe without a line
};

Launch::Launch(const ClusterConfig& config, LaunchSettings settings)
    : config_(config), state_(config.state_dir), settings_(std::move(settings)) {}

Launch::~Launch() {
  for (const Pending& pending : pending_) {
    ::close(pending.spawned.ready_pipe);
    ::close(pending.spawned.process);
  }
}

Result<LaunchState> Launch::start(const std::string& name, const std::string& join_token) {
  const NodeConfig* const node = config_.find(name);
  if (!node) return Error{ErrorCode::not_found, config_.file.string() + " has no node " + name};
  if (find_running_node(state_, name)) return LaunchState::was_running;
  if (is_local_host(node->host)) {
    TESSERA_CHECK(spawn(*node, local_command(settings_.binary, config_, *node), ""));
    return LaunchState::started;
  }
  if (node->has(Role::gateway)) {
    return Error{ErrorCode::unsupported,
                 "node " + name + " is a gateway and its host " + node->host +
                     " is not this machine; run `tessera serve --cluster` there, with a copy of "
                     "what client.json in " +
                     state_.root().string() + " names"};
  }
  if (node->has(Role::coordinator)) {
    return Error{ErrorCode::invalid_argument,
                 "the coordinator's host " + node->host + " is not this machine: run `tessera up` there"};
  }
  if (join_token.empty()) {
    return Error{ErrorCode::invalid_argument, "node " + name + " on " + node->host + " needs a join token"};
  }
  TESSERA_CHECK(
      spawn(*node, remote_command(settings_.ssh, settings_.remote_binary, config_, *node), join_token + "\n"));
  return LaunchState::started;
}

Result<void> Launch::spawn(const NodeConfig& node, const std::vector<std::string>& command, const std::string& input) {
  TESSERA_TRY(const SpawnedNode spawned, spawn_node(node.name, command, state_.log(node.name), input));
  pending_.push_back({node.name, spawned, "", false});
  // One that has ended already has no identity any more; wait_ready() says why.
  const auto process = identify_process(spawned.pid);
  return process ? write_pid_file(state_, node.name, *process) : Result<void>();
}

std::optional<Result<Readiness>> Launch::hear(Pending& pending) const {
  char buffer[512];
  while (pending.heard.find('\n') == std::string::npos) {
    const ssize_t count = ::read(pending.spawned.ready_pipe, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::nullopt;  // nothing there now
    if (count == 0) {
      pending.is_silent = true;
      return std::nullopt;
    }
    pending.heard.append(buffer, static_cast<std::size_t>(count));
    if (pending.heard.size() > 2 * readiness_line_bytes_max) pending.heard += '\n';
  }
  return parse_readiness(std::string_view(pending.heard).substr(0, pending.heard.find('\n')));
}

Error Launch::cannot_start(const Pending& pending, const std::string& reason) const {
  const std::string log = state_.log(pending.node).string();
  return Error{ErrorCode::unavailable, "node " + pending.node + " cannot start: " + reason + " (log: " + log + ")"};
}

Result<bool> Launch::look_at(Pending& pending, const LaunchProgress& progress) const {
  pollfd ended{pending.spawned.process, POLLIN, 0};
  const bool has_ended = ::poll(&ended, 1, 0) > 0;  // before hearing, so that its last line is heard
  if (const auto heard = hear(pending)) {
    const std::string reason = *heard ? (*heard)->failure : heard->error().message;
    if (!reason.empty()) return cannot_start(pending, reason);
    if (progress) progress(pending.node, LaunchState::ready, "");
    return true;
  }
  if (!has_ended) return false;
  int status = 0;
  ::waitpid(pending.spawned.pid, &status, 0);
  ::unlink(state_.pid_file(pending.node).c_str());
  const std::string words = last_words(state_.log(pending.node), pending.spawned.log_begin);
  return cannot_start(pending, words.empty() ? describe_end(status) : words);
}

void Launch::forget(const std::string& node) {
  const auto found = std::ranges::find(pending_, node, &Pending::node);
  ::close(found->spawned.ready_pipe);
  ::close(found->spawned.process);
  pending_.erase(found);
}

Result<void> Launch::wait_ready(std::chrono::milliseconds timeout, const LaunchProgress& progress) {
  const SystemClock clock;
  const TimePoint deadline = clock.now() + timeout;
  for (;;) {
    for (std::size_t i = 0; i < pending_.size();) {
      const std::string node = pending_[i].node;
      const auto is_over = look_at(pending_[i], progress);
      if (is_over && !*is_over) {
        ++i;
        continue;
      }
      forget(node);
      if (is_over) continue;
      if (progress) progress(node, LaunchState::failed, is_over.error().message);
      return is_over.error();
    }
    if (pending_.empty()) return {};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now());
    if (left.count() <= 0) {
      const Pending& late = pending_.front();
      const std::string words = last_words(state_.log(late.node), late.spawned.log_begin);
      return Error{ErrorCode::timed_out, "node " + late.node + " was not ready within " +
                                             std::to_string(timeout.count()) +
                                             " ms; it goes on starting (log: " + state_.log(late.node).string() +
                                             (words.empty() ? "" : ", last: " + words) + ")"};
    }
    std::vector<pollfd> waiting;
    for (const Pending& pending : pending_) {
      waiting.push_back({pending.spawned.process, POLLIN, 0});
      if (!pending.is_silent) waiting.push_back({pending.spawned.ready_pipe, POLLIN, 0});
    }
    ::poll(waiting.data(), waiting.size(), static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
  }
}

}  // namespace tessera
