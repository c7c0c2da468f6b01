#include "cluster/control/jobs.hpp"

#include <algorithm>
#include <string>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

std::string name_of(JobId job) { return "job " + std::to_string(job.value); }

void note(JobRecord& job, std::string line) {
  if (job.log.size() == job_log_lines_max) job.log.erase(job.log.begin());
  job.log.push_back(std::move(line));
}

bool on_worker(const JobRecord& job) { return job.state == JobState::running && job.node.value != 0; }

Result<void> check(const JobSpec& spec) {
  if (spec.input.size() > job_input_bytes_max) {
    return Error{ErrorCode::exhausted, "the job's input has " + std::to_string(spec.input.size()) + " bytes; at most " +
                                           std::to_string(job_input_bytes_max) +
                                           " are taken: put it into a file that the workers can read"};
  }
  if (spec.kind == JobKind::verify && spec.uri.empty()) {
    return Error{ErrorCode::invalid_argument, "a verify job needs the address of a checkpoint"};
  }
  if (spec.kind == JobKind::perplexity && spec.uri.empty() && spec.input.empty()) {
    return Error{ErrorCode::invalid_argument, "a perplexity job needs a text, or the address of one"};
  }
  return {};
}

}  // namespace

void JobTable::recover(TimePoint now, std::vector<JobRecord> jobs) {
  for (JobRecord& job : jobs) {
    if (!job.spec.idempotency_key.empty()) by_key_[{job.spec.client, job.spec.idempotency_key}] = job.job;
    if (job.spec.kind == JobKind::generate && !ended(job.state)) clients_away_[job.job] = now;
    jobs_[job.job] = std::move(job);
  }
}

Result<JobRecord> JobTable::submit(JobId next, JobSpec spec, std::int64_t unix_ms, JobEffects& effects) {
  TESSERA_CHECK(check(spec));
  const std::pair key{spec.client, spec.idempotency_key};
  if (const auto known = by_key_.find(key); !key.second.empty() && known != by_key_.end()) {
    const JobRecord& job = jobs_.at(known->second);
    if (job.spec == spec) return job;
    return Error{ErrorCode::conflict, "the idempotency key '" + key.second + "' was used for " + name_of(job.job) +
                                          ", which asks for something else; use a new key"};
  }
  const auto open = std::count_if(jobs_.begin(), jobs_.end(), [](const auto& job) { return !ended(job.second.state); });
  if (static_cast<std::size_t>(open) >= jobs_open_max) {
    return Error{ErrorCode::exhausted, "there are " + std::to_string(open) + " open jobs, the most that are kept; " +
                                           "wait until some have ended, or cancel some"};
  }
  JobRecord job;
  job.job = next;
  job.spec = std::move(spec);
  job.submitted_unix_ms = unix_ms;
  note(job, "submitted");
  if (job.spec.kind == JobKind::generate) {
    job.state = JobState::running;
    job.attempt = 1;
  }
  if (!key.second.empty()) by_key_[key] = next;
  effects.emplace_back(JobSaved{job});
  TESSERA_ENSURE(jobs_.emplace(next, job).second);
  return job;
}

Result<JobRecord> JobTable::cancel(JobId id, const std::string& why, JobEffects& effects) {
  const auto entry = jobs_.find(id);
  if (entry == jobs_.end()) {
    return Error{ErrorCode::not_found, "there is no " + name_of(id) + ": it never was, or it ended long ago"};
  }
  JobRecord& job = entry->second;
  if (ended(job.state)) return job;
  if (on_worker(job)) effects.emplace_back(JobStopped{job.node, job.job, job.attempt});
  job.error = Error{ErrorCode::cancelled, why};
  note(job, "cancelled: " + why);
  end(job, JobState::cancelled, effects);
  return find(id) != nullptr ? *find(id) : job;
}

Result<JobRecord> JobTable::report(JobId id, std::uint32_t attempt, Result<std::string> result, JobEffects& effects) {
  const auto entry = jobs_.find(id);
  if (entry == jobs_.end()) {
    return Error{ErrorCode::conflict, "there is no " + name_of(id) + " any more; its report is not wanted"};
  }
  JobRecord& job = entry->second;
  if (job.state != JobState::running || job.attempt != attempt) {
    return Error{ErrorCode::conflict, name_of(id) + " is " + to_string(job.state) + ", attempt " +
                                          std::to_string(job.attempt) + "; a report of attempt " +
                                          std::to_string(attempt) + " is not wanted"};
  }
  if (result && result->size() > job_result_bytes_max) {
    result = Error{ErrorCode::exhausted, "the result of " + name_of(id) + " has " + std::to_string(result->size()) +
                                             " bytes; at most " + std::to_string(job_result_bytes_max) + " are kept"};
  }
  if (result) {
    job.result = std::move(*result);
    note(job, "done");
    end(job, JobState::done, effects);
  } else if (on_worker(job) &&
             (result.error().code == ErrorCode::unavailable || result.error().code == ErrorCode::timed_out)) {
    give_up_attempt(job, result.error().message, effects);
  } else {
    job.error = result.error();
    note(job, "failed: " + result.error().message);
    end(job, JobState::failed, effects);
  }
  return *find(id);
}

