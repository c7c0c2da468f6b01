#include <algorithm>
#include <iterator>

#include "cluster/rpc/wire.hpp"

namespace tessera::wire {

void write(schema::Endpoint::Builder out, const Endpoint& value) {
  out.setHost(text(value.host));
  out.setPort(value.port);
}

Endpoint read(schema::Endpoint::Reader in) { return {read(in.getHost()), in.getPort()}; }

void write(schema::Range::Builder out, SliceRange value) {
  out.setBegin(value.begin);
  out.setEnd(value.end);
}

SliceRange read(schema::Range::Reader in) {
  const SliceRange range{in.getBegin(), in.getEnd()};
  if (range.begin > range.end) {
    malformed("the range " + std::to_string(range.begin) + ".." + std::to_string(range.end) + " ends before it begins");
  }
  return range;
}

void write(schema::ShardSlices::Builder out, const ShardSlices& value) {
  write(out.initAttention(), value.attention);
  write(out.initFfn(), value.ffn);
  write(out.initVocab(), value.vocab);
}

ShardSlices read(schema::ShardSlices::Reader in) {
  return {read(in.getAttention()), read(in.getFfn()), read(in.getVocab())};
}

void write(schema::StagePlan::Builder out, const StagePlan& value) {
  write(out.initLayers(), value.layers);
  write_list(out.initShards(length(value.shards.size())), value.shards);
}

StagePlan read(schema::StagePlan::Reader in) {
  StagePlan stage{read(in.getLayers()), read_list(in.getShards())};
  if (stage.shards.empty()) malformed("a stage of a plan has no shards");
  return stage;
}

void write(schema::Participant::Builder out, const Participant& value) {
  out.setNode(value.node.value);
  out.setName(text(value.name));
  write(out.initData(), value.data);
}

Participant read(schema::Participant::Reader in) {
  return {NodeId{in.getNode()}, read(in.getName()), read(in.getData())};
}

void write(schema::KvHolding::Builder out, const KvHolding& value) {
  out.setParticipant(value.participant.value);
  write(out.initLayers(), value.layers);
  write(out.initKvHeads(), value.kv_heads);
}

KvHolding read(schema::KvHolding::Reader in) {
  return {ParticipantIndex{in.getParticipant()}, read(in.getLayers()), read(in.getKvHeads())};
}

void write(schema::EpochPlan::Builder out, const EpochPlan& value) {
  out.setTerm(value.term.value);
  out.setReplica(value.replica.value);
  out.setEpoch(value.epoch.value);
  out.setDeployment(text(value.deployment));
  out.setUri(text(value.uri));
  out.setContentId(text(value.content_id));
  out.setProfile(text(value.profile));
  out.setKvPages(value.kv_pages);
  write_list(out.initStages(length(value.stages.size())), value.stages);
  write_list(out.initParticipants(length(value.participants.size())), value.participants);
  out.setPrevious(value.previous.value);
  write_list(out.initPreviousKv(length(value.previous_kv.size())), value.previous_kv);
  auto leases = out.initLeaseNodes(length(value.lease_nodes.size()));
  for (unsigned i = 0; i < leases.size(); ++i) leases.set(i, value.lease_nodes[i].value);
  out.setCheckFirst(value.check_first);
  out.setSpeculation(static_cast<schema::Speculation>(value.speculation));
}

EpochPlan read(schema::EpochPlan::Reader in) {
  EpochPlan plan;
  plan.term = {in.getTerm()};
  plan.replica = {in.getReplica()};
  plan.epoch = {in.getEpoch()};
  plan.deployment = read(in.getDeployment());
  plan.uri = read(in.getUri());
  plan.content_id = read(in.getContentId());
  plan.profile = read(in.getProfile());
  plan.kv_pages = in.getKvPages();
  plan.stages = read_list(in.getStages());
  plan.participants = read_list(in.getParticipants());
  plan.previous = {in.getPrevious()};
  plan.previous_kv = read_list(in.getPreviousKv());
  const auto leases = in.getLeaseNodes();
  check_length(leases.size());
  for (const std::uint32_t node : leases) plan.lease_nodes.push_back({node});
  plan.check_first = in.getCheckFirst();
  plan.speculation = in.getSpeculation() == schema::Speculation::OFF ? Speculation::off : Speculation::automatic;
  if (plan.stages.empty()) malformed("a plan has no stages");
  if (plan.participants.size() < plan.ranks()) {
    malformed("a plan has " + std::to_string(plan.participants.size()) + " participants for " +
              std::to_string(plan.ranks()) + " ranks");
  }
  for (const KvHolding& holding : plan.previous_kv) {
    if (holding.participant.value >= plan.participants.size()) malformed("a plan names KV pages of nobody");
  }
  return plan;
}

void write(schema::NodeInfo::Builder out, const NodeInfo& value) {
  out.setName(text(value.name));
  out.setIncarnation(value.incarnation.value);
  write(out.initRpc(), value.rpc);
  write(out.initData(), value.data);
  out.setComputes(value.computes);
  out.setCores(value.cores);
  out.setMemoryBytes(value.memory_bytes);
  out.setSpeed(value.speed);
  out.setIsa(text(value.isa));
  out.setProfile(text(value.profile));
  out.setVersion(text(value.version));
}

NodeInfo read(schema::NodeInfo::Reader in) {
  NodeInfo info;
  info.name = read(in.getName());
  info.incarnation = {in.getIncarnation()};
  info.rpc = read(in.getRpc());
  info.data = read(in.getData());
  info.computes = in.getComputes();
  info.cores = in.getCores();
  info.memory_bytes = in.getMemoryBytes();
  info.speed = finite(in.getSpeed(), "a node's speed");
  if (info.speed < 0) malformed("a node's speed is negative");
  info.isa = read(in.getIsa());
  info.profile = read(in.getProfile());
  info.version = read(in.getVersion());
  return info;
}

void write(schema::HeldEpoch::Builder out, const HeldEpoch& value) {
  out.setReplica(value.replica.value);
  out.setEpoch(value.epoch.value);
  out.setActive(value.active);
  out.setConducts(value.conducts);
  out.setIncarnation(value.incarnation.value);
}

HeldEpoch read(schema::HeldEpoch::Reader in) {
  HeldEpoch held;
  held.replica = {in.getReplica()};
  held.epoch = {in.getEpoch()};
  held.active = in.getActive();
  held.conducts = in.getConducts();
  held.incarnation = {in.getIncarnation()};
  return held;
}

void write(schema::ReplicaLoad::Builder out, const ReplicaLoad& value) {
  out.setReplica(value.replica.value);
  out.setStreamsRunning(value.streams_running);
  out.setStreamsWaiting(value.streams_waiting);
  out.setKvPagesUsed(value.kv_pages_used);
  out.setKvPages(value.kv_pages);
  out.setPrefixTokensQueried(value.prefix_tokens_queried);
  out.setPrefixTokensHit(value.prefix_tokens_hit);
  out.setPreempted(value.preempted);
  auto steps = out.initSteps(length(value.step_rows.steps.size()));
  for (unsigned i = 0; i < steps.size(); ++i) steps.set(i, value.step_rows.steps[i]);
  out.setStepRows(value.step_rows.rows);
}

ReplicaLoad read(schema::ReplicaLoad::Reader in) {
  ReplicaLoad load;
  load.replica = {in.getReplica()};
  load.streams_running = in.getStreamsRunning();
  load.streams_waiting = in.getStreamsWaiting();
  load.kv_pages_used = in.getKvPagesUsed();
  load.kv_pages = in.getKvPages();
  load.prefix_tokens_queried = in.getPrefixTokensQueried();
  load.prefix_tokens_hit = in.getPrefixTokensHit();
  load.preempted = in.getPreempted();
  const auto steps = in.getSteps();
  if (steps.size() > load.step_rows.steps.size()) malformed("a replica's steps are counted by too many sizes");
  for (unsigned i = 0; i < steps.size(); ++i) load.step_rows.steps[i] = steps[i];
  load.step_rows.rows = in.getStepRows();
  return load;
}

void write(schema::NodeLoad::Builder out, const NodeLoad& value) {
  out.setCpuShare(value.cpu_share);
  out.setResidentBytes(value.resident_bytes);
  out.setWeightBytes(value.weight_bytes);
  out.setKvBytesUsed(value.kv_bytes_used);
  out.setShards(value.shards);
  out.setStreamsRunning(value.streams_running);
  out.setStreamsWaiting(value.streams_waiting);
  out.setStepSecondsMedian(value.step_seconds_median);
  out.setWaitShare(value.wait_share);
  out.setTokensPerSecond(value.tokens_per_second);
  out.setRequestSecondsMedian(value.request_seconds_median);
  out.setKvPagesCached(value.kv_pages_cached);
  out.setPrefixTokensQueried(value.prefix_tokens_queried);
  out.setPrefixTokensHit(value.prefix_tokens_hit);
  out.setKvBytes(value.kv_bytes);
  write_list(out.initReplicas(length(value.replicas.size())), value.replicas);
  out.setDraftTokens(value.draft_tokens);
  out.setDraftTokensAccepted(value.draft_tokens_accepted);
  out.setConnectionsRefused(value.connections_refused);
  out.setCallsDenied(value.calls_denied);
}

NodeLoad read(schema::NodeLoad::Reader in) {
  NodeLoad load;
  load.cpu_share = finite(in.getCpuShare(), "a node's share of its cores");
  load.resident_bytes = in.getResidentBytes();
  load.weight_bytes = in.getWeightBytes();
  load.kv_bytes_used = in.getKvBytesUsed();
  load.shards = in.getShards();
  load.streams_running = in.getStreamsRunning();
  load.streams_waiting = in.getStreamsWaiting();
  load.step_seconds_median = finite(in.getStepSecondsMedian(), "a node's step time");
  load.wait_share = finite(in.getWaitShare(), "a node's share of waiting");
  load.tokens_per_second = finite(in.getTokensPerSecond(), "a node's token rate");
  load.request_seconds_median = finite(in.getRequestSecondsMedian(), "a node's request time");
  load.kv_pages_cached = in.getKvPagesCached();
  load.prefix_tokens_queried = in.getPrefixTokensQueried();
  load.prefix_tokens_hit = in.getPrefixTokensHit();
  load.kv_bytes = in.getKvBytes();
  load.replicas = read_list(in.getReplicas());
  load.draft_tokens = in.getDraftTokens();
  load.draft_tokens_accepted = in.getDraftTokensAccepted();
  load.connections_refused = in.getConnectionsRefused();
  load.calls_denied = in.getCallsDenied();
  return load;
}

void write(schema::ReplicaMetrics::Builder out, const ReplicaMetrics& value) {
  out.setReplica(value.replica.value);
  out.setEpoch(value.epoch.value);
  out.setSteps(value.steps);
  out.setRows(value.rows);
  out.setTokens(value.tokens);
  out.setSeconds(value.seconds);
  out.setStepSecondsMedian(value.step_seconds_median);
  out.setStepSecondsP99(value.step_seconds_p99);
  out.setWaitShare(value.wait_share);
  out.setLeaseShare(value.lease_share);
}

ReplicaMetrics read(schema::ReplicaMetrics::Reader in) {
  ReplicaMetrics metrics;
  metrics.replica = {in.getReplica()};
  metrics.epoch = {in.getEpoch()};
  metrics.steps = in.getSteps();
  metrics.rows = in.getRows();
  metrics.tokens = in.getTokens();
  metrics.seconds = finite(in.getSeconds(), "a report's time");
  metrics.step_seconds_median = finite(in.getStepSecondsMedian(), "a replica's median step time");
  metrics.step_seconds_p99 = finite(in.getStepSecondsP99(), "a replica's slowest step time");
  metrics.wait_share = finite(in.getWaitShare(), "a replica's share of waiting");
  metrics.lease_share = finite(in.getLeaseShare(), "a replica's share of waiting for its lease");
  return metrics;
}

void write_keys(capnp::List<capnp::Data>::Builder out, const EpochKeys& value) {
  constexpr PairKey none{};
  for (unsigned i = 0; i < out.size(); ++i) {
    if (value.keys[i] != none) out.set(i, {value.keys[i].data(), value.keys[i].size()});
  }
}

EpochKeys read_keys(capnp::List<capnp::Data>::Reader in) {
  check_length(in.size());
  EpochKeys keys;
  for (const capnp::Data::Reader key : in) {
    PairKey& pair = keys.keys.emplace_back();
    if (key.size() == 0) continue;
    if (key.size() != pair.size()) malformed("a pair key has " + std::to_string(key.size()) + " bytes");
    std::copy(key.begin(), key.end(), pair.begin());
  }
  return keys;
}

}  // namespace tessera::wire
