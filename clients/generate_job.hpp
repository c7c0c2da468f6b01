// GenerateJob: a stream's entry in the coordinator's list of jobs. It is attached for as long as the stream lives (a
// job whose client stays away is cancelled), hears when somebody cancels it, and reports how the stream ended. The
// stream itself depends on none of it: with no coordinator it goes on unlisted.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "clients/coordinator_link.hpp"
#include "cluster/control/deployment.hpp"

namespace tessera::frontend {

/// How long the end of a stream is tried to be told.
inline constexpr std::chrono::milliseconds job_report_deadline{10'000};
/// One call that waits for changes; repeated as long as the stream lives.
inline constexpr std::chrono::milliseconds job_watch_deadline{60'000};

/// RPC thread only.
class GenerateJob : public std::enable_shared_from_this<GenerateJob> {
 public:
  struct Events {
    std::function<void(JobId)> registered;
    std::function<void()> cancelled;  ///< by somebody else
    std::function<void()> closed;     ///< after finish(): reported, or given up
  };

  GenerateJob(CoordinatorLink& link, Events events) : link_(link), events_(std::move(events)) {}

  /// The job is registered already.
  void adopt(const JobRecord& job);
  /// Registers it, in the background.
  void submit(JobSpec spec, std::chrono::milliseconds deadline);
  /// Once. Tells the coordinator; `closed` comes when it knows.
  void finish(Result<std::string> result);

 private:
  void watch();
  void on_record(const JobRecord& job);
  void report();
  void close();

  CoordinatorLink& link_;
  Events events_;
  std::optional<JobRecord> job_;
  std::optional<Result<std::string>> result_;
  bool submitting_ = false;
  bool ended_ = false;  ///< at the coordinator
  bool closed_ = false;
};

}  // namespace tessera::frontend
