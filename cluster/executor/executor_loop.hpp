// ExecutorLoop: the executor's thread. It waits for orders (ExecutorBoard) and for commands on the meshes of all live
// epochs, one after the other, and never for anything else, except inside a step and inside a send.
//
// Phases of an epoch here:
//
//   prepared ── begin, or activate at the root ──► beginning (the root, until all acks) ──► running
//       └────── transfer, or hand_over ──────────► transferring (KV pages move)         ──► running
//   any ── a peer died, bytes were corrupt, a shard failed ──► broken          retired: gone
//
// executor_loop.cpp has orders, waiting and failure; executor_member.cpp what commands do; executor_root.cpp the
// conductor's side.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "cluster/executor/conductor.hpp"
#include "cluster/executor/epoch_preparer.hpp"
#include "cluster/executor/executor_board.hpp"
#include "cluster/executor/kv_transfer.hpp"
#include "cluster/executor/lease_keeper.hpp"
#include "cluster/executor/step_record.hpp"

namespace tessera {

/// Made, run and destroyed by the executor; everything in it is confined to the thread that calls run(). Everything
/// passed outlives it.
class ExecutorLoop {
 public:
  ExecutorLoop(const ExecutorParts& parts, ExecutorBoard& board, EpochPreparer& preparer, Conductor& conductor,
               StepRecord& record);
  ~ExecutorLoop();
  /// Until board.stop().
  void run();

 private:
  enum class Phase : std::uint8_t { prepared, beginning, transferring, running, broken };
  struct LiveEpoch {
    std::unique_ptr<EpochShard> shard;
    CommandLimits limits;
    Phase phase = Phase::prepared;
    bool began = false;
    ConductorIncarnation incarnation;
    std::uint64_t step = 0;
    std::vector<bool> ack_missing;         ///< per rank, at the root
    std::unique_ptr<KvTransfer> transfer;  ///< while pages move, and from the first piece that comes early
    Epoch transfer_from;
    Epoch number() const { return shard->epoch(); }
    Mesh& mesh() const { return shard->mesh(); }
  };
  /// A step that was planned and waits for the right to compute.
  struct PendingStep {
    StepPlan plan;
    std::uint64_t ticket;
    std::size_t leases = 0;  ///< granted, of the plan's lease_nodes
    TimePoint since;
  };

  // Orders and waiting.
  void take_orders();
  void on(ActivateOrder& order);
  void on(HandOverOrder& order);
  void on(RetireOrder& order);
  void on(PreparedOrder& order);
  /// Does a piece of what there is to do; false when there is nothing.
  bool work();
  void wait(bool busy);
  void deliver();

  // Epochs.
  LiveEpoch* find(Epoch epoch);
  LiveEpoch* find(const Mesh& mesh);
  /// The fence accepts the begin: older epochs are over here, and a conductor whose root is elsewhere now ends.
  Result<void> accept_begin(LiveEpoch& epoch, ConductorIncarnation incarnation, bool fenced);
  void break_epoch(LiveEpoch& epoch, const Error& seen);
  void lost_peer(LiveEpoch& epoch, ParticipantIndex from, const Error& error);
  void remove(Epoch epoch);
  void forget_older(Epoch keep);

  // Commands.
  void receive(LiveEpoch& epoch, ParticipantIndex from);
  Result<void> on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand& frame, StepCommand& command);
  Result<void> on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand& frame, BeginCommand& command);
  Result<void> on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand& frame, TransferCommand& command);
  Result<void> on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand& frame, KvPagesCommand& command);
  Result<void> on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand& frame, AckCommand& command);
  Result<void> on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand& frame, LeaseCommand& command);
  Result<void> send(LiveEpoch& epoch, ParticipantIndex to, const Command& command);
  Result<void> make_transfer(LiveEpoch& epoch);
  Result<void> start_moves(LiveEpoch& epoch, Epoch from, std::vector<PageId> pages);
  Result<void> move_pages(LiveEpoch& epoch);

  // The root.
  void conduct(Epoch epoch);
  void end_conductor();
  void await_acks(LiveEpoch& epoch);
  void check_activated(LiveEpoch& epoch);
  ConductorLimits conductor_limits(const LiveEpoch& epoch) const;
  bool step();
  void run_step(LiveEpoch& epoch, PendingStep pending);
  Result<void> broadcast(LiveEpoch& epoch, const StepPlan& plan);
  Result<void> request_lease(LiveEpoch& epoch);
  void lease_granted(LiveEpoch& epoch, ParticipantIndex from, std::uint64_t ticket);
  void pass_on_leases();
  void release_leases(LiveEpoch& epoch, std::uint64_t ticket, std::size_t count);
  /// The step that waits for its leases is not taken.
  void abandon_step();

  const ExecutorParts& parts_;
  ExecutorBoard& board_;
  EpochPreparer& preparer_;
  Conductor& conductor_;
  StepRecord& record_;
  LeaseKeeper leases_;
  CommandEncoder encoder_;
  std::map<Epoch, LiveEpoch> epochs_;
  std::vector<Mesh*> meshes_;
  Epoch current_;     ///< highest that began here
  Epoch conducting_;  ///< the conductor's, also when it is broken; 0: no conductor
  std::optional<PendingStep> pending_;
  std::uint64_t last_ticket_ = 0;
};

}  // namespace tessera
