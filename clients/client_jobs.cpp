#include <utility>

#include <tessera/client.hpp>

#include "clients/client_state.hpp"
#include "clients/job_results.hpp"
#include "cluster/control/job_texts.hpp"

namespace tessera::frontend {

Result<JobRecord> watch_job(ClientCore& core, JobId id, const std::function<bool(const client::JobStatus&)>& progress) {
  for (;;) {
    auto watched = core.wait<JobRecord, JobRecord>(
        [&core, id](Reply<JobRecord> reply, std::function<void(JobRecord)> tell) {
          core.link().call<JobRecord>(
              job_watch_deadline,
              [id, tell = std::move(tell)](const CoordinatorClient& client, auto left, Reply<JobRecord> answered) {
                client.watch_job(id, false, left, tell, std::move(answered));
              },
              std::move(reply));
        },
        [&](const JobRecord& job) { return ended(job.state) || !progress || progress(to_public(job)); });
    if (!watched && watched.error().code == ErrorCode::timed_out) continue;
    if (watched && progress) progress(to_public(*watched));
    return watched;
  }
}

Result<JobRecord> run_job(ClientCore& core, const JobSpec& spec,
                          const std::function<bool(const client::JobStatus&)>& progress) {
  TESSERA_TRY(JobRecord job, core.call<JobRecord>(core.options().call_deadline,
                                                  [spec](const CoordinatorClient& client, auto left, auto reply) {
                                                    client.submit_job(spec, left, std::move(reply));
                                                  }));
  TESSERA_TRY(job, watch_job(core, job.job, progress));
  if (job.state == JobState::done) return job;
  if (job.error) return *job.error;
  return Error{job.state == JobState::cancelled ? ErrorCode::cancelled : ErrorCode::io,
               "job " + std::to_string(job.job.value) + " " + to_string(job.state)};
}

}  // namespace tessera::frontend

namespace tessera::client {

using frontend::ClientCore;
using frontend::publish;
using frontend::publish_value;
using frontend::to_public;

Result<std::vector<JobStatus>> Client::jobs() {
  ClientCore& core = *state_->core;
  const auto records = core.call<std::vector<JobRecord>>(
      core.options().call_deadline,
      [](const CoordinatorClient& client, auto left, auto reply) { client.list_jobs(left, std::move(reply)); });
  if (!records) return to_public(records.error());
  std::vector<JobStatus> jobs;
  for (const JobRecord& record : *records) jobs.push_back(to_public(record));
  return jobs;
}

Result<JobStatus> Client::job(std::uint64_t id) {
  auto all = jobs();
  if (!all) return all.error();
  for (JobStatus& job : *all) {
    if (job.id == id) return std::move(job);
  }
  return Error{ErrorCode::not_found, "there is no job " + std::to_string(id) + "; tessera jobs lists them"};
}

Result<JobStatus> Client::watch(std::uint64_t id, const std::function<bool(const JobStatus&)>& changed) {
  return publish_value(frontend::watch_job(*state_->core, JobId{id}, changed));
}

Result<JobStatus> Client::cancel(std::uint64_t id) {
  ClientCore& core = *state_->core;
  return publish_value(core.call<JobRecord>(core.options().call_deadline,
                                            [id](const CoordinatorClient& client, auto left, Reply<JobRecord> reply) {
                                              client.cancel_job(JobId{id}, left, std::move(reply));
                                            }));
}

Result<PerplexityReport> Client::perplexity(const PerplexityRequest& request,
                                            const std::function<bool(const JobStatus&)>& progress) {
  ClientCore& core = *state_->core;
  JobSpec spec;
  spec.kind = tessera::JobKind::perplexity;
  spec.deployment = request.deployment;
  spec.input = encode(PerplexityInput{request.window, request.text});
  spec.idempotency_key = request.idempotency_key.empty() ? core.draw_key() : request.idempotency_key;
  if (spec.input.size() > job_input_bytes_max) {
    return Error{ErrorCode::exhausted, "the text has " + std::to_string(request.text.size()) +
                                           " bytes, a job takes at most " + std::to_string(job_input_bytes_max) +
                                           "; give a shorter one"};
  }
  const auto job = frontend::run_job(core, spec, progress);
  if (!job) return to_public(job.error());
  return publish(frontend::decode_perplexity_result(job->result));
}

Result<VerifyReport> Client::verify(const std::string& deployment,
                                    const std::function<bool(const JobStatus&)>& progress) {
  ClientCore& core = *state_->core;
  auto deployments = list();
  if (!deployments) return deployments.error();
  JobSpec spec;
  spec.kind = tessera::JobKind::verify;
  spec.deployment = deployment;
  for (const DeploymentStatus& each : *deployments) {
    if (each.name == deployment) spec.uri = each.uri;
  }
  if (spec.uri.empty())
    return Error{ErrorCode::not_found, "there is no deployment " + deployment + "; tessera status lists them"};
  spec.idempotency_key = core.draw_key();
  const auto job = frontend::run_job(core, spec, progress);
  if (!job) return to_public(job.error());
  return publish(frontend::decode_verify_result(job->result));
}

}  // namespace tessera::client
