#include "actors/log_reader.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/messages.hpp"
#include "cluster/rpc/rpc_limits.hpp"

namespace tessera {

namespace {

constexpr std::chrono::milliseconds poll_interval{100};
constexpr std::size_t followers_max = 64;

struct Follower {
  AskLog question;
  TimePoint until;
};
struct LogReaderState {
  std::vector<Follower> followers;
};

/// This life's log, and whose it is.
struct OwnLog {
  std::shared_ptr<const LogTail> tail;
  std::uint64_t life;
};

std::vector<LogLine> lines_for(const OwnLog& log, const LogQuery& query) {
  std::vector<LogLine> lines;
  // Numbers of an earlier life say nothing of this one.
  const std::uint64_t after = query.life == 0 || query.life == log.life ? query.after : 0;
  const std::size_t count = std::min<std::size_t>(query.lines, rpc_limits::log_lines_max);
  for (auto& [number, text] : log.tail->read(after, count)) lines.push_back({number, std::move(text), log.life});
  return lines;
}

caf::behavior log_reader_behavior(caf::stateful_actor<LogReaderState>* self, OwnLog log, const Clock* clock) {
  return {
      [self, log, clock](const AskLog& message) {
        auto lines = lines_for(log, message.query);
        if (!lines.empty() || message.query.wait.count() == 0 || self->state.followers.size() >= followers_max) {
          (*message.reply)(std::move(lines));
          return;
        }
        if (self->state.followers.empty()) self->delayed_send(self, poll_interval, TimePasses{});
        self->state.followers.push_back({message, clock->now() + message.query.wait});
      },
      [self, log, clock](TimePasses) {
        std::erase_if(self->state.followers, [&](const Follower& follower) {
          auto lines = lines_for(log, follower.question.query);
          if (lines.empty() && clock->now() < follower.until) return false;
          (*follower.question.reply)(std::move(lines));
          return true;
        });
        if (!self->state.followers.empty()) self->delayed_send(self, poll_interval, TimePasses{});
      },
  };
}

}  // namespace

caf::actor spawn_log_reader(caf::actor_system& system, std::shared_ptr<const LogTail> log, NodeIncarnation life,
                            const Clock& clock) {
  return system.spawn(log_reader_behavior, OwnLog{std::move(log), life.value}, &clock);
}

}  // namespace tessera
