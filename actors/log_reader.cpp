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

std::vector<LogLine> lines_for(const LogTail& log, const LogQuery& query) {
  std::vector<LogLine> lines;
  const std::size_t count = std::min<std::size_t>(query.lines, rpc_limits::log_lines_max);
  for (auto& [number, text] : log.read(query.after, count)) lines.push_back({number, std::move(text)});
  return lines;
}

caf::behavior log_reader_behavior(caf::stateful_actor<LogReaderState>* self, std::shared_ptr<const LogTail> log,
                                  const Clock* clock) {
  return {
      [self, log, clock](const AskLog& message) {
        auto lines = lines_for(*log, message.query);
        if (!lines.empty() || message.query.wait.count() == 0 || self->state.followers.size() >= followers_max) {
          (*message.reply)(std::move(lines));
          return;
        }
        if (self->state.followers.empty()) self->delayed_send(self, poll_interval, TimePasses{});
        self->state.followers.push_back({message, clock->now() + message.query.wait});
      },
      [self, log, clock](TimePasses) {
        std::erase_if(self->state.followers, [&](const Follower& follower) {
          auto lines = lines_for(*log, follower.question.query);
          if (lines.empty() && clock->now() < follower.until) return false;
          (*follower.question.reply)(std::move(lines));
          return true;
        });
        if (!self->state.followers.empty()) self->delayed_send(self, poll_interval, TimePasses{});
      },
  };
}

}  // namespace

caf::actor spawn_log_reader(caf::actor_system& system, std::shared_ptr<const LogTail> log, const Clock& clock) {
  return system.spawn(log_reader_behavior, std::move(log), &clock);
}

}  // namespace tessera
