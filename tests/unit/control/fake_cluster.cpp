#include "tests/unit/control/fake_cluster.hpp"

#include <algorithm>

#include <boost/test/unit_test.hpp>

#include "runtime/base/ensure.hpp"

namespace tessera::test {

namespace {

template <typename T>
const T* as(const CoordinatorOutput& output) {
  return std::get_if<T>(&output);
}

template <typename T>
std::optional<Error> error_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error());
}

}  // namespace

ModelFacts small_model() {
  ModelFacts facts;
  facts.shape.dim = 64;
  facts.shape.layers = 4;
  facts.shape.heads = 8;
  facts.shape.kv_heads = 4;
  facts.shape.head_dim = 16;
  facts.shape.ffn_dim = 256;
  facts.shape.vocab_size = 2048;
  facts.shape.context_length = 128;
  facts.geometry = SliceGeometry::of(facts.shape);
  facts.name = "small";
  facts.uri = "file:///small.h5";
  facts.content_id = "c0";
  return facts;
}

ShardMemory small_memory(const ModelFacts& facts, const ShardAssignment& assignment,
                         const ShardMemoryOptions& options) {
  const ShardSlices& slices = assignment.slices();
  const std::uint64_t layers = assignment.layers.count();
  ShardMemory memory;
  memory.weight_bytes = 10 * layers * (slices.attention.count() + slices.ffn.count());
  memory.kv_bytes = layers * slices.kv_heads(facts.shape, facts.geometry).count() * options.kv_pages;
  memory.buffer_bytes = 5;
  return memory;
}

CoordinatorOptions small_options() {
  CoordinatorOptions options;
  options.memory = small_memory;
  return options;
}

FakeCluster::FakeCluster(CoordinatorOptions with) : options(std::move(with)), core(options, term) {}

void FakeCluster::send(const CoordinatorInput& input) {
  last.clear();
  carry_out(core.step(now, input));
}

void FakeCluster::carry_out(CoordinatorOutputs outputs) {
  for (const CoordinatorOutput& output : outputs) {
    check(output);
    apply(output);
    observe(output);
    last.push_back(output);
  }
}

void FakeCluster::pass(std::chrono::milliseconds time) {
  CoordinatorOutputs all;
  const TimePoint end = now + time;
  while (now < end) {
    now = std::min(end, now + std::chrono::milliseconds(50));
    for (const auto& [name, node] : nodes) {
      if (!node.alive || node.frozen || node.connection.value == 0) continue;
      send(NodeBeat{node.connection, {}});
      all.insert(all.end(), last.begin(), last.end());
    }
    send(Tick{});
    all.insert(all.end(), last.begin(), last.end());
  }
  last = std::move(all);
}

void FakeCluster::restart() {
  term.value += 1;
  told_.clear();
  asked = answered;  // the answers of the old one never come
  for (auto& [name, node] : nodes) node.connection = {};
  core = CoordinatorCore(options, term);
  StoredState state;
  for (const auto& [key, record] : store) state.add(record);
  last.clear();
  carry_out(core.recover(now, std::move(state)));
}

FakeNode& FakeCluster::start(const std::string& name, double speed, std::uint64_t memory) {
  FakeNode& node = nodes[name];
  node = {};
  node.info.name = name;
  node.info.incarnation.value = ++last_process_;
  node.info.rpc = {name, 1};
  node.info.data = {name, 2};
  node.info.speed = speed;
  node.info.memory_bytes = memory;
  node.info.profile = options.profile;
  node.alive = true;
  reconnect(name);
  return node;
}

void FakeCluster::reconnect(const std::string& name) {
  FakeNode& node = nodes.at(name);
  node.connection.value = ++last_connection_;
  told_.insert(node.connection);
  NodeRegistered registered{node.connection, node.info, {}};
  for (const auto& [key, held] : node.held) registered.held.push_back(held);
  send(registered);
}

void FakeCluster::cut(const std::string& name) {
  FakeNode& node = nodes.at(name);
  const ConnectionId connection = std::exchange(node.connection, {});
  told_.erase(connection);
  send(NodeDisconnected{connection});
}

