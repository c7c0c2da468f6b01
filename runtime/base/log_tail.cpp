#include "runtime/base/log_tail.hpp"

#include <algorithm>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

namespace tessera {

namespace {

class TailSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit TailSink(std::shared_ptr<LogTail> tail) : tail_(std::move(tail)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    std::string line(text.data(), text.size());
    while (!line.empty() && line.back() == '\n') line.pop_back();
    tail_->add(std::move(line));
  }
  void flush_() override {}

 private:
  std::shared_ptr<LogTail> tail_;
};

}  // namespace

void LogTail::add(std::string line) {
  const std::lock_guard lock(mutex_);
  ++last_;
  lines_.push_back(std::move(line));
  if (lines_.size() > lines_max) lines_.pop_front();
}

std::vector<LogTail::Numbered> LogTail::read(std::uint64_t after, std::size_t count) const {
  const std::lock_guard lock(mutex_);
  const std::uint64_t first = last_ - lines_.size() + 1;
  const std::size_t newer = static_cast<std::size_t>(last_ - std::min(last_, std::max(after, first - 1)));
  std::vector<Numbered> result;
  for (std::size_t i = lines_.size() - std::min(count, newer); i < lines_.size(); ++i)
    result.emplace_back(first + i, lines_[i]);
  return result;
}

std::shared_ptr<const LogTail> keep_log_tail() {
  auto tail = std::make_shared<LogTail>();
  auto sink = std::make_shared<TailSink>(tail);
  sink->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
  spdlog::default_logger()->sinks().push_back(std::move(sink));
  return tail;
}

}  // namespace tessera
