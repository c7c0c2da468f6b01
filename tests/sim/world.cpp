#include "tests/sim/world.hpp"

#include <algorithm>
#include <cstdio>

namespace tessera::sim {

void World::after(Duration delay, Action event) { queue_.push({now_ + delay, ++order_, std::move(event)}); }

void World::timer(Process& process, Duration delay, Action event) {
  after(delay, [this, process = process.weak_from_this(), event = std::move(event)]() mutable {
    if (const ProcessPtr living = process.lock()) post(living, std::move(event));
  });
}

void World::post(const ProcessPtr& process, Action event) {
  if (!process->alive) return;
  if (process->frozen) {
    process->inbox.push_back(std::move(event));
  } else {
    event();
  }
}

bool World::run(TimePoint end, const std::function<bool()>& done) {
  while (violation_.empty() && !done()) {
    if (queue_.empty() || queue_.top().when > end) return false;
    now_ = queue_.top().when;
    // Moved, as it is popped at once: what a frame carries is large.
    const Action event = std::move(const_cast<Scheduled&>(queue_.top()).event);
    queue_.pop();
    event();
  }
  return true;
}

void World::kill(Process& process) {
  process.alive = false;
  process.inbox.clear();
  for (auto& [id, connection] : connections_) {
    for (int side = 0; side < 2; ++side) {
      if (connection.process[side].lock().get() != &process || !connection.open[side]) continue;
      connection.open[side] = false;
      tell_closed({id, side});
    }
  }
}

void World::thaw(Process& process) {
  if (!process.frozen) return;
  process.frozen = false;
  // What it does now can freeze or kill it again.
  std::deque<Action> inbox = std::exchange(process.inbox, {});
  const ProcessPtr living = process.shared_from_this();
  for (Action& event : inbox) post(living, std::move(event));
}

void World::cut(const std::string& from, const std::string& to, TimePoint until) { cuts_[{from, to}] = until; }
void World::slow_down(const std::string& from, const std::string& to, Duration delay) { slow_[{from, to}] = delay; }
void World::narrow(const std::string& from, const std::string& to, std::uint64_t bytes_per_second) {
  narrow_[{from, to}] = {bytes_per_second};
}
void World::heal() {
  cuts_.clear();
  slow_.clear();
  narrow_.clear();
  packets_lost = 0;
}

TimePoint World::arrival(const std::string& from, const std::string& to, std::size_t bytes) {
  if (from == to) return now_ + random_.between(5us, 50us);
  const auto cut = cuts_.find({from, to});
  TimePoint leaves = cut == cuts_.end() ? now_ : std::max(now_, cut->second);
  if (const auto narrow = narrow_.find({from, to}); narrow != narrow_.end()) {
    TimePoint& free_at = narrow->second.free_at;
    free_at = leaves = std::max(leaves, free_at) + Duration(1'000'000'000 * bytes / narrow->second.bytes_per_second);
  }
  // The first timeout of a retransmission; it doubles.
  for (Duration timeout = 200ms; random_.chance(packets_lost) && timeout < 4s; timeout *= 2) leaves += timeout;
  const auto slow = slow_.find({from, to});
  return leaves + random_.between(50us, 500us) + (slow == slow_.end() ? 0ns : random_.between(0ns, slow->second));
}

std::uint64_t World::connect(Process& a, Process& b, Action a_closed, Action b_closed) {
  const std::uint64_t id = next_connection_++;
  Connection& connection = connections_[id];
  connection.process[0] = a.weak_from_this();
  connection.process[1] = b.weak_from_this();
  connection.closed[0] = std::move(a_closed);
  connection.closed[1] = std::move(b_closed);
  return id;
}

bool World::is_open(ConnectionEnd end) const {
  const auto it = connections_.find(end.connection);
  return it != connections_.end() && it->second.open[end.side];
}

void World::send(ConnectionEnd from, Action event, std::size_t bytes) {
  if (!is_open(from)) return;
  Connection& connection = connections_.at(from.connection);
  const int other = 1 - from.side;
  const ProcessPtr sender = connection.process[from.side].lock(), receiver = connection.process[other].lock();
  if (!sender || !receiver) return;
  const TimePoint when = std::max(connection.last[from.side], arrival(sender->host, receiver->host, bytes));
  connection.last[from.side] = when;
  after(when - now_, [this, receiver, end = ConnectionEnd{from.connection, other}, event = std::move(event)]() mutable {
    if (!receiver->alive) return;
    if (!receiver->frozen) {
      if (is_open(end)) event();
      return;
    }
    post(receiver, [this, end, event = std::move(event)] {
      if (is_open(end)) event();
    });
  });
}

void World::close(ConnectionEnd end) {
  if (!is_open(end)) return;
  connections_.at(end.connection).open[end.side] = false;
  tell_closed(end);
}

void World::tell_closed(ConnectionEnd closer) {
  Connection& connection = connections_.at(closer.connection);
  const ConnectionEnd end{closer.connection, 1 - closer.side};
  const ProcessPtr sender = connection.process[closer.side].lock(), receiver = connection.process[end.side].lock();
  if (!sender || !receiver || !connection.open[end.side]) return;
  const TimePoint when = std::max(connection.last[closer.side], arrival(sender->host, receiver->host));
  after(when - now_, [this, receiver, end] {
    post(receiver, [this, end] {
      Connection& ended = connections_.at(end.connection);
      if (!std::exchange(ended.open[end.side], false)) return;
      ended.closed[end.side]();
    });
  });
}

void World::break_some_connection() {
  std::vector<std::uint64_t> open;
  for (const auto& [id, connection] : connections_)
    if (connection.open[0] && connection.open[1]) open.push_back(id);
  if (open.empty()) return;
  break_connection(open[random_.between(std::uint64_t{0}, open.size() - 1)]);
}

void World::break_connections_of(const Process& process) {
  for (const auto& [id, connection] : connections_) {
    if (!connection.open[0] || !connection.open[1]) continue;
    if (connection.process[0].lock().get() == &process || connection.process[1].lock().get() == &process)
      break_connection(id);
  }
}

void World::break_connection(std::uint64_t id) {
  trace("connection " + std::to_string(id) + " breaks");
  for (int side = 0; side < 2; ++side) {
    const ProcessPtr process = connections_.at(id).process[side].lock();
    if (!process) continue;
    after(random_.between(0ns, Duration(100ms)), [this, process, end = ConnectionEnd{id, side}] {
      post(process, [this, end] {
        Connection& ended = connections_.at(end.connection);
        if (std::exchange(ended.open[end.side], false)) ended.closed[end.side]();
      });
    });
  }
}

void World::frame(const std::string& from, const std::string& to, const std::function<ProcessPtr()>& find,
                  std::function<void(Process&)> event, std::size_t bytes) {
  if (from != to && random_.chance(frames.lost)) {
    trace("a frame from " + from + " to " + to + " is lost");
    return;
  }
  const int copies = from != to && random_.chance(frames.doubled) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    TimePoint when = std::max(last_frame_[{from, to}], arrival(from, to, bytes));
    // A frame that is late does not hold up those behind it.
    if (from != to && (copy > 0 || random_.chance(frames.late))) {
      when += random_.between(1ms, Duration(1500ms));
    } else {
      last_frame_[{from, to}] = when;
    }
    arrive(when, find, event);
  }
}

void World::arrive(TimePoint when, const std::function<ProcessPtr()>& find,
                   const std::function<void(Process&)>& event) {
  after(when - now_, [this, find, event]() mutable {
    const ProcessPtr receiver = find();
    if (!receiver || !receiver->alive) return;
    if (!receiver->frozen) return event(*receiver);
    post(receiver, [raw = receiver.get(), event = std::move(event)] { event(*raw); });
  });
}

void World::sure_frame(const std::string& from, const std::string& to, const std::function<ProcessPtr()>& find,
                       std::function<void(Process&)> event) {
  TimePoint& last = last_frame_[{from, to}];
  last = std::max(last, arrival(from, to));
  arrive(last, find, event);
}

void World::trace(const std::string& text) const {
  if (!trace_) return;
  const double ms = std::chrono::duration<double, std::milli>(now_.time_since_epoch()).count();
  std::printf("%10.3f ms  %s\n", ms, text.c_str());
}

void World::violated(const std::string& text) {
  trace("VIOLATED: " + text);
  if (violation_.empty()) violation_ = text;
}

}  // namespace tessera::sim
