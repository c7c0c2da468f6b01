// AccessLog: a line of JSON for each request that was answered, or whose client went:
//
//   {"time":"2026-11-27T14:45:10Z","request_id":"req_…","method":"POST","path":"/v1/completions","status":200,
//    "bytes":412,"duration_ms":81.2,"key":"ci","model":"story","prompt_tokens":4,"completion_tokens":20,"end":"stop"}
//
// The last four are there for generations, `key` for requests that showed a good one. Never a secret, a query, or
// anything of a body.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "gateway/http_call.hpp"
#include "runtime/base/blocking_worker.hpp"
#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// Lines that wait for the disk; more are dropped, and the next line that is written says how many.
inline constexpr std::size_t access_lines_max = 8192;

/// Without a line feed. `seconds`: from the request's head to the end of its answer.
std::string access_line(const HttpCall& call, int status, double seconds, std::chrono::sys_seconds now);

/// Any thread; a thread of its own writes. Destroying it writes what waits.
class AccessLog {
 public:
  /// Appends to `file`; "-" is standard output. `reopen` is asked before each line: true once whenever the file was
  /// moved away and a new one is to be begun. Errors: io.
  static Result<std::unique_ptr<AccessLog>> open(const std::string& file, std::function<bool()> reopen);
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  void add(std::string line);

 private:
  AccessLog(std::string file, std::function<bool()> reopen) : file_(std::move(file)), reopen_(std::move(reopen)) {}
  Result<int> open_file() const;
  // On the thread that writes:
  void write(std::string line);
  void begin_new_file();

  const std::string file_;
  const std::function<bool()> reopen_;
  int descriptor_ = -1;
  bool fails_ = false;  ///< told once, until it works again
  std::atomic<std::uint64_t> dropped_{0};
  BlockingWorker worker_{1, access_lines_max};  // last: it uses the others
};

}  // namespace tessera::gateway
