// What the public classes hide, and how their results are made of the cluster's.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <tessera/client.hpp>

#include "clients/client_core.hpp"
#include "clients/convert.hpp"

namespace tessera::client {

struct Client::State {
  std::shared_ptr<frontend::ClientCore> core;
};

struct Generation::State {
  std::weak_ptr<frontend::ClientCore> core;  ///< none: the client is gone
  std::shared_ptr<frontend::EventQueue> queue;
  StreamId id;
  std::uint64_t seed = 0;
  std::vector<TokenId> prompt;
};

}  // namespace tessera::client

namespace tessera::frontend {

inline client::Result<void> publish(const Result<void>& result) {
  if (!result) return to_public(result.error());
  return {};
}
/// As it is.
template <typename T>
client::Result<T> publish(Result<T> result) {
  if (!result) return to_public(result.error());
  return *std::move(result);
}
/// With the value made public.
template <typename T>
auto publish_value(const Result<T>& result) -> client::Result<decltype(to_public(*result))> {
  if (!result) return to_public(result.error());
  return to_public(*result);
}

/// What the caller got wrong.
inline Error usage(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }
/// Of a stream; lower is earlier.
Result<void> check_priority(std::int32_t priority);

Result<ClusterStatus> ask_status(ClientCore& core);
/// Null: there is none of this name.
const DeploymentStatus* find_deployment(const ClusterStatus& status, const std::string& name);

/// Submits a job that the cluster runs, and waits until it has ended; `progress` false leaves it running. The record
/// is that of a job that is done: other ends are errors.
Result<JobRecord> run_job(ClientCore& core, const JobSpec& spec,
                          const std::function<bool(const client::JobStatus&)>& progress);
/// Waits until a job has ended, however.
Result<JobRecord> watch_job(ClientCore& core, JobId id, const std::function<bool(const client::JobStatus&)>& progress);

}  // namespace tessera::frontend
