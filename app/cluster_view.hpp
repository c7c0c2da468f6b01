// Cluster and jobs as people and programs read them: tables, and JSON with the same content.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <tessera/cluster.hpp>

namespace tessera::app {

nlohmann::json to_json(const client::ClusterStatus& status);
nlohmann::json to_json(const client::DeploymentStatus& deployment);
nlohmann::json to_json(const client::NodeStatus& node);
nlohmann::json to_json(const client::JobStatus& job);

/// Nodes, then deployments with their shards; several lines.
std::string table(const client::ClusterStatus& status);
std::string table(const std::vector<client::JobStatus>& jobs);

/// One line for who waits: "story: preparing epoch 3 on w1, w2, w3".
std::string progress_text(const client::DeploymentStatus& deployment);
std::string progress_text(const client::JobStatus& job);

}  // namespace tessera::app
