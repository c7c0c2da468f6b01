// Checkpoints whose bytes are wrong: whom they exclude, and when a replica gives up.
#include <algorithm>
#include <utility>

#include "cluster/control/coordinator_state.hpp"

namespace tessera {

bool CoordinatorState::Replica::damaged_at(NodeId node) const {
  return std::any_of(record.damaged.begin(), record.damaged.end(),
                     [node](const DamagedCopy& copy) { return copy.node == node; });
}

void CoordinatorState::on(const CopyDamaged& input) {
  Node* const node = find_node(input.from);
  Replica* const replica = find_replica(input.replica);
  if (node == nullptr || replica == nullptr || replica->damaged_at(node->record.node)) return;
  ReplicaRecord& record = replica->record;
  const NodeId id = node->record.node;
  const auto place = std::find_if(record.damaged.begin(), record.damaged.end(),
                                  [id](const DamagedCopy& copy) { return copy.node > id; });
  record.damaged.insert(place, {id, node->record.info.incarnation, input.reason});
  log(EventLevel::warning, title(record, input.epoch) + ": the copy that " + name_of(id) + " reads is damaged, so " +
                               name_of(id) + " gets no shard of it: " + input.reason);
  persist(*replica);
  // The others may read the same file, so they check before they serve.
  if (record.pending && !record.pending->check_first) drop_pending(*replica);
  if (record.pending && has_rank(*record.pending, id)) drop_pending(*replica);
  // What it computed is wrong; so are the KV pages that a later epoch took over from one in which it took part.
  const bool computed = record.serving && input.epoch <= record.serving->epoch &&
                        (has_rank(*record.serving, id) || record.serving->previous.value != 0);
  if (computed) serving_broke(*replica);
  replica->message = name_of(id) + " reads a damaged copy: " + input.reason;
  replica->due = true;
  replica->not_before = now_;
}

void CoordinatorState::trust_again(NodeId node) {
  for (auto& [id, replica] : replicas_) {
    const auto copies = std::erase_if(replica.record.damaged, [node](const auto& copy) { return copy.node == node; });
    if (copies != 0) persist(replica);
  }
}

void CoordinatorState::fail_for_damage(Replica& replica, const std::string& rest) {
  const ReplicaRecord& record = replica.record;
  const DamagedCopy& first = record.damaged.front();
  std::string message = name_of(first.node) + " reads a damaged copy: " + first.reason;
  if (record.damaged.size() > 1) message += " (and " + std::to_string(record.damaged.size() - 1) + " more nodes)";
  message += "; nobody else can serve it (" + rest +
             "). Bring the file back, then undeploy and deploy it again, or start the nodes again";
  if (replica.failed && replica.message == message) return;
  replica.message = std::move(message);
  log(EventLevel::warning, "'" + record.deployment + "' has failed: " + replica.message);
  replica.waits = true;
  if (std::exchange(replica.failed, true)) return;
  leave_all(replica);
  persist(replica);
  retire_past(replica);
}

}  // namespace tessera
