#include "clients/event_queue.hpp"

#include <utility>

namespace tessera::frontend {

void EventQueue::push(client::GenerateEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  tell();
}

void EventQueue::fail(client::Error error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  tell();
}

void EventQueue::listen(std::function<void()> changed) {
  const std::lock_guard lock(mutex_);
  listener_ = std::move(changed);
  if (!events_.empty() || error_) tell();
}

void EventQueue::tell() const {
  changed_.notify_all();
  if (listener_) listener_();
}

void EventQueue::set_summary(const client::GenerateSummary& summary) {
  const std::lock_guard lock(mutex_);
  summary_ = summary;
}

void EventQueue::set_phases(const client::StreamPhases& phases) {
  const std::lock_guard lock(mutex_);
  phases_ = phases;
}

void EventQueue::set_job(std::uint64_t job) {
  const std::lock_guard lock(mutex_);
  job_ = job;
}

std::optional<client::GenerateEvent> EventQueue::pop(std::optional<std::chrono::milliseconds> timeout) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return !events_.empty() || error_ || finished_taken_; };
  if (timeout) {
    changed_.wait_for(lock, *timeout, ready);
  } else {
    changed_.wait(lock, ready);
  }
  if (events_.empty()) return {};
  client::GenerateEvent event = std::move(events_.front());
  events_.pop_front();
  if (event.kind == client::GenerateEvent::Kind::finished) finished_taken_ = true;
  return event;
}

bool EventQueue::drained() const {
  const std::lock_guard lock(mutex_);
  return drained_locked();
}

std::optional<client::Error> EventQueue::error() const {
  const std::lock_guard lock(mutex_);
  return drained_locked() ? error_ : std::nullopt;
}

client::GenerateSummary EventQueue::summary() const {
  const std::lock_guard lock(mutex_);
  return summary_;
}

std::optional<client::StreamPhases> EventQueue::phases() const {
  const std::lock_guard lock(mutex_);
  return phases_;
}

std::uint64_t EventQueue::job() const {
  const std::lock_guard lock(mutex_);
  return job_;
}

}  // namespace tessera::frontend
