// Acceptor: a TLS listener. It keeps strangers (connections that have not shown who they are) apart from members.
//
//   accept ─► stranger: TLS ─► welcome() makes its connection object ─► the object calls entered() ─► member
//                 │ deadline, garbage, too many strangers (of whoever has most of them, the oldest)
//                 └─► closed, counted, logged at most once a second
//
// One number names the stranger, its connection object in the loop, and its connection (ConnectionId).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <kj/async-io.h>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "cluster/rpc/connection.hpp"
#include "cluster/rpc/rpc_loop.hpp"
#include "cluster/rpc/rpc_server.hpp"
#include "cluster/rpc/tls.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/log_limit.hpp"

namespace tessera {

/// Written on the RPC thread, read by any.
struct RpcServer::Counters {
  std::atomic<std::uint64_t> accepted{0}, entered{0}, strangers{0}, refused{0}, denied_calls{0};
  ServerCounters read() const;
};

class Acceptor : public LoopObject, private kj::TaskSet::ErrorHandler {
 public:
  struct Options {
    Endpoint listen;
    std::unique_ptr<ServerTls> tls;
    std::chrono::milliseconds handshake_deadline{};
    std::string name;  ///< for the log
  };
  Acceptor(RpcLoop& loop, std::uint64_t id, Options options);
  ~Acceptor() noexcept(false) override;
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  /// Binds, then accepts. Resolves to the endpoint with the port that was bound; throws where it cannot.
  kj::Promise<Endpoint> open();
  const std::shared_ptr<RpcServer::Counters>& counters() { return counters_; }
  RpcLoop& loop() { return loop_; }
  const Endpoint& endpoint() const { return options_.listen; }

  // For connection objects:
  /// False, when there are too many members.
  bool entered(std::uint64_t connection);
  /// It told its peer why it may not enter; closed after a moment.
  void refused(std::uint64_t connection, const std::string& why);
  /// A member asked for what its role does not allow.
  void denied(const std::string& address, const std::string& why);
  /// The connection is over.
  void left(std::uint64_t connection);

 protected:
  std::uint64_t id() const { return id_; }
  /// Makes the object for a connection whose TLS handshake is done, and adds it to the loop.
  virtual void welcome(std::uint64_t connection, kj::AuthenticatedStream stream, std::string address) = 0;

 private:
  struct Stranger {
    std::string address;
    std::string host;        ///< its address without the port
    kj::Promise<void> work;  ///< TLS
    kj::Promise<void> deadline;
  };
  kj::Promise<void> accept_next();
  void receive(kj::AuthenticatedStream stream);
  /// Ends a stranger, if it still is one.
  void expel(std::uint64_t connection, const std::string& why);
  void drop(std::uint64_t connection);
  /// Closes one stranger, so that there is room for another.
  void make_room();
  void log_stranger(const std::string& address, const std::string& why);
  void taskFailed(kj::Exception&& exception) override;

  RpcLoop& loop_;
  const std::uint64_t id_;
  Options options_;
  std::shared_ptr<RpcServer::Counters> counters_ = std::make_shared<RpcServer::Counters>();
  kj::Own<kj::ConnectionReceiver> receiver_;
  std::map<std::uint64_t, Stranger> strangers_;  // oldest first
  std::set<std::uint64_t> members_;
  /// Each kind of line for itself, so that a flood of one does not hide another.
  LogLimit stranger_lines_, refusal_lines_, denial_lines_, accept_lines_;
  kj::TaskSet tasks_;
};

/// Adds `acceptor` to the loop and waits for it to listen; from any other thread. Returns its number and endpoint.
struct Listening {
  std::uint64_t object = 0;
  Endpoint endpoint;
  std::shared_ptr<const RpcServer::Counters> counters;
};
Result<Listening> open_acceptor(RpcThread& thread,
                                std::function<std::unique_ptr<Acceptor>(RpcLoop& loop, std::uint64_t id)> make);

}  // namespace tessera
