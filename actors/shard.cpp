// Shard: the actor that commands one replica's executor on this node, and answers for it.
#include <map>
#include <utility>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/messages.hpp"
#include "actors/node_replica.hpp"

namespace tessera {

namespace {

struct ShardState {
  std::shared_ptr<NodeReplica> replica;
  std::map<Epoch, ReplyBox<void>> preparing;
};

caf::behavior shard_behavior(caf::stateful_actor<ShardState>* self, std::shared_ptr<NodeReplica> replica) {
  self->state.replica = std::move(replica);
  return {
      [self](const PrepareShard& message) {
        // The second answer to one epoch would never come: the first asker is told.
        auto& waiting = self->state.preparing[message.plan.epoch];
        if (waiting) {
          (*message.reply)(Error{ErrorCode::conflict, "this epoch is being prepared already"});
          return;
        }
        waiting = message.reply;
        self->state.replica->executor().prepare(message.plan, message.keys);
      },
      [self](const ShardPrepared& message) {
        const auto found = self->state.preparing.find(message.epoch);
        if (found == self->state.preparing.end()) return;
        (*found->second)(message.result);
        self->state.preparing.erase(found);
      },
      [self](const ActivateShard& message) {
        (*message.reply)(self->state.replica->executor().activate(message.term, message.epoch, message.incarnation));
      },
      [self](const HandOverShard& message) {
        (*message.reply)(
            self->state.replica->executor().hand_over(message.term, message.from, message.into, message.incarnation));
      },
      [self](const RetireShard& message) {
        (*message.reply)(self->state.replica->executor().retire(message.term, message.epoch));
      },
  };
}

}  // namespace

caf::actor spawn_shard(caf::actor_system& system, std::shared_ptr<NodeReplica> replica) {
  return system.spawn(shard_behavior, std::move(replica));
}

}  // namespace tessera
