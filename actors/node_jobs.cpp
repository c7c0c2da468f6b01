#include "actors/node_jobs.hpp"

#include <utility>

namespace tessera {

NodeJobs::NodeJobs(JobProgram program, Ended ended) : program_(std::move(program)), ended_(std::move(ended)) {}

NodeJobs::~NodeJobs() {
  for (auto& [job, attempt] : attempts_) attempt->stop = true;
  for (auto& [job, attempt] : attempts_) attempt->thread.join();
  for (auto& attempt : stopping_) attempt->thread.join();
}

void NodeJobs::reap() {
  std::erase_if(stopping_, [](const std::unique_ptr<Attempt>& attempt) {
    if (attempt->done) attempt->thread.join();
    return attempt->done.load();
  });
}

Result<void> NodeJobs::start(JobId job, std::uint32_t number, const JobSpec& spec) {
  const auto found = attempts_.find(job);
  if (found != attempts_.end()) {
    if (found->second->number == number) return {};
    forget(job);
  }
  reap();
  if (attempts_.size() + stopping_.size() >= attempts_max)
    return Error{ErrorCode::exhausted, "this node runs " + std::to_string(attempts_max) + " jobs already"};
  auto attempt = std::make_unique<Attempt>();
  attempt->number = number;
  Attempt& running = *attempt;
  running.thread = std::thread([this, &running, job, number, spec] {
    Result<std::string> result = program_(spec, running.stop);
    ended_(job, number, std::move(result));
    running.done = true;
  });
  attempts_.emplace(job, std::move(attempt));
  return {};
}

void NodeJobs::stop(JobId job, std::uint32_t number) {
  const auto found = attempts_.find(job);
  if (found != attempts_.end() && found->second->number == number) found->second->stop = true;
}

void NodeJobs::forget(JobId job) {
  const auto found = attempts_.find(job);
  if (found == attempts_.end()) return;
  found->second->stop = true;
  stopping_.push_back(std::move(found->second));
  attempts_.erase(found);
  reap();
}

}  // namespace tessera
