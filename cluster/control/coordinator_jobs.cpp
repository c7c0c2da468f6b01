#include <algorithm>

#include "cluster/control/coordinator_state.hpp"

namespace tessera {

void CoordinatorState::on(const JobSubmitted& input) {
  const bool needs_deployment = input.spec.kind != JobKind::verify;
  if (needs_deployment && !deployments_.contains(input.spec.deployment)) {
    emit(JobAnswered{input.token, Error{ErrorCode::not_found, "there is no deployment '" + input.spec.deployment +
                                                                  "' for this job; deploy it first"}});
    return;
  }
  JobEffects effects;
  const auto job = jobs_.submit(counters_.next_job, input.spec, input.unix_ms, effects);
  if (job && job->job == counters_.next_job) {
    counters_.next_job.value += 1;
    emit(Persist{counters_});
  }
  carry_out(effects);
  jobs_due_ = true;
  emit(JobAnswered{input.token, job});
}

void CoordinatorState::on(const JobCancelRequested& input) {
  JobEffects effects;
  const auto job = jobs_.cancel(input.job, "cancelled on request", effects);
  carry_out(effects);
  jobs_due_ = true;
  emit(JobAnswered{input.token, job});
}

void CoordinatorState::on(const JobClientSeen& input) { jobs_.client_seen(input.job); }
void CoordinatorState::on(const JobClientLost& input) { jobs_.client_lost(now_, input.job); }

void CoordinatorState::on(const JobReported& input) {
  JobEffects effects;
  const auto job = jobs_.report(input.job, input.attempt, input.result, effects);
  carry_out(effects);
  jobs_due_ = true;
  emit(JobAnswered{input.token, job});
}

void CoordinatorState::advance_jobs() {
  std::vector<JobWorker> workers;
  if (!recovering_) {
    for (const auto& [id, node] : nodes_) {
      if (node.ready()) workers.push_back({id, node.record.info.incarnation});
    }
  }
  JobEffects effects;
  jobs_.advance(now_, workers, effects);
  carry_out(effects);
}

void CoordinatorState::carry_out(const JobEffects& effects) {
  const auto connection_of = [this](NodeId node) -> std::optional<ConnectionId> {
    const auto entry = nodes_.find(node);
    return entry == nodes_.end() ? std::nullopt : entry->second.connection;
  };
  for (const JobEffect& effect : effects) {
    if (const auto* saved = std::get_if<JobSaved>(&effect)) {
      emit(Persist{saved->job});
      emit(JobChanged{saved->job});
    } else if (const auto* forgotten = std::get_if<JobForgotten>(&effect)) {
      emit(Erase{job_key(forgotten->job)});
    } else if (const auto* started = std::get_if<JobStarted>(&effect)) {
      const JobRecord& job = started->job;
      if (const auto to = connection_of(job.node)) emit(RunJob{job.node, *to, job.job, job.attempt, job.spec});
    } else if (const auto* stopped = std::get_if<JobStopped>(&effect)) {
      if (const auto to = connection_of(stopped->node)) {
        emit(StopJob{stopped->node, *to, stopped->job, stopped->attempt});
      }
    }
  }
}

}  // namespace tessera