void JobTable::client_lost(TimePoint now, JobId id) {
  const JobRecord* job = find(id);
  if (job == nullptr || ended(job->state) || job->spec.kind != JobKind::generate) return;
  clients_away_.emplace(id, now);
}

void JobTable::worker_lost(NodeId node, JobEffects& effects) {
  std::vector<JobId> hit;
  for (const auto& [id, job] : jobs_) {
    if (on_worker(job) && job.node == node) hit.push_back(id);
  }
  for (const JobId id : hit) give_up_attempt(jobs_.at(id), "its worker was lost", effects);
}

void JobTable::worker_back(NodeId node, NodeIncarnation process, JobEffects& effects) {
  std::vector<JobId> hit;
  for (const auto& [id, job] : jobs_) {
    if (on_worker(job) && job.node == node) hit.push_back(id);
  }
  for (const JobId id : hit) {
    JobRecord& job = jobs_.at(id);
    if (job.process == process) {
      effects.emplace_back(JobStarted{job});
    } else {
      give_up_attempt(job, "its worker was started again", effects);
    }
  }
}

void JobTable::advance(TimePoint now, std::span<const JobWorker> workers, JobEffects& effects) {
  std::vector<JobId> overdue;
  for (const auto& [id, since] : clients_away_) {
    if (now - since >= client_timeout_) overdue.push_back(id);
  }
  for (const JobId id : overdue) (void)cancel(id, "its client stayed away", effects);

  std::map<NodeId, std::uint32_t> busy;
  for (const auto& [id, job] : jobs_) {
    if (on_worker(job)) ++busy[job.node];
  }
  for (auto& [id, job] : jobs_) {
    if (job.state != JobState::queued) continue;
    const auto least = std::min_element(workers.begin(), workers.end(), [&](const JobWorker& a, const JobWorker& b) {
      return std::pair(busy[a.node], a.node) < std::pair(busy[b.node], b.node);
    });
    if (least == workers.end() || busy[least->node] >= jobs_per_worker_max) return;
    ++busy[least->node];
    start(job, *least, effects);
  }
}

const JobRecord* JobTable::find(JobId job) const {
  const auto entry = jobs_.find(job);
  return entry == jobs_.end() ? nullptr : &entry->second;
}

void JobTable::start(JobRecord& job, const JobWorker& worker, JobEffects& effects) {
  job.state = JobState::running;
  ++job.attempt;
  job.node = worker.node;
  job.process = worker.process;
  note(job, "attempt " + std::to_string(job.attempt) + " on node " + std::to_string(worker.node.value));
  effects.emplace_back(JobSaved{job});
  effects.emplace_back(JobStarted{job});
}

void JobTable::give_up_attempt(JobRecord& job, const std::string& why, JobEffects& effects) {
  note(job, "attempt " + std::to_string(job.attempt) + " was given up: " + why);
  if (job.attempt >= job_attempts_max) {
    job.error = Error{ErrorCode::unavailable,
                      name_of(job.job) + " was given up after " + std::to_string(job.attempt) + " attempts: " + why};
    end(job, JobState::failed, effects);
    return;
  }
  job.state = JobState::queued;
  job.node = {};
  job.process = {};
  effects.emplace_back(JobSaved{job});
}

void JobTable::end(JobRecord& job, JobState state, JobEffects& effects) {
  job.state = state;
  job.node = {};
  job.process = {};
  clients_away_.erase(job.job);
  effects.emplace_back(JobSaved{job});
  std::size_t ended_jobs = 0;
  const JobRecord* oldest = nullptr;
  for (const auto& [id, other] : jobs_) {
    if (!ended(other.state)) continue;
    ++ended_jobs;
    if (oldest == nullptr && id != job.job) oldest = &other;
  }
  if (ended_jobs <= jobs_ended_max) return;
  const JobId gone = oldest->job;
  by_key_.erase({oldest->spec.client, oldest->spec.idempotency_key});
  jobs_.erase(gone);
  effects.emplace_back(JobForgotten{gone});
}

}  // namespace tessera
