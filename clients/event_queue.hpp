// EventQueue: what a stream hands from the RPC thread to whoever reads it. Bounded by the stream's own length: a token
// is queued once.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include <tessera/generation.hpp>

#include "runtime/base/clock.hpp"

namespace tessera::frontend {

/// Any thread.
class EventQueue {
 public:
  void push(client::GenerateEvent event);
  /// Nothing comes any more, because of `error`.
  void fail(client::Error error);
  /// Once the summary says how it ended; before the `finished` event is pushed.
  void set_summary(const client::GenerateSummary& summary);
  /// So far.
  void set_phases(const client::StreamPhases& phases);
  void set_job(std::uint64_t job);
  /// Calls `changed` whenever there is something new to pop, on whatever thread it comes, also for what came before.
  /// It must not block, nor call this queue. Once, for readers that must not wait.
  void listen(std::function<void()> changed);

  /// The next event; nothing at the end, after a failure, or when `timeout` passed.
  std::optional<client::GenerateEvent> pop(std::optional<std::chrono::milliseconds> timeout);
  /// The last event was taken, or the stream failed and everything before was taken.
  bool drained() const;
  std::optional<client::Error> error() const;
  client::GenerateSummary summary() const;
  /// Nothing before the first token.
  std::optional<client::StreamPhases> phases() const;
  std::uint64_t job() const;

 private:
  bool drained_locked() const { return finished_taken_ || (error_ && events_.empty()); }

  void tell() const;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::function<void()> listener_;
  std::deque<client::GenerateEvent> events_;
  std::optional<client::Error> error_;
  client::GenerateSummary summary_;
  std::optional<client::StreamPhases> phases_;
  std::uint64_t job_ = 0;
  bool finished_taken_ = false;
};

}  // namespace tessera::frontend
