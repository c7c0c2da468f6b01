// A whole conversation of a peer with the control plane's server: the real sessions, capabilities and encodings, over a
// pipe instead of TLS, before handlers that answer at once. The peer has a certificate; beyond that it says what it
// likes. Input: a byte for the peer's role, then operations, each a byte with its operands (see Talker). Operations
// that make well-formed RPC messages lead deeper than bytes alone would; raw bytes are one of them.
#include <algorithm>
#include <capnp/message.h>
#include <capnp/rpc.capnp.h>
#include <capnp/serialize-async.h>
#include <capnp/serialize.h>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <kj/async-io.h>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <sys/eventfd.h>
#include <utility>
#include <vector>

#include "cluster/rpc/acceptor.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/rpc_queue.hpp"
#include "cluster/rpc/session.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/base/log.hpp"

namespace {

using namespace tessera;

/// Answers at once, with something that has every part, and uses what it is given.
class Coordinator final : public CoordinatorHandler {
 public:
  void register_node(const Caller&, NodeInfo info, std::vector<HeldEpoch> held, NodeProxy node,
                     Reply<Registration> reply) override {
    node.read_log({}, std::chrono::milliseconds(1), [](const Result<std::vector<LogLine>>&) {});
    if (held.size() % 2 == 1) node.drop("an odd number of epochs", true);
    last_info_ = std::move(info);
    reply(Registration{});
  }
  void heartbeat(const Caller&, NodeLoad, Reply<void> reply) override { reply(Result<void>()); }
  void epoch_activated(const Caller&, ReplicaId, Epoch, ConductorIncarnation, Reply<void> reply) override {
    reply(Result<void>());
  }
  void epoch_broken(const Caller&, ReplicaId, Epoch, std::string, Reply<void> reply) override { reply(Result<void>()); }
  void copy_damaged(const Caller&, ReplicaId, Epoch, std::string, Reply<void> reply) override { reply(Result<void>()); }
  void report_metrics(const Caller&, std::vector<ReplicaMetrics>, Reply<void> reply) override { reply(Result<void>()); }
  void status(const Caller&, Reply<ClusterStatus> reply) override {
    ClusterStatus status;
    status.nodes.emplace_back().info = last_info_;
    reply(std::move(status));
  }
  void deploy(const Caller&, DeploySpec spec, ProgressSink<DeploymentStatus> progress,
              Reply<DeploymentStatus> reply) override {
    DeploymentStatus status;
    status.spec = std::move(spec);
    progress.send(status);
    reply(std::move(status));
  }
  void undeploy(const Caller&, std::string, Reply<void> reply) override { reply(Result<void>()); }
  void drain(const Caller&, std::string, Reply<void> reply) override { kept_.push_back(std::move(reply)); }
  void stop_node(const Caller&, std::string name, Reply<void> reply) override {
    reply(Error{ErrorCode::not_found, "no node " + name});
  }
  void create_token(const Caller&, JoinGrant, std::chrono::seconds, Reply<std::string> reply) override {
    reply(std::string("token"));
  }
  void locate(const Caller&, std::string, Reply<std::vector<ConductorLocation>> reply) override {
    reply(std::vector<ConductorLocation>(2));
  }
  void submit_job(const Caller&, JobSpec spec, Reply<JobRecord> reply) override {
    job_.spec = std::move(spec);
    reply(job_);
  }
  void list_jobs(const Caller&, Reply<std::vector<JobRecord>> reply) override { reply(std::vector<JobRecord>{job_}); }
  void watch_job(const Caller&, JobId, bool attach, ProgressSink<JobRecord> progress, Reply<JobRecord> reply) override {
    for (int i = 0; i < 3; ++i) progress.send(job_);
    if (attach) return kept_jobs_.push_back(std::move(reply));
    reply(job_);
  }
  void cancel_job(const Caller&, JobId, Reply<JobRecord> reply) override { reply(job_); }
  void report_job(const Caller&, JobId, std::uint32_t, Result<std::string> result, Reply<JobRecord> reply) override {
    if (result) job_.result = *std::move(result);
    reply(job_);
  }
  void read_log(const Caller&, LogQuery query, Reply<std::vector<LogLine>> reply) override {
    reply(std::vector<LogLine>(std::min<std::size_t>(query.lines, 3)));
  }
  void on_disconnected(const Caller&) override {
    kept_.clear();
    kept_jobs_.clear();
  }

