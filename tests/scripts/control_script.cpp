#include "tests/scripts/control_script.hpp"

#include <stdexcept>

#include "tests/scripts/script.hpp"
#include "tests/unit/control/fake_cluster.hpp"

namespace tessera::test {

namespace {

using std::chrono::milliseconds;

class Scenario {
 public:
  Scenario() {
    cluster_.observe = [this](const CoordinatorOutput& output) { trace_ += "  " + describe(output) + "\n"; };
  }

  /// The lines that it puts out.
  std::string run(const std::string& line) {
    trace_.clear();
    try {
      const ScriptCommand command(line);
      if (!nodes(command) && !epochs(command) && !requests(command) && !views(command)) {
        trace_ += "  error: unknown command\n";
      }
    } catch (const std::exception& error) {
      trace_ += std::string("  error: ") + error.what() + "\n";
    }
    return trace_;
  }

 private:
  bool nodes(const ScriptCommand& command) {
    const std::string& verb = command.word(0);
    if (verb == "start") {
      for (std::size_t i = 1; i < command.words(); ++i) {
        cluster_.start(command.word(i), command.number("speed", 1), command.number("memory", 1'000'000));
      }
    } else if (verb == "reconnect") {
      for (std::size_t i = 1; i < command.words(); ++i) cluster_.reconnect(command.word(i));
    } else if (verb == "kill") {
      cluster_.kill(command.word(1));
    } else if (verb == "cut") {
      cluster_.cut(command.word(1));
    } else if (verb == "freeze" || verb == "thaw") {
      cluster_.node(command.word(1)).frozen = verb == "freeze";
    } else if (verb == "pass") {
      cluster_.pass(milliseconds(std::stoul(command.word(1))));
    } else if (verb == "restart") {
      cluster_.restart();
    } else {
      return false;
    }
    return true;
  }

  bool epochs(const ScriptCommand& command) {
    const std::string& verb = command.word(0);
    if (verb == "prepared") {
      if (command.words() == 2) {
        cluster_.all_prepared(command.word(1));
      } else {
        for (std::size_t i = 2; i < command.words(); ++i) cluster_.prepared(command.word(i), command.word(1));
      }
    } else if (verb == "unprepared") {
      cluster_.prepared(command.word(2), command.word(1), Error{ErrorCode::io, "cannot map"});
    } else if (verb == "activated") {
      cluster_.activate(command.word(1));
    } else if (verb == "broken") {
      const ReplicaStatus status = cluster_.replica(command.word(1));
      const Epoch epoch{command.number("epoch", 0)};
      cluster_.broken(command.word(2), command.word(1), epoch.value != 0 ? epoch : status.serving->epoch,
                      "peer closed");
    } else if (verb == "damaged") {
      const ReplicaStatus status = cluster_.replica(command.word(1));
      const auto& plan = status.pending ? status.pending : status.serving;
      cluster_.damaged(command.word(2), command.word(1), plan ? plan->epoch : Epoch{}, "small.h5: dataset head");
    } else if (verb == "settle") {
      cluster_.settle();
    } else {
      return false;
    }
    return true;
  }

  bool requests(const ScriptCommand& command) {
    const std::string& verb = command.word(0);
    if (verb == "deploy") {
      DeploySpec spec;
      spec.name = command.word(1);
      spec.workers = command.number("workers");
      spec.stages = command.number("stages");
      spec.kv_positions = command.number("kv", 320);
      spec.idempotency_key = command.text("key");
      spec.replicas = command.number("replicas", 1);
      ModelFacts facts = small_model();
      if (const std::string content = command.text("content"); !content.empty()) facts.content_id = content;
      cluster_.deploy(spec, facts);
    } else if (verb == "undeploy") {
      cluster_.undeploy(command.word(1));
    } else if (verb == "drain") {
      cluster_.drain(command.word(1));
    } else if (verb == "submit") {
      JobSpec spec;
      const std::string& kind = command.word(1);
      spec.kind = kind == "generate" ? JobKind::generate : kind == "verify" ? JobKind::verify : JobKind::perplexity;
      spec.deployment = command.text("deployment");
      spec.uri = "file:///small.h5";
      spec.idempotency_key = command.text("key");
      cluster_.send(JobSubmitted{cluster_.ask(), spec, 0});
    } else if (verb == "report") {
      Result<std::string> result(command.text("result"));
      if (command.text("error") == "unavailable") result = Error{ErrorCode::unavailable, "no conductor"};
      if (command.text("error") == "corrupt") result = Error{ErrorCode::corrupt, "a bad block"};
      cluster_.send(JobReported{cluster_.ask(), job(command), command.number("attempt", 1), result});
    } else if (verb == "cancel") {
      cluster_.send(JobCancelRequested{cluster_.ask(), job(command)});
    } else if (verb == "client-lost") {
      cluster_.send(JobClientLost{job(command)});
    } else if (verb == "client-seen") {
      cluster_.send(JobClientSeen{job(command)});
    } else {
      return false;
    }
    return true;
  }

  bool views(const ScriptCommand& command) {
    const std::string& verb = command.word(0);
    if (verb == "locate") {
      const auto locations = cluster_.core.locate(command.word(1));
      if (!locations) {
        trace_ += "  " + std::string(to_string(locations.error().code)) + ": " + locations.error().message + "\n";
        return true;
      }
      for (const ConductorLocation& location : *locations) {
        trace_ += "  at " + location.node_name + ", epoch " + std::to_string(location.epoch.value) + ", conductor " +
                  std::to_string(location.incarnation.value) + "\n";
      }
    } else if (verb == "status") {
      status();
    } else {
      return false;
    }
    return true;
  }

  void status() {
    const ClusterStatus status = cluster_.core.status(cluster_.now);
    for (const NodeStatus& node : status.nodes) {
      trace_ += "  node " + std::to_string(node.node.value) + " " + node.info.name + ": " + to_string(node.state) +
                ", " + std::to_string(node.planned_bytes) + " bytes planned\n";
    }
    for (const DeploymentStatus& deployment : status.deployments) {
      show(deployment.spec.name, deployment.replica);
      for (const ReplicaStatus& other : deployment.others) show(deployment.spec.name, other);
    }
  }

  void show(const std::string& name, const ReplicaStatus& replica) {
    trace_ += "  " + name + ": " + to_string(replica.state) + (replica.serves ? ", serves" : "") + " (" +
              replica.message + ")\n";
    if (replica.serving) {
      trace_ += "    epoch " + std::to_string(replica.serving->epoch.value) + ": " + describe(*replica.serving) + "\n";
    }
  }

  static JobId job(const ScriptCommand& command) { return JobId{std::stoul(command.word(1))}; }

  FakeCluster cluster_;
  std::string trace_;
};

}  // namespace

std::string run_control_script(const std::string& script) {
  Scenario scenario;
  return run_script(script, [&](const std::string& line) { return scenario.run(line); });
}

}  // namespace tessera::test
