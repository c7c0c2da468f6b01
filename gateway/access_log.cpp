#include "gateway/access_log.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

#include "gateway/sse.hpp"
#include "runtime/base/log.hpp"

namespace tessera::gateway {

namespace {

constexpr const char* standard_output = "-";
/// Beside its owner, the group may read who asked what and when.
constexpr mode_t rights = 0640;

std::string time_text(std::chrono::sys_seconds moment) {
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(moment - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return text;
}

/// 0, or errno.
int write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

std::string access_line(const HttpCall& call, int status, double seconds, std::chrono::sys_seconds now) {
  const HttpRequestFacts& request = call.request();
  const CallRecord& record = call.record;
  Json json{{"time", time_text(now)},
            {"request_id", request.request_id},
            {"method", request.method},
            {"path", request.path},
            {"status", status},
            {"bytes", call.bytes()},
            {"duration_ms", seconds * 1e3}};
  if (!record.key.empty()) json["key"] = record.key;
  if (!record.end.empty()) {
    json["model"] = record.model;
    json["prompt_tokens"] = record.prompt_tokens;
    json["completion_tokens"] = record.tokens;
    json["end"] = record.end;
  }
  return to_text(json);
}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& file, std::function<bool()> reopen) {
  std::unique_ptr<AccessLog> log(new AccessLog(file, std::move(reopen)));
  TESSERA_TRY(log->descriptor_, log->open_file());
  return log;
}

AccessLog::~AccessLog() {
  worker_.stop();
  if (descriptor_ >= 0 && file_ != standard_output) ::close(descriptor_);
}

Result<int> AccessLog::open_file() const {
  if (file_ == standard_output) return STDOUT_FILENO;
  const int descriptor = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, rights);
  if (descriptor >= 0) return descriptor;
  return Error{ErrorCode::io, "cannot open the access log " + file_ + ": " + std::strerror(errno) +
                                  "; give a file in a folder that can be written with --access-log"};
}

void AccessLog::add(std::string line) {
  line += '\n';
  if (!worker_.post([this, line = std::move(line)] { write(line); })) ++dropped_;
}

void AccessLog::begin_new_file() {
  const auto opened = open_file();
  if (!opened) return log_error(opened.error().message + "; lines still go to the old file");
  if (file_ != standard_output) ::close(descriptor_);
  descriptor_ = *opened;
}

void AccessLog::write(std::string line) {
  if (reopen_ && reopen_()) begin_new_file();
  if (const std::uint64_t count = dropped_.exchange(0); count > 0) line.insert(0, to_text({{"dropped", count}}) + "\n");
  const int error = write_all(descriptor_, line);
  if (error != 0 && !fails_) log_error("cannot write the access log " + file_ + ": " + std::strerror(error));
  fails_ = error != 0;
}

}  // namespace tessera::gateway
