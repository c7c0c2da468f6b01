// Conductor: the actor beside a replica's root shard that speaks with frontends. The conducting itself (batching,
// stepping, sampling) runs on the executor's thread; this actor brings it streams and takes its tokens to the sinks.
#include <unordered_map>
#include <utility>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/messages.hpp"
#include "actors/node_replica.hpp"

namespace tessera {

namespace {

struct ConductorState {
  std::shared_ptr<NodeReplica> replica;
  std::unordered_map<StreamId, UpdateSink> sinks;
};

void deliver(ConductorState& state, const std::vector<StreamUpdate>& updates) {
  for (const StreamUpdate& update : updates) {
    const auto found = state.sinks.find(update.id);
    if (found == state.sinks.end()) continue;
    found->second.send(update);
    if (update.finished || update.failed || update.moved) state.sinks.erase(found);
  }
}

void open_stream(ConductorState& state, const OpenStream& message) {
  // Before submit(): updates may come at once.
  const auto previous = state.sinks.find(message.request.id);
  const bool known = previous != state.sinks.end();
  const UpdateSink before = known ? previous->second : UpdateSink();
  state.sinks[message.request.id] = message.sink;
  Result<void> result = state.replica->executor().submit(message.request);
  if (!result) {
    state.sinks.erase(message.request.id);
    if (known) state.sinks[message.request.id] = before;
  }
  (*message.reply)(std::move(result));
}

caf::behavior conductor_behavior(caf::stateful_actor<ConductorState>* self, std::shared_ptr<NodeReplica> replica) {
  self->state.replica = std::move(replica);
  return {
      [self](const OpenStream& message) { open_stream(self->state, message); },
      [self](const StreamUpdates& message) { deliver(self->state, message.updates); },
      [self](const CancelStream& message) {
        self->state.sinks.erase(message.stream);
        self->state.replica->executor().cancel(message.stream);
      },
      [self](const FrontendGone& message) {
        const auto found = self->state.sinks.find(message.stream);
        if (found == self->state.sinks.end() || found->second.id() != message.sink) return;
        self->state.sinks.erase(found);
        self->state.replica->executor().detach(message.stream);
      },
  };
}

}  // namespace

caf::actor spawn_conductor(caf::actor_system& system, std::shared_ptr<NodeReplica> replica) {
  return system.spawn(conductor_behavior, std::move(replica));
}

}  // namespace tessera
