#include "clients/client_core.hpp"

#include <future>

#include "cluster/rpc/connection.hpp"

namespace tessera::frontend {

namespace {

constexpr std::chrono::milliseconds conductor_dial_deadline{2000};

Result<DialOptions> dial_options(const client::Options& options, NodeIncarnation incarnation) {
  DialOptions dial;
  TESSERA_TRY(dial.endpoint, parse_endpoint(options.coordinator));
  TESSERA_CHECK(check_name("coordinator", options.server_name));
  dial.identity = {options.certificate_pem, options.key_pem, options.authority_pem};
  dial.server = {Role::coordinator, options.server_name};
  dial.facts.software = std::string("tessera client ") + TESSERA_VERSION;
  dial.facts.incarnation = incarnation;
  dial.deadline = options.connect_deadline;
  return dial;
}

DialOptions for_conductors(DialOptions options) {
  options.deadline = conductor_dial_deadline;
  return options;
}

}  // namespace

Result<std::unique_ptr<ClientCore>> ClientCore::create(const client::Options& options) {
  TESSERA_TRY(DialOptions dial, dial_options(options, NodeIncarnation{SystemEntropy().next_seed()}));
  return create(options, std::move(dial));
}

Result<std::unique_ptr<ClientCore>> ClientCore::create(const client::Options& options, DialOptions dial) {
  TESSERA_TRY(auto thread, RpcThread::start());
  return std::unique_ptr<ClientCore>(new ClientCore(options, std::move(dial), std::move(thread)));
}

ClientCore::ClientCore(const client::Options& options, DialOptions dial, std::unique_ptr<RpcThread> thread)
    : options_(options),
      thread_(std::move(thread)),
      timers_(*thread_, clock_),
      link_(*thread_, timers_, dial),
      pool_(*thread_, for_conductors(dial)) {
  thread_->post([this] { link_.start(); });
}

ClientCore::~ClientCore() {
  stop_streams();
  timers_.stop();
  thread_->stop();
}

void ClientCore::stop_streams() {
  // Streams that nobody reads any more: the cluster is told, for a while, and then they are dropped.
  const auto closed = std::make_shared<std::promise<void>>();
  auto done = closed->get_future();
  thread_->post([this, closed] {
    if (streams_.empty()) return closed->set_value();
    on_last_stream_ = [closed] { closed->set_value(); };
    const auto streams = streams_;
    for (const auto& [id, stream] : streams) stream->cancel();
  });
  done.wait_for(close_patience);
  const auto stopped = std::make_shared<std::promise<void>>();
  auto last = stopped->get_future();
  thread_->post([this, stopped] {
    on_last_stream_ = {};
    for (const auto& [id, stream] : streams_) stream->abort({client::ErrorCode::cancelled, "the client was closed"});
    pool_.stop();
    link_.stop();
    streams_.clear();
    stopped->set_value();
  });
  last.wait_for(close_patience);
}

std::string ClientCore::draw_key() { return to_string(draw_stream_id()); }

StreamId ClientCore::draw_stream_id() {
  StreamId id;
  id.high = entropy_.next_seed();
  id.low = entropy_.next_seed();
  return id;
}

// 53 bits: JSON readers that keep numbers as doubles can hand the seed back unchanged.
std::uint64_t ClientCore::draw_seed() { return entropy_.next_seed() >> 11; }

Result<void> ClientCore::connect(Deadline deadline) {
  return wait<void>([this, deadline](Reply<void> reply) {
    link_.with_connection(timers_.now() + deadline,
                          [reply = std::move(reply)](const Result<CoordinatorLink::Connected>& connection) mutable {
                            reply(connection ? Result<void>() : Result<void>(connection.error()));
                          });
  });
}

Result<ConductorClient> ClientCore::conductor(const StreamLocation& location) {
  return wait<ConductorClient>([this, location](Reply<ConductorClient> reply) {
    const ConductorPool::User user = pool_.next_user();
    pool_.acquire(
        location, user, [] {},
        [this, location, user, reply = std::move(reply)](Result<ConductorClient> client) mutable {
          pool_.release(location, user);
          reply(std::move(client));
        });
  });
}

Result<void> ClientCore::pause(Deadline time) {
  return wait<void>([this, time](Reply<void> reply) {
    auto shared = std::make_shared<Reply<void>>(std::move(reply));
    timers_.after(time, [shared] { (*shared)({}); });
  });
}

void ClientCore::poll_status(std::shared_ptr<const bool> open, std::function<void(ClusterStatus)> progress) {
  if (!*open) return;
  link_.call<ClusterStatus>(
      options_.call_deadline,
      [](const CoordinatorClient& client, auto left, Reply<ClusterStatus> reply) {
        client.status(left, std::move(reply));
      },
      [this, open, progress](Result<ClusterStatus> status) {
        if (status && *open) progress(*std::move(status));
        timers_.after(status_poll_interval, [this, open, progress] { poll_status(open, progress); });
      });
}

Result<void> ClientCore::start_stream(LiveStreamSettings settings, std::shared_ptr<EventQueue> queue) {
  auto shared = std::make_shared<LiveStreamSettings>(std::move(settings));
  return wait<void>([this, shared, queue](Reply<void> reply) {
    if (streams_.size() >= streams_max) {
      return reply(Error{ErrorCode::exhausted,
                         "this client runs " + std::to_string(streams_max) + " generations; let some end first"});
    }
    const StreamId id = shared->request.id;
    auto stream = std::make_shared<LiveStream>(timers_, link_, pool_, loads_, std::move(*shared), queue);
    streams_.emplace(id, stream);
    reply({});
    stream->start(options_.call_deadline, [this, id] {
      // Not at once: the stream itself is calling.
      timers_.after(std::chrono::nanoseconds(0), [this, id] {
        streams_.erase(id);
        if (streams_.empty() && on_last_stream_) std::exchange(on_last_stream_, {})();
      });
    });
  });
}

void ClientCore::cancel_stream(StreamId id) {
  thread_->post([this, id] {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    const auto stream = found->second;
    stream->cancel();
  });
}

}  // namespace tessera::frontend
