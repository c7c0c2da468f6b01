// ClusterModels: the deployments of a cluster, reached by the client library: the gateway is the frontend of its
// streams, which therefore survive the machines that compute them.
//
// Names and lengths come from the coordinator's status, asked for at most twice a second; while the coordinator is
// away, what it said last counts. Tokenizers and chat templates are fetched once for each content id.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <tessera/client.hpp>

#include "gateway/models.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::frontend {
class ClientCore;
}
namespace tessera {
struct DeploymentStatus;
struct ReplicaLoad;
}  // namespace tessera

namespace tessera::gateway {

/// Any thread; mutexes guard what is cached.
class ClusterModels final : public ModelSource {
 public:
  /// Connects, so that a wrong address or identity shows here.
  static Result<std::unique_ptr<ClusterModels>> connect(const client::Options& options);
  /// Cancels the streams that run.
  ~ClusterModels() override;

  Result<std::vector<ServedModel>> list() override;
  Result<ClusterLoad> load() override;
  Result<ModelWithText> find(const std::string& name) override;
  Result<std::unique_ptr<TokenStream>> start(const StreamSpec& spec, std::function<void()> changed) override;
  std::uint64_t draw_seed() override;

 private:
  struct Text {
    std::shared_ptr<const Tokenizer> tokenizer;
    std::shared_ptr<const ChatTemplate> chat;
  };
  explicit ClusterModels(std::shared_ptr<frontend::ClientCore> core);
  /// Asks the coordinator, unless it was asked less than `age_max` ago.
  Result<ClusterLoad> cluster(std::chrono::milliseconds age_max);
  ServedModel served(const DeploymentStatus& deployment, const std::string& profile);
  /// Replicas of a model that one node conducts are told together.
  void add_conductor(const std::string& node, const std::string& model, const ReplicaLoad& load);
  Result<Text> text_of(const ServedModel& model);

  const std::shared_ptr<frontend::ClientCore> core_;
  const SystemWallClock calendar_;

  std::mutex models_mutex_;  ///< held while the coordinator is asked: whoever comes meanwhile waits for the answer
  ClusterLoad cluster_;
  std::optional<TimePoint> asked_;                  ///< the last time that it answered
  std::map<std::string, std::int64_t> first_seen_;  ///< by name and content id

  std::mutex texts_mutex_;
  std::map<std::string, Text> texts_;  ///< by content id
};

}  // namespace tessera::gateway