 private:
  NodeInfo last_info_;
  JobRecord job_;
  std::vector<Reply<void>> kept_;  ///< answered only by their end
  std::vector<Reply<JobRecord>> kept_jobs_;
};

class Conductor final : public ConductorHandler {
 public:
  void open_stream(const Caller&, StreamRequest request, UpdateSink sink, Reply<void> reply) override {
    StreamUpdate update;
    update.id = request.id;
    sink.send(update);
    reply(Result<void>());
  }
  void cancel_stream(const Caller&, StreamId, Reply<void> reply) override { reply(Result<void>()); }
  void read_tokenizer(const Caller&, TokenizerQuery query, Reply<TokenizerChunk> reply) override {
    TESSERA_ENSURE(query.length <= rpc_limits::tokenizer_chunk_bytes_max);
    reply(TokenizerChunk{"id", 3, {1, 2, 3}});
  }
  void on_frontend_gone(StreamId, SinkId) override {}
};

/// The event loop of all inputs, as RpcThread has it on a thread of its own.
struct Server {
  Server() {
    static_cast<void>(configure_log("off"));
    queue->begin(loop);
    settings->facts = {"demo", "cpu-1", "fuzz", {1}};
    settings->handlers = {&coordinator, &conductor};
    settings->counters = std::make_shared<RpcServer::Counters>();
  }

  /// What is ready, and what that makes ready.
  void turn() {
    for (;;) {
      io.waitScope.poll();
      RpcQueue::Tasks tasks = queue->take();
      if (tasks.empty()) return;
      for (const auto& task : tasks) task->run();
    }
  }

