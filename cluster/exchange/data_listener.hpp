// DataListener: the door of one node's data plane. It accepts connections, reads who is calling, and hands the socket
// to the mesh that expects that caller.
//
//   TCP accept ──► half-open: must say hello within seconds ──► mesh of (replica, epoch, me) expects it: handed over
//                       │ garbage, too slow, too many                │ not yet: held for a while
//                       ▼                                            ▼ nobody came for it
//                     closed, counted, logged now and then         closed
//
// A hello is not proof of anything: the mesh makes the caller prove that it has the pair's key (handshake.hpp). So a
// stranger can at most take places that are limited here, and makes room first (most_crowded.hpp); whoever talks at
// once is not disturbed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/control/plan.hpp"
#include "cluster/exchange/hello.hpp"
#include "cluster/exchange/options.hpp"
#include "cluster/exchange/socket.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Connections that have not said hello yet. When one more comes, the oldest one of the address that has most of them
/// is closed.
inline constexpr std::size_t half_open_connections_max = 64;
inline constexpr double hello_seconds_max = 3;
/// Connections whose epoch is not being prepared here yet, in all and per caller. The oldest is closed.
inline constexpr std::size_t early_connections_max = 256;
inline constexpr std::size_t early_connections_per_caller_max = 2;
inline constexpr double early_seconds_max = 10;
/// Connections that one mesh has not taken yet. Further ones are closed.
inline constexpr std::size_t waiting_callers_max = 256;

/// Since the start of the listener.
struct ListenerCounters {
  std::uint64_t accepted = 0;
  std::uint64_t handed_over = 0;  ///< to a mesh
  std::uint64_t held_early = 0;   ///< came before their mesh
  std::uint64_t expired = 0;      ///< early ones whose mesh never came
  std::uint64_t malformed = 0;    ///< garbage, or closed by the caller in the middle of its hello
  std::uint64_t too_slow = 0;
  std::uint64_t refused = 0;  ///< other version, cluster or mode; told so
  std::uint64_t crowded_out = 0;
};

/// A connection whose hello fits this node's version, cluster and mode. Its caller is not authenticated.
struct IncomingCall {
  Socket socket;
  Hello hello;
  std::vector<std::byte> hello_bytes;
};

/// Which connections a mesh expects: those of one epoch to one participant.
struct CallKey {
  ReplicaId replica;
  Epoch epoch;
  ParticipantIndex to;
  auto operator<=>(const CallKey&) const = default;
};

/// Owned by the node, on no particular thread; has a thread of its own. Outlives every mesh that uses it.
class DataListener {
 public:
  /// Listens at `at` (port 0: the system chooses; see port()). `io` with the reason when the address cannot be bound.
  static Result<std::unique_ptr<DataListener>> start(const Endpoint& at, const ExchangeOptions& options);
  /// Closes everything that was not handed over and joins the thread.
  ~DataListener();
  DataListener(const DataListener&) = delete;
  DataListener& operator=(const DataListener&) = delete;

  std::uint16_t port() const;
  const ExchangeOptions& options() const;
  /// Any thread.
  ListenerCounters counters() const;

  /// Where the callers of one key arrive while this object lives; those that were held come first.
  class Expectation {
   public:
    ~Expectation();
    Expectation(const Expectation&) = delete;
    Expectation& operator=(const Expectation&) = delete;
    /// Readable (poll) when take() has something to give.
    int event_fd() const;
    std::vector<IncomingCall> take();

   private:
    friend class DataListener;
    Expectation() = default;
    DataListener* listener_ = nullptr;
    CallKey key_;
    struct Box;
    std::shared_ptr<Box> box_;
  };
  /// Any thread. `conflict` when this key is expected already.
  Result<std::unique_ptr<Expectation>> expect(const CallKey& key);

 private:
  class Loop;
  explicit DataListener(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace tessera
