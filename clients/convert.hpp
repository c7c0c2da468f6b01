// The library's public values, made from those of the cluster, and back.
#pragma once

#include <tessera/client.hpp>

#include "cluster/control/deployment.hpp"
#include "runtime/base/result.hpp"
#include "runtime/batching/generation_types.hpp"

namespace tessera::frontend {

client::Error to_public(const tessera::Error& error);
tessera::ErrorCode to_internal(client::ErrorCode code);
tessera::Pooling to_internal(client::Pooling pooling);
client::ClusterStatus to_public(const tessera::ClusterStatus& status);
client::DeploymentStatus to_public(const tessera::DeploymentStatus& status);
client::JobStatus to_public(const JobRecord& job);

DeploySpec to_spec(const client::DeployRequest& request);
/// `seed` is the resolved one.
tessera::SamplingParameters to_internal(const client::SamplingParameters& sampling, std::uint64_t seed);

}  // namespace tessera::frontend
