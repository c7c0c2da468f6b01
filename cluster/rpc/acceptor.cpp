#include "cluster/rpc/acceptor.hpp"

#include <functional>
#include <future>
#include <utility>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/wire.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/most_crowded.hpp"

namespace tessera {
namespace {

/// Without file descriptors accepting fails at once, again and again.
constexpr std::chrono::milliseconds accept_retry{100};
/// Between two lines of one kind about others.
constexpr std::chrono::milliseconds log_interval{1000};

/// "10.0.0.7" of "10.0.0.7:4711", "[::1]" of "[::1]:4711".
std::string host_of(const std::string& address) { return address.substr(0, address.rfind(':')); }

Error cannot_listen(const Endpoint& endpoint, const kj::Exception& e) {
  return {ErrorCode::io, "cannot listen on " + to_string(endpoint) + ": " + e.getDescription().cStr() +
                             "; choose a free port and an address of this machine"};
}

}  // namespace

ServerCounters RpcServer::Counters::read() const {
  return {accepted.load(), entered.load(), strangers.load(), refused.load(), denied_calls.load()};
}

Acceptor::Acceptor(RpcLoop& loop, std::uint64_t id, Options options)
    : loop_(loop),
      id_(id),
      options_(std::move(options)),
      stranger_lines_(log_interval),
      refusal_lines_(log_interval),
      denial_lines_(log_interval),
      accept_lines_(log_interval),
      tasks_(*this) {}

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
  // Without descriptors it throws instead of returning a promise.
  return kj::evalNow([this] { return receiver_->acceptAuthenticated(); })
      .then([this](kj::AuthenticatedStream&& stream) -> kj::Promise<void> {
        receive(kj::mv(stream));
        return kj::READY_NOW;
      })
      .catch_([this](kj::Exception&& e) {
        if (const auto others = accept_lines_.pass(SystemClock().now())) {
          log_warning(options_.name + " cannot accept a connection" + others_text(*others) + ": " +
                      e.getDescription().cStr() + "; it tries again (a limit on open files is raised with ulimit -n)");
        }
        return loop_.timer().afterDelay(kj_duration(accept_retry));
      })
      .then([this] { return accept_next(); });
}

void Acceptor::receive(kj::AuthenticatedStream stream) {
  const std::uint64_t connection = loop_.next_id();
  ++counters_->accepted;
  if (strangers_.size() >= rpc_limits::strangers_max) make_room();
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
  strangers_.emplace(connection, Stranger{address, host_of(address), kj::mv(work), kj::mv(deadline)});
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
  if (const auto others = refusal_lines_.pass(SystemClock().now()))
    log_warning(options_.name + " refuses " + found->second.address + others_text(*others) + ": " + why);
  drop(connection);
  members_.insert(connection);  // so that it is closed with the listener
  tasks_.add(loop_.timer().afterDelay(kj_duration(rpc_limits::refusal_linger)).then([this, connection] {
    members_.erase(connection);
    loop_.retire(connection);
  }));
}

void Acceptor::denied(const std::string& address, const std::string& why) {
  ++counters_->denied_calls;
  if (const auto others = denial_lines_.pass(SystemClock().now()))
    log_warning(options_.name + " refuses a call from " + address + others_text(*others) + ": " + why);
}

void Acceptor::make_room() {
  const auto source = [](const auto& entry) -> std::string_view { return entry.second.host; };
  expel(find_most_crowded(strangers_, source)->first, "too many connections at once have not said who they are");
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
  if (const auto others = stranger_lines_.pass(SystemClock().now()))
    log_warning(options_.name + " closes a connection from " + address + others_text(*others) + ": " + why);
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