  kj::AsyncIoContext io = kj::setupAsyncIo();
  std::shared_ptr<RpcQueue> queue = std::make_shared<RpcQueue>(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  RpcLoop loop{io, queue};
  Coordinator coordinator;
  Conductor conductor;
  std::shared_ptr<SessionSettings> settings = std::make_shared<SessionSettings>();
};

/// Reads the input; what is missing at its end is zero.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  bool ended() const { return at_ >= bytes_.size(); }
  std::uint8_t byte() { return ended() ? std::uint8_t{0} : bytes_[at_++]; }
  std::span<const std::uint8_t> chunk() {
    const std::size_t wanted = byte() | std::size_t{byte()} << 8;
    const std::size_t got = std::min(wanted, bytes_.size() - std::min(at_, bytes_.size()));
    const auto taken = bytes_.subspan(std::min(at_, bytes_.size()), got);
    at_ += got;
    return taken;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

constexpr std::uint64_t interfaces[] = {capnp::typeId<schema::Gate>(),    capnp::typeId<schema::Registry>(),
                                        capnp::typeId<schema::Cluster>(), capnp::typeId<schema::Conductor>(),
                                        capnp::typeId<schema::Node>(),    capnp::typeId<schema::Progress>(),
                                        capnp::typeId<schema::Updates>(), 0x1234};

/// The peer's side.
class Talker {
 public:
  Talker(Server& server, Input& input, kj::Own<kj::AsyncIoStream> stream)
      : server_(server), input_(input), stream_(kj::mv(stream)), reading_(read().eagerlyEvaluate(nullptr)) {}

  void talk() {
    for (int operations = 0; !input_.ended() && operations < 64; ++operations) {
      try {
        operate(input_.byte() % 10);
      } catch (const kj::Exception&) {
        // Parameters that are no message, or a connection that is closed.
      }
      server_.turn();
    }
  }

 private:
  using Message = capnp::rpc::Message;

  void operate(unsigned operation) {
    capnp::MallocMessageBuilder message;
    auto root = message.initRoot<Message>();
    switch (operation) {
      case 0:
        root.initBootstrap().setQuestionId(input_.byte());
        break;
      case 1:
        enter(root.initCall());
        break;
      case 2:
      case 3:
        call(root.initCall(), operation == 3);
        break;
      case 4: {
        auto finish = root.initFinish();
        finish.setQuestionId(input_.byte());
        finish.setReleaseResultCaps(input_.byte() % 2 == 0);
        break;
      }
      case 5: {
        auto release = root.initRelease();
        release.setId(input_.byte());
        release.setReferenceCount(input_.byte());
        break;
      }
      case 6:
        answer(root.initReturn());
        break;
      case 7: {
        auto disembargo = root.initDisembargo();
        target(disembargo.initTarget());
        input_.byte() % 2 == 0 ? disembargo.getContext().setSenderLoopback(input_.byte())
                               : disembargo.getContext().setReceiverLoopback(input_.byte());
        break;
      }
      case 8: {
        auto resolve = root.initResolve();
        resolve.setPromiseId(input_.byte());
        resolve.initCap().setSenderHosted(input_.byte());
        break;
      }
      default: {
        const auto bytes = input_.chunk();
        return send(kj::heapArray<kj::byte>(bytes.data(), bytes.size()));
      }
    }
    send(kj::heapArray(capnp::messageToFlatArray(message).asBytes()));
  }

  void target(capnp::rpc::MessageTarget::Builder out) {
    const std::uint8_t what = input_.byte();
    if (what < 128) return out.setImportedCap(what % 8);
    auto promised = out.initPromisedAnswer();
    promised.setQuestionId(what % 16);
    auto path = promised.initTransform(1);
    path[0].setGetPointerField(input_.byte() % 8);
  }

  /// Gate.enter as an honest peer calls it, on the answer to a bootstrap.
  void enter(capnp::rpc::Call::Builder out) {
    out.setQuestionId(input_.byte());
    out.initTarget().initPromisedAnswer().setQuestionId(input_.byte());
    out.setInterfaceId(interfaces[0]);
    out.setMethodId(0);
    auto payload = out.initParams();
    auto params = payload.getContent().initAs<schema::Gate::EnterParams>();
    auto hello = params.initHello();
    hello.setProtocolVersion(rpc_protocol_version);
    hello.setCluster("demo");
    hello.setProfile("cpu-1");
    hello.setService(input_.byte() % 2 == 0 ? schema::Service::COORDINATOR : schema::Service::CONDUCTOR);
    payload.initCapTable(1)[0].setSenderHosted(input_.byte());
  }

  void call(capnp::rpc::Call::Builder out, bool with_capability) {
    out.setQuestionId(input_.byte());
    target(out.initTarget());
    out.setInterfaceId(interfaces[input_.byte() % std::size(interfaces)]);
    out.setMethodId(input_.byte() % 20);
    fill(out.initParams(), with_capability);
  }

  void answer(capnp::rpc::Return::Builder out) {
    out.setAnswerId(input_.byte());
    switch (input_.byte() % 4) {
      case 0:
        out.initException().setReason("no");
        break;
      case 1:
        out.setCanceled();
        break;
      case 2:
        out.setTakeFromOtherQuestion(input_.byte());
        break;
      default:
        fill(out.initResults(), true);
    }
  }

  /// Whatever struct the input holds as a flat message.
  void fill(capnp::rpc::Payload::Builder out, bool with_capability) {
    if (with_capability) {
      auto table = out.initCapTable(2);
      table[0].setSenderHosted(input_.byte());
      table[1].setReceiverHosted(input_.byte() % 8);
    }
    const auto bytes = input_.chunk();
    if (bytes.size() < sizeof(capnp::word)) return;
    auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
    std::memcpy(words.begin(), bytes.data(), words.size() * sizeof(capnp::word));
    capnp::FlatArrayMessageReader reader(words, wire::reader_options(1u << 20));
    out.getContent().set(reader.getRoot<capnp::AnyPointer>());
  }

  void send(kj::Array<kj::byte> bytes) {
    auto* const begin = bytes.begin();
    const std::size_t size = bytes.size();
    if (size == 0) return;
    writing_ = writing_.then([this, begin, size] { return stream_->write(begin, size); })
                   .attach(kj::mv(bytes))
                   .catch_([](kj::Exception&&) {})
                   .eagerlyEvaluate(nullptr);
  }

  kj::Promise<void> read() {
    return stream_->tryRead(buffer_, 1, sizeof buffer_).then([this](std::size_t got) -> kj::Promise<void> {
      if (got == 0) return kj::READY_NOW;
      return read();
    });
  }

  Server& server_;
  Input& input_;
  kj::byte buffer_[4096];
  kj::Own<kj::AsyncIoStream> stream_;
  kj::Promise<void> reading_;
  kj::Promise<void> writing_ = kj::READY_NOW;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static Server server;
  Input input({data, size});
  constexpr Role roles[] = {Role::coordinator, Role::worker, Role::gateway, Role::operator_, Role::user};
  const std::uint64_t id = server.loop.next_id();
  Caller caller{{roles[input.byte() % std::size(roles)], "fuzz"}, ConnectionId{id}, {}, {}, "nowhere"};
  kj::TwoWayPipe pipe = kj::newTwoWayPipe();
  auto session = std::make_unique<Session>(server.loop, id, server.settings, std::move(caller));
  session->begin(kj::mv(pipe.ends[0]));
  server.loop.add(id, std::move(session));
  {
    Talker talker(server, input, kj::mv(pipe.ends[1]));
    talker.talk();
    server.turn();
  }
  // The peer is gone: so is everything that was kept for it.
  server.turn();
  TESSERA_ENSURE(server.loop.find<Session>(id) == nullptr);
  return 0;
}
