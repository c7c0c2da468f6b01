// Outputs as lines of a trace.
#include "tests/unit/control/fake_cluster.hpp"

namespace tessera::test {

namespace {

template <typename T>
std::string number(T id) {
  return std::to_string(id.value);
}

std::string range(SliceRange run) {
  if (run.empty()) return "-";
  return std::to_string(run.begin) + "-" + std::to_string(run.end);
}

std::string to_node(NodeId node, ConnectionId to) { return "to node " + number(node) + " (c" + number(to) + "): "; }

template <typename T>
std::string outcome(const Result<T>& result) {
  return result ? "ok" : std::string(to_string(result.error().code)) + ": " + result.error().message;
}

std::string job_line(const JobRecord& job) {
  std::string line = "job " + number(job.job) + " " + to_string(job.spec.kind) + " " + to_string(job.state) +
                     ", attempt " + std::to_string(job.attempt);
  if (job.node.value != 0) line += ", node " + number(job.node);
  if (!job.result.empty()) line += ", result " + job.result;
  if (job.error) line += ", " + std::string(to_string(job.error->code)) + ": " + job.error->message;
  return line;
}

std::string record_line(const NodeRecord& record) {
  return "number " + number(record.node) + ", process " + number(record.info.incarnation) +
         (record.draining ? ", draining" : "");
}
std::string record_line(const DeploymentRecord& record) {
  std::string line = "replica " + number(record.replicas.front());
  for (std::size_t i = 1; i < record.replicas.size(); ++i) line += " " + number(record.replicas[i]);
  return line;
}
std::string record_line(const ReplicaRecord& record) {
  std::string line = "last epoch " + number(record.last_epoch);
  if (record.serving) {
    line += ", " + std::string(record.broken ? "broken " : "serving ") + number(record.serving->epoch);
  }
  if (record.pending) line += ", " + std::string(record.switching ? "switching to " : "preparing ");
  if (record.pending) line += number(record.pending->epoch);
  if (record.incarnation.value != 0) line += ", conductor " + number(record.incarnation);
  for (const DamagedCopy& copy : record.damaged) line += ", damaged at " + number(copy.node);
  return line;
}
std::string record_line(const JobRecord& record) { return job_line(record); }
std::string record_line(const CountersRecord& record) {
  return number(record.next_node) + " " + number(record.next_replica) + " " + number(record.next_job);
}

std::string line_of(const RegistrationAnswered& output) {
  std::string line = "to c" + number(output.to) + ": registration " + outcome(output.result);
  if (output.result) line += ", node " + number(output.result->node) + ", term " + number(output.result->term);
  return line;
}
std::string line_of(const PrepareEpoch& output) {
  return "prepare " + output.plan.deployment + " epoch " + number(output.plan.epoch) + ": " + describe(output.plan);
}
std::string line_of(const ActivateEpoch& output) {
  return to_node(output.node, output.to) + "activate replica " + number(output.replica) + " epoch " +
         number(output.epoch) + ", conductor " + number(output.incarnation);
}
std::string line_of(const HandOver& output) {
  return to_node(output.node, output.to) + "hand over replica " + number(output.replica) + " epoch " +
         number(output.from) + " to " + number(output.into) + ", conductor " + number(output.incarnation);
}
std::string line_of(const RetireEpoch& output) {
  return to_node(output.node, output.to) + "retire replica " + number(output.replica) + " epoch " +
         number(output.epoch);
}
std::string line_of(const DropNode& output) {
  return "drop c" + number(output.to) + (output.again ? "" : " for good") + ": " + output.reason;
}
std::string line_of(const RunJob& output) {
  return to_node(output.node, output.to) + "run job " + number(output.job) + " attempt " +
         std::to_string(output.attempt);
}
std::string line_of(const StopJob& output) {
  return to_node(output.node, output.to) + "stop job " + number(output.job) + " attempt " +
         std::to_string(output.attempt);
}
std::string line_of(const Persist& output) {
  return "store " + key_of(output.record) + ": " +
         std::visit([](const auto& record) { return record_line(record); }, output.record);
}
std::string line_of(const Erase& output) { return "erase " + output.key; }
std::string line_of(const DeployAnswered& output) {
  std::string line = "answer " + number(output.token) + ": " + outcome(output.result);
  if (output.result) {
    line += ", " + std::string(to_string(output.result->replica.state));
    if (output.result->replica.state == ReplicaState::waiting) line += ": " + output.result->replica.message;
  }
  return line;
}
std::string line_of(const Answered& output) { return "answer " + number(output.token) + ": " + outcome(output.result); }
std::string line_of(const JobAnswered& output) {
  return "answer " + number(output.token) + ": " + outcome(output.result) +
         (output.result ? ", " + job_line(*output.result) : "");
}
std::string line_of(const JobChanged& output) { return "watchers: " + job_line(output.job); }
std::string line_of(const Event& output) {
  return (output.level == EventLevel::warning ? "warning: " : "note: ") + output.text;
}

}  // namespace

std::string describe(const CoordinatorOutput& output) {
  return std::visit([](const auto& one) { return line_of(one); }, output);
}

std::string describe(const EpochPlan& plan) {
  std::string text;
  std::uint32_t rank = 0;
  for (const StagePlan& stage : plan.stages) {
    if (rank != 0) text += "| ";
    if (plan.stages.size() > 1) text += "layers " + range(stage.layers) + " ";
    for (const ShardSlices& shard : stage.shards) {
      text += plan.participants[rank++].name + "[" + range(shard.attention) + " " + range(shard.ffn) + " " +
              range(shard.vocab) + "] ";
    }
  }
  if (rank < plan.participants.size()) text += "donors ";
  for (; rank < plan.participants.size(); ++rank) text += plan.participants[rank].name + " ";
  if (plan.previous.value != 0) text += "after " + number(plan.previous) + " with KV ";
  for (const KvHolding& kv : plan.previous_kv) {
    text += plan.participants[kv.participant.value].name + "(" + range(kv.layers) + " " + range(kv.kv_heads) + ") ";
  }
  if (!plan.lease_nodes.empty()) text += "leases ";
  for (const NodeId node : plan.lease_nodes) text += number(node) + " ";
  if (plan.check_first) text += "checked first ";
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace tessera::test
