#include <algorithm>
#include <cmath>
#include <utility>

#include "cluster/control/coordinator_state.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

constexpr std::size_t node_name_bytes_max = 64;

bool good_name(const std::string& name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  return !name.empty() && name.size() <= node_name_bytes_max && std::all_of(name.begin(), name.end(), good);
}

}  // namespace

Result<void> CoordinatorState::check_registration(const NodeInfo& info) const {
  if (!good_name(info.name)) {
    return Error{ErrorCode::invalid_argument, "'" + info.name.substr(0, node_name_bytes_max) +
                                                  "' is not a node's name: use 1 to 64 letters, digits, '-', '_', '.'"};
  }
  if (info.computes && info.profile != options_.profile) {
    return Error{ErrorCode::unsupported, "node " + info.name + " computes with the numeric profile '" + info.profile +
                                             "' and this cluster with '" + options_.profile +
                                             "', so its results would differ: install the same version there"};
  }
  if (info.computes && !(std::isfinite(info.speed) && info.speed > 0)) {
    return Error{ErrorCode::invalid_argument,
                 "node " + info.name + " reports no speed; it must measure itself before it registers"};
  }
  // A gateway's certificate must not be enough to put a worker of the same name out.
  const Node* const known = find_node(info.name);
  if (!info.computes && known != nullptr && known->connection && known->record.info.computes) {
    return Error{ErrorCode::conflict,
                 "node " + info.name + " computes and is connected; give what does not compute another name"};
  }
  if (!node_names_.contains(info.name) && nodes_.size() >= nodes_known_max) {
    return Error{ErrorCode::exhausted, "this cluster knows " + std::to_string(nodes_known_max) +
                                           " nodes, the most that it takes; start " + info.name +
                                           " under the name of one that is gone"};
  }
  return {};
}

CoordinatorState::Node& CoordinatorState::enter(const NodeRegistered& input) {
  const auto known = node_names_.find(input.info.name);
  if (known == node_names_.end()) {
    const NodeId id = counters_.next_node;
    counters_.next_node.value += 1;
    emit(Persist{counters_});
    node_names_[input.info.name] = id;
    nodes_[id].record.node = id;
  } else {
    Node& node = nodes_.at(known->second);
    const bool same_process = node.record.info.incarnation == input.info.incarnation;
    if (node.connection) {
      const ConnectionId old = *node.connection;
      lose(node, same_process ? "it registered again" : "a newer process has its name");
      if (old != input.from) {
        emit(DropNode{old, "node " + input.info.name + " registered again over another connection", same_process});
      }
    }
    if (!same_process) {
      mark_draining(node, false);
      for (auto& [id, replica] : replicas_) replica.excluded.erase(node.record.node);
      trust_again(node.record.node);
    }
  }
  Node& node = nodes_.at(node_names_.at(input.info.name));
  bytes_of_plans_.clear();  // its processors may be others
  node.record.info = input.info;
  node.connection = input.from;
  node.load = {};
  connections_[input.from] = node.record.node;
  return node;
}

void CoordinatorState::on(const NodeRegistered& input) {
  if (const auto good = check_registration(input.info); !good) {
    log(EventLevel::warning, "a registration was refused: " + good.error().message);
    emit(RegistrationAnswered{input.from, good.error()});
    return;
  }
  if (Node* const other = find_node(input.from); other != nullptr && other->record.info.name != input.info.name) {
    emit(RegistrationAnswered{
        input.from, Error{ErrorCode::conflict, "this connection belongs to node " + other->record.info.name}});
    return;
  }
  Node& node = enter(input);
  const NodeId id = node.record.node;
  detector_.seen(now_, id);
  emit(Persist{node.record});
  Registration registration;
  registration.node = id;
  registration.term = term_;
  registration.heartbeat_interval =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.failure_detector.interval);
  emit(RegistrationAnswered{input.from, registration});
  log(EventLevel::info, "node " + input.info.name + " registered");
  settle_held(node, input.held);
  JobEffects effects;
  jobs_.worker_back(id, input.info.incarnation, effects);
  carry_out(effects);
  all_due();
  if (recovering_ &&
      std::all_of(nodes_.begin(), nodes_.end(), [](const auto& n) { return bool(n.second.connection); })) {
    end_recovery();
  }
}

void CoordinatorState::settle_held(const Node& node, const std::vector<HeldEpoch>& held) {
  const NodeId id = node.record.node;
  for (auto& [replica_id, replica] : replicas_) {
    if (replica.recovering) replica.held[id];
  }
  for (const HeldEpoch& one : held) {
    Replica* const replica = find_replica(one.replica);
    const bool stored = replica != nullptr && replica->recovering &&
                        ((replica->record.serving && replica->record.serving->epoch == one.epoch) ||
                         (replica->record.pending && replica->record.pending->epoch == one.epoch));
    if (stored) {
      replica->held[id].push_back(one);
    } else {
      retire(one.replica, {one.epoch, {id}});
    }
  }
  for (auto& [replica_id, replica] : replicas_) {
    if (replica.recovering) resolve(replica, false);
  }
}

void CoordinatorState::on(const NodeBeat& input) {
  Node* const node = find_node(input.from);
  if (node == nullptr) {
    emit(DropNode{input.from, "this connection is not registered (any more); register again", true});
    return;
  }
  detector_.seen(now_, node->record.node);
  node->load = input.load;
}