void FakeCluster::kill(const std::string& name) {
  FakeNode& node = nodes.at(name);
  node.alive = false;
  node.held.clear();
  cut(name);
}

NodeId FakeCluster::id_of(const std::string& name) const {
  const auto record = store.find(node_key(name));
  return record == store.end() ? NodeId{} : std::get<NodeRecord>(record->second).node;
}

RequestToken FakeCluster::ask() {
  const RequestToken token{++last_token_};
  asked.insert(token);
  return token;
}

RequestToken FakeCluster::deploy(DeploySpec spec, ModelFacts facts) {
  const RequestToken token = ask();
  if (spec.uri.empty()) spec.uri = facts.uri;
  send(DeployRequested{token, spec, facts});
  return token;
}

RequestToken FakeCluster::undeploy(const std::string& name) {
  const RequestToken token = ask();
  send(UndeployRequested{token, name});
  return token;
}

RequestToken FakeCluster::drain(const std::string& name) {
  const RequestToken token = ask();
  send(DrainRequested{token, name});
  return token;
}

ReplicaStatus FakeCluster::replica(const std::string& deployment) const {
  const std::size_t slash = deployment.find('/');
  const auto status = core.deployment(deployment.substr(0, slash));
  BOOST_REQUIRE_MESSAGE(bool(status), deployment + " is not deployed");
  const std::size_t number = slash == std::string::npos ? 1 : std::stoul(deployment.substr(slash + 1));
  return number == 1 ? status->replica : status->others.at(number - 2);
}

void FakeCluster::prepared(const std::string& name, const std::string& deployment, Result<void> result) {
  const ReplicaStatus status = replica(deployment);
  BOOST_REQUIRE(status.pending.has_value());
  const Epoch epoch = status.pending->epoch;
  reply(id_of(name), {nodes.at(name).connection, status.replica, epoch, result});
}

void FakeCluster::reply(NodeId node, const EpochPrepared& answer) {
  if (answer.result) prepared_[answer.replica].insert({answer.epoch, node});
  send(answer);
}

void FakeCluster::all_prepared(const std::string& deployment) {
  CoordinatorOutputs all;
  const auto plan = replica(deployment).pending;
  BOOST_REQUIRE_MESSAGE(plan.has_value(), deployment + " has no pending epoch");
  for (const Participant& participant : plan->participants) {
    prepared(participant.name, deployment);
    all.insert(all.end(), last.begin(), last.end());
  }
  last = std::move(all);
}

void FakeCluster::activate(const std::string& deployment) {
  const ReplicaStatus status = replica(deployment);
  BOOST_REQUIRE(status.state == ReplicaState::switching);
  const EpochPlan plan = *status.pending;
  begin(plan, conductors_.at(plan.replica).incarnation);
  send(EpochActivated{by_id(plan.root_node())->connection, plan.replica, plan.epoch,
                      conductors_.at(plan.replica).incarnation});
}

void FakeCluster::begin(const EpochPlan& plan, ConductorIncarnation incarnation) {
  for (std::uint32_t rank = 0; rank < plan.ranks(); ++rank) {
    auto& all_held = nodes.at(plan.participants[rank].name).held;
    for (auto& [key, held] : all_held) {
      if (key.first == plan.replica && key.second < plan.epoch) held.active = held.conducts = false;
    }
    HeldEpoch& held = all_held.at({plan.replica, plan.epoch});
    held.active = true;
    held.conducts = rank == plan.root();
    if (held.conducts) held.incarnation = incarnation;
  }
}

void FakeCluster::broken(const std::string& name, const std::string& deployment, Epoch epoch,
                         const std::string& reason) {
  send(EpochBroken{nodes.at(name).connection, replica(deployment).replica, epoch, reason});
}

void FakeCluster::damaged(const std::string& name, const std::string& deployment, Epoch epoch,
                          const std::string& reason) {
  send(CopyDamaged{nodes.at(name).connection, replica(deployment).replica, epoch, reason});
}

