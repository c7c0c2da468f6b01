#include "actors/coordinator.hpp"

#include <map>
#include <utility>
#include <variant>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/coordinator_state.hpp"
#include "actors/messages.hpp"
#include "cluster/rpc/encoding.hpp"

namespace tessera {

namespace {

using Self = caf::stateful_actor<CoordinatorActorState>;

caf::behavior coordinator_behavior(Self* self, CoordinatorParts parts, StoredState stored) {
  CoordinatorActorState& state = self->state;
  state.start(self, std::move(parts), std::move(stored));
  self->delayed_send(self, state.tick_interval(), TimePasses{});
  caf::message_handler nodes{
      [self](const RegisterNode& message) { self->state.register_node(message); },
      [self](const Heartbeat& message) { self->state.heartbeat(message); },
      [self](const CoordinatorEvent& message) { self->state.step(message.input); },
      [self](const StoreCommitted& message) { self->state.committed(message.result); },
      [self](TimePasses) {
        self->state.time_passes();
        self->delayed_send(self, self->state.tick_interval(), TimePasses{});
      },
  };
  caf::message_handler requests{
      [self](const AskStatus& message) { self->state.status(message); },
      [self](const AskLocation& message) { self->state.locate(message); },
      [self](const AskDeploy& message) { self->state.deploy(message); },
      [self](const DeployFacts& message) { self->state.deploy_facts(message); },
      [self](const AskUndeploy& message) { self->state.undeploy(message); },
      [self](const AskDrain& message) { self->state.drain(message); },
      [self](const AskStop& message) { self->state.stop_node(message); },
      [self](const AskToken& message) { self->state.create_token(message); },
      [self](const AskJoin& message) { self->state.join(message); },
      [self](const AskLog& message) { self->state.read_log(message); },
  };
  caf::message_handler jobs{
      [self](const AskJob& message) { self->state.submit_job(message); },
      [self](const AskJobs& message) { self->state.list_jobs(message); },
      [self](const AskJobWatch& message) { self->state.watch_job(message); },
      [self](const AskJobCancel& message) { self->state.cancel_job(message); },
      [self](const AskJobReport& message) { self->state.report_job(message); },
  };
  return nodes.or_else(requests).or_else(jobs);
}

Result<StoredState> read_store(Store& store) {
  StoredState state;
  for (const char* const prefix : {"nodes/", "deployments/", "replicas/", "jobs/", "counters"}) {
    TESSERA_TRY(const auto entries, store.list(prefix));
    for (const StoreEntry& entry : entries) {
      TESSERA_TRY(auto record, decode_record(entry.value, entry.key));
      state.add(std::move(record));
    }
  }
  return state;
}

}  // namespace

Result<caf::actor> spawn_coordinator(caf::actor_system& system, const CoordinatorParts& parts) {
  TESSERA_TRY(auto stored, read_store(*parts.store));
  return caf::actor(system.spawn(coordinator_behavior, parts, std::move(stored)));
}

}  // namespace tessera
