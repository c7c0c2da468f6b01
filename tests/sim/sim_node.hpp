// SimNode: a worker's process: the production WorkerFence and ConductorCore, with hash shards and simulated time. It
// has no caution of its own: what the fence accepts, it does. Links to the coordinator and commands are in
// sim_node.cpp, shards and epochs in sim_epochs.cpp, steps and streams in sim_conductor.cpp, compute leases in
// sim_leases.cpp.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/control/worker_fence.hpp"
#include "runtime/batching/conductor_core.hpp"
#include "tests/sim/cluster.hpp"

namespace tessera::sim {

using LinkId = std::uint64_t;

struct BeginFrame {
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
  std::string root;
};
struct TransferFrame {
  ReplicaId replica;
  Epoch from, into;
  ConductorIncarnation incarnation;
  std::string sender, root;
  std::vector<SequenceState> sequences;
};
struct KvFrame {
  ReplicaId replica;
  Epoch epoch;
  KvPlace place;
  KvCells cells;
};
struct StepFrame {
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
  std::uint64_t number = 0;
  std::string root;
  StepPlan plan;
};
struct StepResult {
  ReplicaId replica;
  Epoch epoch;
  std::uint64_t number = 0;
  std::string from;
  std::vector<std::uint64_t> sums;
};

/// A conductor's place in the line for the right to compute on a node.
struct LeasePlace {
  ReplicaId replica;
  Epoch epoch;
  std::uint64_t ticket = 0;
  std::string root;
};

class SimNode final : public Process {
 public:
  SimNode(Cluster& cluster, const std::string& name, NodeIncarnation incarnation);
  void start();
  bool idle() const;
  /// Conducts a replica; `in_step`: whose members compute now.
  bool conducts(bool in_step) const;
  // Faults.
  void slow_down(double factor, Duration time);  ///< every step takes so much longer
  void stop_beats(Duration time);                ///< all else goes on
  void damage_copy();                            ///< of every checkpoint, until the process ends
  bool damaged() const { return damaged_; }
  /// Epochs whose shards are here.
  std::vector<std::pair<ReplicaId, Epoch>> shards() const;

  // From the coordinator, over a link.
  void on_registered(LinkId link, const Result<Registration>& result);
  void on_beat_answered(LinkId link);
  void on_prepare(LinkId link, const EpochPlan& plan);
  void on_activate(const ActivateEpoch& command);
  void on_hand_over(const HandOver& command);
  void on_retire(const RetireEpoch& command);
  void on_run_job(JobId job, std::uint32_t attempt);
  // From other nodes, as frames.
  void on_begin(const BeginFrame& frame);
  void on_transfer(const TransferFrame& frame);
  void on_kv(const KvFrame& frame);
  void on_ready(ReplicaId replica, Epoch epoch, const std::string& from);  ///< begun, and all pages are here
  void on_refused(ReplicaId replica, Epoch epoch, std::uint64_t step, const std::string& from);
  void on_step(const StepFrame& frame);
  void on_result(const StepResult& result);
  void on_peer_lost(const std::string& name);
  void on_lease_wanted(const LeasePlace& place);
  void on_lease_released(const LeasePlace& place);
  void on_lease_granted(const LeasePlace& place, const std::string& keeper);
  // From frontends, over a connection.
  void on_open(ConnectionEnd mine, const StreamLocation& location, const StreamRequest& request,
               const std::function<void(Result<void>)>& answer, std::function<void(StreamUpdate)> sink);
  void on_close(ConnectionEnd mine, const StreamId& stream, ReplicaId replica, bool cancel);

 private:
  struct Link {
    ConnectionEnd mine;
    std::weak_ptr<SimCoordinator> coordinator;
    ConnectionId id;  ///< as the coordinator numbers it
    bool registered = false;
    TimePoint last_answer;
  };
  struct Shard {
    EpochPlan plan;
    HashShard hash;
    std::set<KvPlace> missing;  ///< that the transfer brings
    std::string transfer_root;  ///< once a transfer has begun, until it was told that all is here
  };
  struct Sink {
    ConnectionEnd mine;
    std::function<void(StreamUpdate)> send;
  };
  struct Conductor {
    explicit Conductor(const ConductorLimits& limits) : core(limits) {}
    Epoch epoch;
    ConductorIncarnation incarnation;
    ConductorCore core;
    bool running = false;
    std::set<std::string> missing;  ///< who has not said that it is ready, or has not sent its result
    std::uint64_t number = 0;
    std::optional<StepPlan> plan;
    std::vector<std::string> keepers;  ///< of the leases that the plan needs
    std::size_t leases = 0;            ///< granted
    std::uint64_t ticket = 0;
    bool waits_for_lease = false;
    std::vector<std::uint64_t> sums;
    std::optional<HandOver> leaving;
    std::map<StreamId, Sink> sinks;
  };
  struct Slot {
    std::map<Epoch, Shard> shards;
    std::optional<Conductor> conductor;
  };

  void connect();
  void give_up(LinkId link);
  void beat();
  void report(LinkId link, const std::function<CoordinatorInput(ConnectionId)>& input);
  void report_broken(ReplicaId replica, Epoch epoch, const std::string& reason);
  std::vector<HeldEpoch> held() const;
  void command(Action action, double lateness = 1);
  void report_job(JobId job, std::uint32_t attempt);

  void prepare(LinkId link, const EpochPlan& plan);
  void activate(const ActivateEpoch& command);
  void hand_over(const HandOver& command);
  void retire(const RetireEpoch& command);
  void frame_to(const std::string& name, std::function<void(SimNode&)> event, std::size_t bytes = World::message_bytes);
  void report_damage(ReplicaId replica, Epoch epoch);
  void transfer(ReplicaId replica);
  void send_pages(ReplicaId replica, Shard& into, Epoch from);
  void say_ready(ReplicaId replica, Epoch epoch);
  Conductor& new_conductor(ReplicaId replica, const Shard& shard, ConductorIncarnation incarnation,
                           std::vector<SequenceState> sequences, bool kv_valid);
  void broken(ReplicaId replica, Epoch epoch, const std::string& reason);

  void sure_frame_to(const std::string& name, std::function<void(SimNode&)> event);
  void ask_lease(ReplicaId replica);
  void release_leases(ReplicaId replica, Conductor& conductor);
  /// The step that waits for its leases is not taken.
  void abandon_step(ReplicaId replica, Conductor& conductor);
  /// Of an epoch that is over here.
  void leave_line(ReplicaId replica, Epoch epoch);
  void leave_line_of(const std::string& root);
  void grant_first();

  void try_step(ReplicaId replica);
  void start_step(ReplicaId replica);
  void step_complete(ReplicaId replica);
  void flush(Conductor& conductor);
  void move_away(Conductor& conductor);
  void end_conductor(ReplicaId replica);
  void drop_detached_later(ReplicaId replica);
  void signs_of_life();

  Cluster& cluster_;
  NodeInfo info_;
  NodeId id_;
  WorkerFence fence_;
  std::map<LinkId, Link> links_;
  LinkId current_ = 0;  ///< 0: none
  LinkId next_link_ = 1;
  std::map<ReplicaId, Slot> slots_;
  std::deque<LeasePlace> line_;  ///< the first one may compute
  std::uint64_t tickets_ = 0;
  double slowness_ = 1;
  TimePoint slow_until_{}, silent_until_{};
  bool damaged_ = false;
  std::map<std::pair<JobId, std::uint32_t>, bool> jobs_;  ///< attempts; true: reported and answered
};

}  // namespace tessera::sim