void FakeCluster::settle() {
  CoordinatorOutputs all;
  for (bool moved = true; moved;) {
    moved = false;
    for (const DeploymentStatus& deployment : core.status(now).deployments) {
      for (std::size_t number = 1; number <= deployment.others.size() + 1; ++number) {
        const std::string name = deployment.spec.name + "/" + std::to_string(number);
        if (replica(name).state == ReplicaState::preparing) {
          all_prepared(name);
        } else if (replica(name).state == ReplicaState::switching) {
          activate(name);
        } else {
          continue;
        }
        moved = true;
        all.insert(all.end(), last.begin(), last.end());
      }
    }
  }
  last = std::move(all);
}

void FakeCluster::apply(const CoordinatorOutput& output) {
  if (const auto* persist = as<Persist>(output)) {
    store[key_of(persist->record)] = persist->record;
  } else if (const auto* erase = as<Erase>(output)) {
    store.erase(erase->key);
  } else if (const auto* drop = as<DropNode>(output)) {
    told_.erase(drop->to);
    for (auto& [name, node] : nodes) {
      if (node.connection == drop->to) node.connection = {};
    }
  } else if (const auto* prepare = as<PrepareEpoch>(output)) {
    for (const Participant& participant : prepare->plan.participants) {
      HeldEpoch& held = nodes.at(participant.name).held[{prepare->plan.replica, prepare->plan.epoch}];
      held.replica = prepare->plan.replica;
      held.epoch = prepare->plan.epoch;
    }
  } else if (const auto* retire = as<RetireEpoch>(output)) {
    if (FakeNode* node = by_id(retire->node)) node->held.erase({retire->replica, retire->epoch});
  }
}

FakeNode* FakeCluster::by_id(NodeId id) {
  for (auto& [name, node] : nodes) {
    if (id_of(name) == id) return &node;
  }
  return nullptr;
}

const ReplicaRecord& FakeCluster::stored(ReplicaId replica) const {
  const auto record = store.find(replica_key(replica));
  BOOST_REQUIRE_MESSAGE(record != store.end(), "a command came before its record");
  return std::get<ReplicaRecord>(record->second);
}

// ── The rules ────────────────────────────────────────────────────────────────────────────────────────────────────────

void FakeCluster::expect_reachable(ConnectionId to) const {
  BOOST_REQUIRE_MESSAGE(told_.contains(to), "an output to a connection that is gone");
}

void FakeCluster::check_prepare(const PrepareEpoch& prepare) {
  const EpochPlan& plan = prepare.plan;
  BOOST_REQUIRE_MESSAGE(plan.epoch > last_epoch_[plan.replica], "an epoch did not rise");
  last_epoch_[plan.replica] = plan.epoch;
  BOOST_REQUIRE(plan.term == term);
  const ModelFacts facts = small_model();
  const auto valid = validate(plan, facts.shape, facts.geometry);
  BOOST_REQUIRE_MESSAGE(bool(valid), valid.error().message);
  BOOST_REQUIRE_EQUAL(prepare.to.size(), plan.participants.size());
  for (std::size_t i = 0; i < prepare.to.size(); ++i) {
    expect_reachable(prepare.to[i]);
    FakeNode* node = by_id(plan.participants[i].node);
    BOOST_REQUIRE(node != nullptr && node->connection == prepare.to[i]);
  }
  const ReplicaRecord& record = stored(plan.replica);
  BOOST_REQUIRE(record.pending && record.pending->epoch == plan.epoch && record.last_epoch == plan.epoch);
  BOOST_REQUIRE(plan.check_first == !record.damaged.empty());
  for (const DamagedCopy& copy : record.damaged) {
    const auto index = plan.find(copy.node);
    BOOST_REQUIRE_MESSAGE(!index || index->value >= plan.ranks(), "a node with a damaged copy got a shard");
  }
  if (plan.previous.value == 0) {
    BOOST_REQUIRE_EQUAL(plan.participants.size(), plan.ranks());
    BOOST_REQUIRE(plan.previous_kv.empty());
    return;
  }
  BOOST_REQUIRE(record.serving && record.serving->epoch == plan.previous && !record.broken);
  for (std::uint32_t rank = 0; rank < record.serving->ranks(); ++rank) {
    BOOST_REQUIRE_MESSAGE(plan.find(record.serving->participants[rank].node), "an old member does not hand over");
  }
}

