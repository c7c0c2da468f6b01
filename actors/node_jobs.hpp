// NodeJobs: the attempts of jobs (verify, perplexity) that run on this node. Each has a thread of its own, since it
// reads files or waits for the cluster for minutes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cluster/control/deployment.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// What a job computes: `stop` asks it to end early (`cancelled`). Runs on the attempt's thread.
using JobProgram = std::function<Result<std::string>(const JobSpec& spec, const std::atomic<bool>& stop)>;

/// Confined to the Worker's actor. Ended attempts are kept until they were reported.
class NodeJobs {
 public:
  static constexpr std::size_t attempts_max = 16;

  /// `ended(job, attempt, result)` is called on the attempt's thread.
  using Ended = std::function<void(JobId, std::uint32_t, Result<std::string>)>;
  NodeJobs(JobProgram program, Ended ended);
  /// Stops and waits for all.
  ~NodeJobs();

  /// Starts an attempt, unless it runs or has ended already. `exhausted` beyond attempts_max.
  Result<void> start(JobId job, std::uint32_t attempt, const JobSpec& spec);
  void stop(JobId job, std::uint32_t attempt);
  /// The attempt was reported to the coordinator, which will not ask for it again.
  void forget(JobId job);

  struct Attempt {
    std::uint32_t number = 0;
    std::atomic<bool> stop{false};
    std::atomic<bool> done{false};
    std::thread thread;
  };

 private:
  void reap();

  JobProgram program_;
  Ended ended_;
  std::map<JobId, std::unique_ptr<Attempt>> attempts_;
  std::vector<std::unique_ptr<Attempt>> stopping_;  ///< forgotten, but their threads have not ended yet
};

}  // namespace tessera