void CoordinatorState::on(const NodeDisconnected& input) {
  if (Node* const node = find_node(input.from)) lose(*node, "its connection closed");
}

void CoordinatorState::lose(Node& node, const std::string& why) {
  TESSERA_ENSURE(node.connection.has_value());
  const NodeId id = node.record.node;
  connections_.erase(*node.connection);
  node.connection.reset();
  detector_.forget(id);
  log(EventLevel::warning, "node " + node.record.info.name + " is lost: " + why);
  for (auto& [replica_id, replica] : replicas_) member_lost(replica, id);
  JobEffects effects;
  jobs_.worker_lost(id, effects);
  carry_out(effects);
}

void CoordinatorState::on(const DrainRequested& input) {
  const Node* const named = find_node(input.node);
  if (named == nullptr) {
    emit(Answered{input.token, Error{ErrorCode::not_found, "there is no node '" + input.node +
                                                               "' in this cluster; see the cluster's status"}});
    return;
  }
  Node& node = nodes_.at(named->record.node);
  if (!node.connection) {
    emit(Answered{input.token, Error{ErrorCode::unavailable, "node " + input.node + " is lost: nothing runs on it"}});
    return;
  }
  if (drains_.size() >= drain_requests_max) {
    emit(Answered{input.token, Error{ErrorCode::exhausted, "too many drain requests wait already; try again later"}});
    return;
  }
  if (!node.record.draining) {
    mark_draining(node, true);
    for (const auto& [id, replica] : replicas_) {
      if (!replica.record.serving || !has_rank(*replica.record.serving, node.record.node)) continue;
      const auto rest =
          choose_among(replica.record, &replica, deployments_.at(replica.record.deployment), Candidates::ready);
      if (rest) continue;
      mark_draining(node, false);
      emit(Answered{input.token, Error{rest.error().code, "node " + input.node + " cannot be drained: without it " +
                                                              rest.error().message}});
      return;
    }
    emit(Persist{node.record});
    log(EventLevel::info, "node " + input.node + " is being drained");
    all_due();
  }
  drains_.push_back({input.token, node.record.node});
}

void CoordinatorState::mark_draining(Node& node, bool draining) {
  node.record.draining = draining;
  if (draining) {
    draining_.insert(node.record.node);
  } else {
    draining_.erase(node.record.node);
  }
}

void CoordinatorState::end_drain(Node& node, const Error& why) {
  mark_draining(node, false);
  emit(Persist{node.record});
  log(EventLevel::warning, "node " + node.record.info.name + " is not drained: it is needed");
  std::erase_if(drains_, [&](const WaitingDrain& drain) {
    if (drain.node != node.record.node) return false;
    emit(Answered{drain.token, why});
    return true;
  });
  all_due();
}

void CoordinatorState::settle_drains() {
  // Of every node that is marked, asked for or not: the mark is stored, whoever asked may be gone with the predecessor.
  const std::set<NodeId> draining = draining_;
  for (const NodeId id : draining) {
    if (!used(id)) continue;
    if (const auto obstacle = drain_obstacle(id)) end_drain(nodes_.at(id), *obstacle);
  }
  std::erase_if(drains_, [&](const WaitingDrain& drain) {
    const Node& node = nodes_.at(drain.node);
    if (node.connection && !node.record.draining) {
      emit(Answered{drain.token, Error{ErrorCode::conflict, "node " + node.record.info.name +
                                                                " was started again while it was being drained"}});
      return true;
    }
    if (used(drain.node)) return false;
    emit(Answered{drain.token, Result<void>{}});
    log(EventLevel::info, "node " + node.record.info.name + " is drained");
    return true;
  });
}

std::optional<Error> CoordinatorState::drain_obstacle(NodeId node) const {
  for (const auto& [id, replica] : replicas_) {
    const ReplicaRecord& record = replica.record;
    if (!replica.healthy() || replica.due || record.pending || !has_rank(*record.serving, node)) continue;
    const auto rest = choose_among(record, &replica, deployments_.at(record.deployment), Candidates::ready);
    if (rest) continue;
    return Error{rest.error().code, "node " + name_of(node) + " cannot be drained: without it " + rest.error().message};
  }
  return std::nullopt;
}

bool CoordinatorState::used(NodeId node) const {
  return std::any_of(replicas_.begin(), replicas_.end(), [&](const auto& entry) {
    const Replica& replica = entry.second;
    const bool serves = replica.record.serving && has_rank(*replica.record.serving, node) && connected(node);
    return serves || (replica.record.pending && replica.record.pending->find(node));
  });
}

CoordinatorState::Node* CoordinatorState::find_node(ConnectionId connection) {
  const auto entry = connections_.find(connection);
  return entry == connections_.end() ? nullptr : &nodes_.at(entry->second);
}

const CoordinatorState::Node* CoordinatorState::find_node(const std::string& name) const {
  const auto entry = node_names_.find(name);
  return entry == node_names_.end() ? nullptr : &nodes_.at(entry->second);
}

bool CoordinatorState::connected(NodeId node) const {
  const auto entry = nodes_.find(node);
  return entry != nodes_.end() && entry->second.connection.has_value();
}

std::optional<NodeId> CoordinatorState::node_of(ConnectionId connection) const {
  const auto entry = connections_.find(connection);
  if (entry == connections_.end()) return std::nullopt;
  return entry->second;
}

}  // namespace tessera
