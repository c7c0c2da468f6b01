// Mesh: the connections between all participants of one epoch, as one of them sees it. A new epoch is a new mesh, with
// new connections, keys and buffers, so nothing of an old epoch can ever arrive in a new one.
//
//   Mesh mesh(listener, plan, self, keys, options);
//   TESSERA_CHECK(mesh.connect(deadline));            // on a preparing thread
//   … from here on the executor thread owns it:
//   TESSERA_CHECK(mesh.send_command(peer, step, encoder.encode(command)));
//   TESSERA_TRY(auto arrival, wait_any(meshes, wake_fd, deadline, options));
//   TESSERA_TRY(auto received, mesh.receive_command(arrival.from));
//
// What protects a frame: the pair's key of the epoch (from the coordinator) and both ends' nonces give each direction
// of each connection its own key; frames are sealed with counter nonces. An altered, replayed, reordered or foreign
// frame does not open, and breaks the mesh.
//
// Whoever waits to write also reads (into buffers up to backlog_bytes_max per link), so that two ends that send to each
// other never wait in a circle, as long as a receiver takes its commands between two sends of its own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <span>
#include <string>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/control/plan.hpp"
#include "cluster/exchange/data_listener.hpp"
#include "cluster/exchange/frame.hpp"
#include "cluster/exchange/options.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/collective.hpp"

namespace tessera {

class Link;

/// Bytes of one command (commands.hpp); larger ones are refused by the sender and break the mesh at the receiver.
inline constexpr std::size_t command_bytes_max = 64u << 20;
/// Sealed bytes that wait unread per link while this end is blocked in a send. Beyond it TCP holds the peer back.
inline constexpr std::size_t backlog_bytes_max = 64u << 20;

/// Since connect().
struct MeshCounters {
  std::uint64_t bytes_sent = 0;  ///< payload, without frame overhead
  std::uint64_t bytes_received = 0;
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_received = 0;
  double wait_seconds = 0;  ///< inside exchanges and sends, waiting for a peer
};

/// A command as it arrived. `bytes` is 8-byte aligned and valid until the next receive_command of this mesh.
struct ReceivedCommand {
  ConductorIncarnation incarnation;  ///< that the sender stamped on it
  std::uint64_t step = 0;
  std::span<const std::byte> bytes;
};

/// A run of bytes to send, in pieces, to one participant.
struct OutgoingBytes {
  ParticipantIndex to;
  Segments segments;
};
/// Where the floats from one participant go.
struct IncomingFloats {
  ParticipantIndex from;
  std::span<float> values;
};

/// connect() runs on one thread; after it, everything but abort(), aborted() and failure() is confined to one thread.
/// Owned by whoever runs the epoch; everything passed by reference outlives it.
class Mesh {
 public:
  /// From here on callers of this epoch are expected. `keys` has one entry per participant.
  Mesh(DataListener& listener, const EpochPlan& plan, ParticipantIndex self, const EpochKeys& keys,
       const ExchangeOptions& options);
  /// Closes all connections.
  ~Mesh();
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  /// Blocks until every pair with this participant is connected and has proved its keys: the higher index dials the
  /// lower, again and again until `deadline`. Errors: `timed_out` (names who is missing, and why as far as known),
  /// `unsupported` (a peer speaks another version, cluster or mode), `conflict` (this epoch has a mesh here already),
  /// or the reason of abort(). Called once.
  Result<void> connect(TimePoint deadline);

  /// Any thread. Everyone who waits in this mesh, and every later call, fails with this reason; peers see closed
  /// connections. The first reason stays.
  void abort(const std::string& reason);
  bool aborted() const { return aborted_.load(std::memory_order_acquire); }
  /// The reason, once aborted().
  std::optional<Error> failure() const;

  ReplicaId replica() const { return replica_; }
  Epoch epoch() const { return epoch_; }
  ParticipantIndex self() const { return self_; }
  std::uint32_t participants() const { return static_cast<std::uint32_t>(peers_.size()); }
  /// For messages: "w3 (participant 2)".
  const std::string& name_of(ParticipantIndex participant) const;

  /// Stamped on every frame that is sent, and demanded from every exchange frame that arrives. Set by begin or
  /// transfer.
  void set_incarnation(ConductorIncarnation incarnation) { incarnation_ = incarnation; }
  ConductorIncarnation incarnation() const { return incarnation_; }

