// Handshake: from a bare connection to a Link: hellos, keys, and both ends' proof that they have the pair's secret.
// Never blocks: whoever owns it polls fd() for events() and calls advance().
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/exchange/data_listener.hpp"
#include "cluster/exchange/hello.hpp"
#include "cluster/exchange/hello_reader.hpp"
#include "cluster/exchange/link.hpp"
#include "cluster/exchange/options.hpp"
#include "cluster/exchange/socket.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// What both directions need. `mine` has a fresh nonce.
struct HandshakeParts {
  Hello mine;
  PairKey secret{};
  std::string peer;  ///< its name, for messages
};

/// Confined to the connecting thread.
class Handshake {
 public:
  /// `socket` from start_dial.
  static Handshake dial(Socket socket, const HandshakeParts& parts);
  /// Answers a caller whose hello the listener has checked.
  static Handshake answer(IncomingCall caller, const HandshakeParts& parts);
  ~Handshake();
  Handshake(Handshake&&) noexcept = default;
  Handshake& operator=(Handshake&&) noexcept = default;

  int fd() const { return link_ ? link_->fd() : socket_.fd(); }
  /// The other host has not answered yet.
  bool reaching() const { return state_ == State::connecting; }
  /// What poll should wait for.
  short events() const;
  /// Does what can be done now; true when the link stands. Errors: `unsupported` (the peer refused this node's version,
  /// cluster or mode), `denied` (it has another secret), `unavailable` and `corrupt` (this connection is of no use;
  /// another one may be).
  Result<bool> advance();
  /// Once, after advance() said true.
  std::unique_ptr<Link> take_link() { return std::move(link_); }

 private:
  enum class State : std::uint8_t { connecting, greeting, proving, done, failed };
  explicit Handshake(const HandshakeParts& parts);
  Result<void> check_answer(const HelloMessage& message) const;
  void derive(bool dialer, std::span<const std::byte> dialer_hello, std::span<const std::byte> acceptor_hello);
  void queue_proof(const LinkProof& proof);
  Result<bool> read_proof();
  Result<void> send_greeting();
  Error error(ErrorCode code, const std::string& what) const;

  HandshakeParts parts_;
  State state_ = State::connecting;
  Socket socket_;
  std::vector<std::byte> greeting_;  ///< own hello
  std::size_t greeting_sent_ = 0;
  HelloReader reader_;
  LinkProof expected_{};
  std::unique_ptr<Link> link_;
};

}  // namespace tessera
