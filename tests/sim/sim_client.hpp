// SimClient: a client's process with streams (the production StreamFrontend), jobs, and an operator's requests.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/cluster.hpp"

namespace tessera::sim {

class SimClient final : public Process {
 public:
  SimClient(Cluster& cluster, std::string host_name) : Process(std::move(host_name)), cluster_(cluster) {}

  /// From now on, whenever the coordinator says otherwise, it is asked to deploy it, or to undeploy it.
  void want(const DeploySpec& spec, const ModelFacts& facts, bool deployed);
  /// Names of deployments that are wanted.
  std::vector<std::string> wanted() const;
  void drain(const std::string& node);
  void submit_job(const std::string& idempotency_key);
  void open(const StreamRequest& request);
  void cancel(const StreamId& stream);

  /// Every stream and job has ended.
  bool done() const;
  std::string unfinished() const;
  std::uint64_t resumptions() const;

 private:
  struct Stream {
    std::unique_ptr<StreamFrontend> frontend;
    std::map<std::uint64_t, ConnectionEnd> ends;  ///< by attempt
    std::size_t tokens = 0, scores = 0;
    bool cancelled = false;
    std::optional<TimePoint> tick;
  };
  void call(const std::function<void(SimCoordinator&)>& question, Action unreachable);
  void answer(Action action);
  void feed(const StreamId& id, StreamInput::Any input);
  void carry_out(const StreamId& id, const StreamOutput::Any& output);
  void locate(const StreamId& id, const StreamOutput::Locate& output);
  void open_at(const StreamId& id, const StreamOutput::Open& output);
  std::uint32_t streams_at(ReplicaId replica) const;
  void deliver(const StreamId& id, const StreamToken& token);
  void finished(const StreamId& id, FinishReason reason);
  void tick_later(const StreamId& id);

  Cluster& cluster_;
  struct Wish {
    DeploySpec spec;
    ModelFacts facts;
    bool deployed = false;
    bool fulfilled = false;
  };
  void pursue(const std::string& name);
  std::map<std::string, Wish> wishes_;
  std::map<StreamId, Stream> streams_;
  std::map<std::string, bool> jobs_;    ///< by idempotency key; true: ended
  std::map<std::string, bool> drains_;  ///< by node; true: answered
};

}  // namespace tessera::sim
