#include "clients/generate_job.hpp"

#include <utility>

namespace tessera::frontend {

void GenerateJob::adopt(const JobRecord& job) {
  job_ = job;
  events_.registered(job.job);
  on_record(job);
  if (!ended_) watch();
}

void GenerateJob::submit(JobSpec spec, std::chrono::milliseconds deadline) {
  submitting_ = true;
  link_.call<JobRecord>(
      deadline,
      [spec = std::move(spec)](const CoordinatorClient& client, auto left, Reply<JobRecord> reply) {
        client.submit_job(spec, left, std::move(reply));
      },
      [self = shared_from_this()](Result<JobRecord> job) {
        self->submitting_ = false;
        if (job && !self->closed_) self->adopt(*job);
        if (self->result_) self->report();
      });
}

void GenerateJob::watch() {
  const JobId id = job_->job;
  // Values of a call that was repeated may come late; a job's end is told by every one of them.
  const std::weak_ptr<GenerateJob> weak = weak_from_this();
  const auto progress = [weak](const JobRecord& job) {
    if (const auto self = weak.lock()) self->on_record(job);
  };
  link_.call<JobRecord>(
      job_watch_deadline,
      [id, progress](const CoordinatorClient& client, auto left, Reply<JobRecord> reply) {
        client.watch_job(id, true, left, progress, std::move(reply));
      },
      [self = shared_from_this()](Result<JobRecord> job) {
        if (job) return self->on_record(*job);
        if (self->closed_ || self->result_ || self->ended_) return;
        const tessera::ErrorCode code = job.error().code;
        if (code == tessera::ErrorCode::timed_out || code == tessera::ErrorCode::unavailable) self->watch();
      });
}

void GenerateJob::on_record(const JobRecord& job) {
  if (closed_ || ended_) return;
  if (job.attempt > job_->attempt) job_->attempt = job.attempt;
  if (!ended(job.state)) return;
  ended_ = true;
  if (!result_) events_.cancelled();
}

void GenerateJob::finish(Result<std::string> result) {
  if (result_) return;
  result_ = std::move(result);
  if (!submitting_) report();
}

void GenerateJob::report() {
  if (!job_ || ended_) return close();
  link_.call<JobRecord>(
      job_report_deadline,
      [id = job_->job, attempt = job_->attempt, result = *result_](const CoordinatorClient& client, auto left,
                                                                   Reply<JobRecord> reply) {
        if (!result && result.error().code == ErrorCode::cancelled) {
          client.cancel_job(id, left, std::move(reply));
        } else {
          client.report_job(id, attempt, result, left, std::move(reply));
        }
      },
      [self = shared_from_this()](const Result<JobRecord>&) { self->close(); });
}

void GenerateJob::close() {
  if (std::exchange(closed_, true)) return;
  events_.closed();
}

}  // namespace tessera::frontend
