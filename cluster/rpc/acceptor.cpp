#include "cluster/rpc/acceptor.hpp"

#include <functional>
#include <future>
#include <utility>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/wire.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/log.hpp"

namespace tessera {
namespace {

/// Without file descriptors accepting fails at once, again and again.
constexpr std::chrono::milliseconds accept_retry{100};

Error cannot_listen(const Endpoint& endpoint, const kj::Exception& e) {
  return {ErrorCode::io, "cannot listen on " + to_string(endpoint) + ": " + e.getDescription().cStr() +
                             "; choose a free port and an address of this machine"};
}

}  // namespace

ServerCounters RpcServer::Counters::read() const {
  return {accepted.load(), entered.load(), strangers.load(), refused.load(), denied_calls.load()};
}

Acceptor::Acceptor(RpcLoop& loop, std::uint64_t id, Options options)
    : loop_(loop), id_(id), options_(std::move(options)), tasks_(*this) {}

Acceptor::~Acceptor() noexcept(false) {
  for (const auto& [connection, stranger] : strangers_) loop_.retire(connection);
  for (const std::uint64_t connection : members_) loop_.retire(connection);
}

kj::Promise<Endpoint> Acceptor::open() {
  return loop_.network()
      .parseAddress(wire::text(options_.listen.host), options_.listen.port)
      .then([this](auto&& address) {
        receiver_ = address->listen();
        tasks_.add(accept_next());
        return Endpoint{options_.listen.host, static_cast<std::uint16_t>(receiver_->getPort())};
      });
}

kj::Promise<void> Acceptor::accept_next() {
  return receiver_->acceptAuthenticated()
      .then([this](kj::AuthenticatedStream&& stream) -> kj::Promise<void> {
        receive(kj::mv(stream));
        return kj::READY_NOW;
      })
      .catch_([this](kj::Exception&& e) {
        log_warning(options_.name + " cannot accept a connection: " + e.getDescription().cStr());
        return loop_.timer().afterDelay(kj_duration(accept_retry));
      })
      .then([this] { return accept_next(); });
}

void Acceptor::receive(kj::AuthenticatedStream stream) {
  const std::uint64_t connection = loop_.next_id();
  ++counters_->accepted;
  if (strangers_.size() >= rpc_limits::strangers_max) {
    expel(strangers_.begin()->first, "too many connections at once have not said who they are");
  }
  keep_alive(*stream.stream);
  const std::string address = stream.peerIdentity->toString().cStr();
  auto work = options_.tls->wrap(kj::mv(stream))
                  .then([this, connection, address](kj::AuthenticatedStream&& secured) {
                    if (strangers_.contains(connection)) welcome(connection, kj::mv(secured), address);
                  })
                  .catch_([this, connection](kj::Exception&& e) {
                    expel(connection, std::string("TLS failed: ") + e.getDescription().cStr());
                  })
                  .eagerlyEvaluate(nullptr);
  auto deadline = loop_.timer()
                      .afterDelay(kj_duration(options_.handshake_deadline))
                      .then([this, connection] { expel(connection, "the handshake took too long"); })
                      .eagerlyEvaluate(nullptr);
  strangers_.emplace(connection, Stranger{address, kj::mv(work), kj::mv(deadline)});
}

bool Acceptor::entered(std::uint64_t connection) {
  if (members_.size() >= rpc_limits::connections_max) return false;
  ++counters_->entered;
  members_.insert(connection);
  drop(connection);
  return true;
}

void Acceptor::refused(std::uint64_t connection, const std::string& why) {
  const auto found = strangers_.find(connection);
  if (found == strangers_.end()) return;
  ++counters_->refused;
  log_warning(options_.name + " refuses " + found->second.address + ": " + why);
  drop(connection);
  members_.insert(connection);  // so that it is closed with the listener
  tasks_.add(loop_.timer().afterDelay(kj_duration(rpc_limits::refusal_linger)).then([this, connection] {
    members_.erase(connection);
    loop_.retire(connection);
  }));
}

void Acceptor::left(std::uint64_t connection) {
  members_.erase(connection);
  expel(connection, "it left before it said who it is");
}

void Acceptor::expel(std::uint64_t connection, const std::string& why) {
  const auto found = strangers_.find(connection);
  if (found == strangers_.end()) return;
  ++counters_->strangers;
  log_stranger(found->second.address, why);
  drop(connection);
  loop_.retire(connection);
}

void Acceptor::drop(std::uint64_t connection) {
  auto node = strangers_.extract(connection);
  if (node.empty()) return;
  // Its promises may be what runs just now.
  loop_.defer([stranger = std::move(node.mapped())]() mutable {});
}

void Acceptor::log_stranger(const std::string& address, const std::string& why) {
  const auto now = SystemClock().now();
  if (now - last_log_ < std::chrono::seconds(1)) {
    ++unlogged_;
    return;
  }
  const std::string others = unlogged_ > 0 ? " (and " + std::to_string(unlogged_) + " others before)" : "";
  log_warning(options_.name + " closes a connection from " + address + others + ": " + why);
  last_log_ = now;
  unlogged_ = 0;
}

void Acceptor::taskFailed(kj::Exception&& exception) {
  log_error(options_.name + " failed: " + exception.getDescription().cStr());
}

Result<Listening> open_acceptor(RpcThread& thread,
                                std::function<std::unique_ptr<Acceptor>(RpcLoop& loop, std::uint64_t id)> make) {
  std::promise<Result<Listening>> promise;
  auto future = promise.get_future();
  Reply<Listening> reply([&promise](Result<Listening> result) { promise.set_value(std::move(result)); });
  thread.queue()->post_call(std::move(reply), [make = std::move(make)](RpcLoop& loop, Reply<Listening> answer) {
    const std::uint64_t id = loop.next_id();
    std::unique_ptr<Acceptor> made = make(loop, id);
    Acceptor& acceptor = *made;
    loop.add(id, std::move(made));
    loop.defer([&loop, id, &acceptor, answer = std::move(answer)]() mutable -> kj::Promise<void> {
      return acceptor.open()
          .then([id, &acceptor](Endpoint endpoint) -> Result<Listening> {
            return Listening{id, std::move(endpoint), acceptor.counters()};
          })
          .catch_([&loop, id, &acceptor](kj::Exception&& e) -> Result<Listening> {
            Error error = cannot_listen(acceptor.endpoint(), e);
            loop.retire(id);
            return error;
          })
          .then([answer = std::move(answer)](Result<Listening> result) mutable { answer(std::move(result)); });
    });
  });
  return future.get();
}

}  // namespace tessera
