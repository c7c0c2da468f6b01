#include "gateway/access_log.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "gateway/sse.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/utc_text.hpp"
#include "runtime/base/write_all.hpp"

namespace tessera::gateway {

namespace {

constexpr const char* standard_output = "-";
/// Beside its owner, the group may read who asked what and when.
constexpr mode_t rights = 0640;

}  // namespace

std::string access_line(const HttpCall& call, int status, double seconds, std::chrono::sys_seconds now) {
  const HttpRequestFacts& request = call.request();
  const CallRecord& record = call.record;
  Json json{{"time", utc_text(now)},
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
