#include "cluster/rpc/encoding.hpp"

#include <capnp/serialize.h>
#include <cstring>
#include <kj/array.h>
#include <optional>
#include <type_traits>
#include <variant>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/wire.hpp"

namespace tessera {
namespace wire {
namespace {

void write(schema::NodeRecord::Builder out, const NodeRecord& value) {
  out.setNode(value.node.value);
  wire::write(out.initInfo(), value.info);
  out.setDraining(value.draining);
}

NodeRecord read(schema::NodeRecord::Reader in) {
  return {NodeId{in.getNode()}, wire::read(in.getInfo()), in.getDraining()};
}

void write(schema::DeploymentRecord::Builder out, const DeploymentRecord& value) {
  wire::write(out.initSpec(), value.spec);
  wire::write(out.initFacts(), value.facts);
  out.setReplica(value.replicas.at(0).value);
  if (value.replicas.size() == 1) return;
  auto others = out.initOthers(wire::length(value.replicas.size() - 1));
  for (unsigned i = 0; i < others.size(); ++i) others.set(i, value.replicas[i + 1].value);
}

DeploymentRecord read(schema::DeploymentRecord::Reader in) {
  if (in.getFacts().getShape().getDim() == 0) malformed("a deployment has no model");
  DeploymentRecord record{wire::read(in.getSpec()), wire::read(in.getFacts()), {ReplicaId{in.getReplica()}}};
  if (in.getOthers().size() >= replicas_max) malformed("a deployment has more replicas than any can have");
  for (const std::uint64_t other : in.getOthers()) {
    if (ReplicaId{other} <= record.replicas.back()) malformed("the replicas of a deployment are not in order");
    record.replicas.push_back(ReplicaId{other});
  }
  return record;
}

void write(schema::DamagedCopy::Builder out, const DamagedCopy& value) {
  out.setNode(value.node.value);
  out.setProcess(value.process.value);
  out.setReason(text(value.reason));
}

DamagedCopy read(schema::DamagedCopy::Reader in) {
  return {NodeId{in.getNode()}, NodeIncarnation{in.getProcess()}, wire::read(in.getReason())};
}

void write(schema::ReplicaRecord::Builder out, const ReplicaRecord& value) {
  out.setReplica(value.replica.value);
  out.setDeployment(text(value.deployment));
  out.setLastEpoch(value.last_epoch.value);
  out.setIncarnation(value.incarnation.value);
  out.setConductorNode(value.conductor_node.value);
  out.setConductorProcess(value.conductor_process.value);
  out.setServingIncarnation(value.serving_incarnation.value);
  if (value.serving) wire::write(out.initServing(), *value.serving);
  out.setBroken(value.broken);
  if (value.pending) wire::write(out.initPending(), *value.pending);
  out.setSwitching(value.switching);
  auto damaged = out.initDamaged(wire::length(value.damaged.size()));
  for (unsigned i = 0; i < damaged.size(); ++i) write(damaged[i], value.damaged[i]);
}

ReplicaRecord read(schema::ReplicaRecord::Reader in) {
  ReplicaRecord record;
  record.replica = {in.getReplica()};
  record.deployment = wire::read(in.getDeployment());
  record.last_epoch = {in.getLastEpoch()};
  record.incarnation = {in.getIncarnation()};
  record.conductor_node = {in.getConductorNode()};
  record.conductor_process = {in.getConductorProcess()};
  record.serving_incarnation = {in.getServingIncarnation()};
  if (in.hasServing()) record.serving = wire::read(in.getServing());
  record.broken = in.getBroken();
  if (in.hasPending()) record.pending = wire::read(in.getPending());
  record.switching = in.getSwitching();
  check_structs(in.getDamaged().size());
  for (const schema::DamagedCopy::Reader one : in.getDamaged()) record.damaged.push_back(read(one));
  return record;
}

void write(schema::CountersRecord::Builder out, const CountersRecord& value) {
  out.setNextNode(value.next_node.value);
  out.setNextReplica(value.next_replica.value);
  out.setNextJob(value.next_job.value);
}

CountersRecord read(schema::CountersRecord::Reader in) {
  return {NodeId{in.getNextNode()}, ReplicaId{in.getNextReplica()}, JobId{in.getNextJob()}};
}

struct RecordWriter {
  schema::StoredRecord::Builder out;
  void operator()(const NodeRecord& value) { write(out.initNode(), value); }
  void operator()(const DeploymentRecord& value) { write(out.initDeployment(), value); }
  void operator()(const ReplicaRecord& value) { write(out.initReplica(), value); }
  void operator()(const JobRecord& value) { wire::write(out.initJob(), value); }
  void operator()(const CountersRecord& value) { write(out.initCounters(), value); }
};

}  // namespace

void write(schema::StoredRecord::Builder out, const StoredRecord& value) { std::visit(RecordWriter{out}, value); }

StoredRecord read(schema::StoredRecord::Reader in) {
  switch (in.which()) {
    case schema::StoredRecord::NODE:
      return read(in.getNode());
    case schema::StoredRecord::DEPLOYMENT:
      return read(in.getDeployment());
    case schema::StoredRecord::REPLICA:
      return read(in.getReplica());
    case schema::StoredRecord::JOB:
      return wire::read(in.getJob());
    case schema::StoredRecord::COUNTERS:
      return read(in.getCounters());
    case schema::StoredRecord::PLAN:
    case schema::StoredRecord::UNKNOWN:
      break;
  }
  malformed("it is no record of a kind that is known here");
}

}  // namespace wire

namespace {

std::string flat(capnp::MessageBuilder& message) {
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(message);
  const auto chars = words.asChars();
  return {chars.begin(), chars.end()};
}

/// Calls `read_it` with the root of a flat message.
template <typename F>
auto from_flat(std::string_view bytes, const std::string& where, F read_it) {
  return wire::decoded(where, [&] {
    if (bytes.size() % sizeof(capnp::word) != 0 || bytes.size() > rpc_limits::record_bytes_max) {
      wire::malformed(std::to_string(bytes.size()) + " bytes are not a record");
    }
    auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
    if (!bytes.empty()) std::memcpy(words.begin(), bytes.data(), bytes.size());
    capnp::FlatArrayMessageReader message(words, wire::reader_options(rpc_limits::record_bytes_max));
    return read_it(message.getRoot<schema::StoredRecord>());
  });
}

}  // namespace

std::string encode_record(const StoredRecord& record) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<schema::StoredRecord>(), record);
  return flat(message);
}

Result<StoredRecord> decode_record(std::string_view bytes, const std::string& where) {
  return from_flat(bytes, where, [](schema::StoredRecord::Reader in) { return wire::read(in); });
}

std::string encode_plan(const EpochPlan& plan) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<schema::StoredRecord>().initPlan(), plan);
  return flat(message);
}

Result<EpochPlan> decode_plan(std::string_view bytes, const std::string& where) {
  return from_flat(bytes, where, [](schema::StoredRecord::Reader in) {
    if (!in.isPlan()) wire::malformed("it is no plan");
    return wire::read(in.getPlan());
  });
}

}  // namespace tessera
