// JobTable: the life of every job, from submission to its one end.
//
//   perplexity, verify   queued ─► running on a worker, attempt 1 ─► done | failed | cancelled
//                          ▲             │ worker lost
//                          └─────────────┘ attempt 2, 3
//   generate             running (the client is its frontend) ─► done | failed | cancelled (also: client away too long)
//
// An end is compare-and-set on (job, attempt): a report of an attempt that was given up, or of a job that has ended,
// changes nothing. Pure; used by the coordinator's core.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/control/deployment.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

inline constexpr std::size_t jobs_open_max = 1024;    ///< queued or running; more are refused
inline constexpr std::size_t jobs_ended_max = 256;    ///< kept to be looked at; the oldest go first
inline constexpr std::uint32_t job_attempts_max = 3;  ///< of a job whose workers are lost
inline constexpr std::uint32_t jobs_per_worker_max = 2;

/// Save the record, and tell whoever watches.
struct JobSaved {
  JobRecord job;
};
/// Forgotten: erase the record.
struct JobForgotten {
  JobId job;
};
/// Tell the worker in `job` to run its attempt.
struct JobStarted {
  JobRecord job;
};
/// Tell the worker to stop an attempt; its report is not wanted any more.
struct JobStopped {
  NodeId node;
  JobId job;
  std::uint32_t attempt = 0;
};
using JobEffect = std::variant<JobSaved, JobForgotten, JobStarted, JobStopped>;
using JobEffects = std::vector<JobEffect>;

/// A worker that may get jobs now.
struct JobWorker {
  NodeId node;
  NodeIncarnation process;
};

/// Owned by the coordinator's core. Effects are appended in the order in which they must happen.
class JobTable {
 public:
  explicit JobTable(std::chrono::nanoseconds client_timeout) : client_timeout_(client_timeout) {}

  /// Takes over stored jobs: running attempts are believed to run until their worker is lost or comes back as another
  /// process; clients of generate jobs are away until they are seen.
  void recover(TimePoint now, std::vector<JobRecord> jobs);

  /// The new job, or the one that has the client's key; `conflict` when the key was used for something else.
  Result<JobRecord> submit(JobId next, JobSpec spec, std::int64_t unix_ms, JobEffects& effects);
  /// The job as it is then; one that has ended stays as it ended.
  Result<JobRecord> cancel(JobId job, const std::string& why, JobEffects& effects);
  /// The end of an attempt. `conflict` when it is not the current one. A worker's `unavailable` or `timed_out` is tried
  /// again.
  Result<JobRecord> report(JobId job, std::uint32_t attempt, Result<std::string> result, JobEffects& effects);
  void client_seen(JobId job) { clients_away_.erase(job); }
  void client_lost(TimePoint now, JobId job);
  /// Its attempts are given up.
  void worker_lost(NodeId node, JobEffects& effects);
  /// A worker registered: attempts of its earlier processes are given up, those of this one are started again (a worker
  /// that runs them already ignores that).
  void worker_back(NodeId node, NodeIncarnation process, JobEffects& effects);
  /// Gives queued jobs to workers (the least busy first), and ends jobs whose client stayed away.
  void advance(TimePoint now, std::span<const JobWorker> workers, JobEffects& effects);

  const JobRecord* find(JobId job) const;
  const std::map<JobId, JobRecord>& all() const { return jobs_; }

 private:
  void start(JobRecord& job, const JobWorker& worker, JobEffects& effects);
  void give_up_attempt(JobRecord& job, const std::string& why, JobEffects& effects);
  void end(JobRecord& job, JobState state, JobEffects& effects);

  std::chrono::nanoseconds client_timeout_;
  std::map<JobId, JobRecord> jobs_;
  std::map<std::pair<std::string, std::string>, JobId> by_key_;  // (client, idempotency key)
  std::map<JobId, TimePoint> clients_away_;                      // since when
};

}  // namespace tessera