void FakeCluster::check_switch(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation, NodeId to,
                               ConnectionId over) {
  expect_reachable(over);
  BOOST_REQUIRE(by_id(to) != nullptr && by_id(to)->connection == over);
  const ReplicaRecord& record = stored(replica);
  BOOST_REQUIRE(record.pending && record.pending->epoch == epoch && record.switching);
  BOOST_REQUIRE(record.incarnation == incarnation);
  for (const Participant& participant : record.pending->participants) {
    BOOST_REQUIRE_MESSAGE(prepared_[replica].contains({epoch, participant.node}), "switched before all had prepared");
    BOOST_REQUIRE(by_id(participant.node)->connection.value != 0);
  }
  const FakeNode& root = *by_id(record.pending->root_node());
  Conductor& conductor = conductors_[replica];
  const bool same = conductor.node == record.pending->root_node() && conductor.process == root.info.incarnation;
  if (same) {
    BOOST_REQUIRE(incarnation == conductor.incarnation);
  } else {
    BOOST_REQUIRE_MESSAGE(incarnation > conductor.incarnation, "a new conductor with an old incarnation");
  }
  conductor = {incarnation, record.pending->root_node(), root.info.incarnation};
}

void FakeCluster::check(const CoordinatorOutput& output) {
  const auto answer = [this](RequestToken token, std::optional<Error> error) {
    BOOST_REQUIRE_MESSAGE(asked.contains(token), "an answer that nobody asked for");
    BOOST_REQUIRE_MESSAGE(answered.insert(token).second, "a request was answered twice");
    answers[token] = std::move(error);
  };
  if (const auto* prepare = as<PrepareEpoch>(output)) {
    check_prepare(*prepare);
  } else if (const auto* activation = as<ActivateEpoch>(output)) {
    BOOST_REQUIRE(activation->term == term);
    check_switch(activation->replica, activation->epoch, activation->incarnation, activation->node, activation->to);
    BOOST_REQUIRE(stored(activation->replica).pending->previous.value == 0);
  } else if (const auto* hand_over = as<HandOver>(output)) {
    BOOST_REQUIRE(hand_over->term == term);
    check_switch(hand_over->replica, hand_over->into, hand_over->incarnation, hand_over->node, hand_over->to);
    const ReplicaRecord& record = stored(hand_over->replica);
    BOOST_REQUIRE(record.serving && record.serving->epoch == hand_over->from && !record.broken);
    BOOST_REQUIRE(record.serving->root_node() == hand_over->node);
  } else if (const auto* retire = as<RetireEpoch>(output)) {
    expect_reachable(retire->to);
  } else if (const auto* run = as<RunJob>(output)) {
    expect_reachable(run->to);
  } else if (const auto* stop = as<StopJob>(output)) {
    expect_reachable(stop->to);
  } else if (const auto* deployed = as<DeployAnswered>(output)) {
    answer(deployed->token, error_of(deployed->result));
  } else if (const auto* plain = as<Answered>(output)) {
    answer(plain->token, error_of(plain->result));
  } else if (const auto* job = as<JobAnswered>(output)) {
    answer(job->token, error_of(job->result));
  } else if (const auto* persist = as<Persist>(output)) {
    const auto* record = std::get_if<JobRecord>(&persist->record);
    const auto before = record != nullptr ? store.find(job_key(record->job)) : store.end();
    BOOST_REQUIRE_MESSAGE(before == store.end() || !ended(std::get<JobRecord>(before->second).state),
                          "a job ended twice");
  }
}

}  // namespace tessera::test