  /// Blocks until the system has taken all bytes. Errors: `unavailable` names the participant whose connection is gone,
  /// `timed_out` after stall_seconds_max, `exhausted` for too many bytes.
  Result<void> send_command(ParticipantIndex to, std::uint64_t step, std::span<const std::byte> bytes);
  /// Blocks until the whole command is here. Errors: `unavailable` (connection gone; the link is then closed for good
  /// and wait_any does not report it again), `corrupt` (the mesh is aborted), `timed_out` in the middle of a command.
  Result<ReceivedCommand> receive_command(ParticipantIndex from);

  /// Sends and receives at once; returns when everything is sent and received. At most one entry per participant in
  /// each list, none for self. A frame that is not of this exchange aborts the mesh (`corrupt`, names both).
  Result<void> exchange(ExchangeTag tag, std::span<const OutgoingBytes> outgoing,
                        std::span<const IncomingFloats> incoming);

  /// To a rank that computes only the root sends commands; what comes from the others belongs to an exchange, and may
  /// come before the command that starts it. From here on wait_any leaves their frames alone and reports only the end
  /// of their connections.
  void take_commands_only_from(ParticipantIndex commander) { commander_ = commander; }

  /// Closes the link to a participant that has nothing more to say (a donor). Its peer sees a closed connection.
  void close(ParticipantIndex participant);
  bool connected(ParticipantIndex participant) const;

  const MeshCounters& counters() const { return counters_; }

 private:
  friend class MeshConnector;
  friend class MeshWait;
  struct Peer {
    std::string name;
    Endpoint endpoint;
    std::unique_ptr<Link> link;  ///< null for self, before connect(), and when it was closed
  };
  struct Transfer;

  Error fail(Error error);
  Result<Link*> link_to(ParticipantIndex participant);
  FrameHeader header(FrameKind kind, std::uint64_t step) const;
  Result<void> pump(Transfer& transfer);
  Result<bool> push(Transfer& transfer);
  Result<bool> pull(Transfer& transfer);
  bool read_ahead(const Transfer& transfer);
  void block(const Transfer& transfer, double seconds);
  Result<void> look_for_cuts() const;
  Error stalled(const Transfer& transfer) const;
  Result<bool> take_command_frame(Link& link, ReceivedCommand& command, std::size_t& got);

  ExchangeOptions options_;
  DataListener& listener_;
  ReplicaId replica_;
  Epoch epoch_;
  ParticipantIndex self_;
  EpochKeys keys_;
  std::vector<Peer> peers_;
  std::unique_ptr<DataListener::Expectation> expectation_;
  std::optional<Error> expectation_error_;
  ConductorIncarnation incarnation_;
  MeshCounters counters_;
  std::unique_ptr<Transfer> transfer_;           ///< reused, so that an exchange allocates nothing
  std::vector<std::uint64_t> command_;           ///< bytes of the last received command
  std::vector<pollfd> poll_set_;                 ///< reused
  std::uint32_t peer_turn_ = 0, mesh_turn_ = 0;  ///< where wait_any begins to look
  EventFd abort_event_;
  std::optional<ParticipantIndex> commander_;
  std::atomic<bool> aborted_{false};
  mutable std::mutex mutex_;  ///< guards failure_, and Peer::link against abort()
  std::optional<Error> failure_;
};

/// What wait_any saw.
struct Arrival {
  enum class Kind : std::uint8_t {
    command,    ///< `mesh` has bytes, or a closed connection, from `from`: call receive_command
    aborted,    ///< `mesh` was aborted
    woken,      ///< wake_fd is readable; wait_any does not read it
    timed_out,  ///< the deadline passed
  };
  Kind kind = Kind::timed_out;
  Mesh* mesh = nullptr;
  ParticipantIndex from;
};

/// Waits for a command on any of the meshes (connected, used by this thread), for wake_fd (-1: none), or the deadline.
/// Serves meshes and participants in turns. No thread is busy for longer than a spin (options.wait).
Arrival wait_any(std::span<Mesh* const> meshes, int wake_fd, std::optional<TimePoint> deadline,
                 const ExchangeOptions& options);

}  // namespace tessera
