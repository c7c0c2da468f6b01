#include "actors/node.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <unistd.h>
#include <utility>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/send.hpp>

#include "actors/coordinator.hpp"
#include "actors/job_programs.hpp"
#include "actors/log_reader.hpp"
#include "actors/worker.hpp"
#include "cluster/exchange/data_listener.hpp"
#include "cluster/executor/lease_desk.hpp"
#include "cluster/executor/node_fence.hpp"
#include "cluster/rpc/join_service.hpp"
#include "cluster/rpc/rpc_server.hpp"
#include "cluster/store/sqlite_store.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/device/device_module.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/device/read_speed.hpp"
#include "runtime/device/topology.hpp"

namespace tessera {

namespace {

constexpr std::size_t actor_threads = 2;

/// What the machine has, where the configuration does not say.
std::uint64_t machine_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) : 0;
}

WaitMode wait_mode(ExchangeWait wait) {
  switch (wait) {
    case ExchangeWait::spin:
      return WaitMode::spin;
    case ExchangeWait::block:
      return WaitMode::block;
    case ExchangeWait::automatic:
      break;
  }
  return WaitMode::automatic;
}

struct ActorConfig : caf::actor_system_config {
  ActorConfig() {
    // Threads share one queue: with few, short handlers that answers fastest.
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", actor_threads);
  }
};

/// The end of a node, asked for from any thread.
class EndSignal {
 public:
  void end(std::optional<Error> why) {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    why_ = std::move(why);
    changed_.notify_all();
  }
  Result<void> wait(const std::function<bool()>& interrupted) {
    std::unique_lock lock(mutex_);
    while (!ended_ && !interrupted()) changed_.wait_for(lock, std::chrono::milliseconds(100));
    if (why_) return *why_;
    return {};
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::optional<Error> why_;
};

}  // namespace

/// In the order in which things are made; they are ended in the reverse order, the RPC thread before all (~State).
struct Node::State {
  explicit State(NodeSettings given) : settings(std::move(given)) {}
  ~State();

  Result<void> start_coordinator();
  Result<void> start_data_plane();
  Result<void> start_rpc();
  Result<void> start_worker();
  Refusals refusals() const;
  NodeInfo node_info() const;
  const Credentials& registered_as() const {
    if (settings.credentials) return *settings.credentials;
    return settings.coordinates ? settings.coordinates->credentials : *settings.attends;
  }
  Endpoint rpc_endpoint() const { return {settings.node.host, server->endpoint().port}; }
  ProtocolFacts facts() const { return {settings.cluster, executor_profile, TESSERA_VERSION, incarnation}; }
  TlsIdentity identity(const Credentials& credentials) const {
    return {credentials.certificate_pem, credentials.key_pem, settings.authority_pem};
  }

  NodeSettings settings;
  SystemClock clock;
  NodeIncarnation incarnation;
  const tessera_op_table* ops = nullptr;
  std::uint32_t cores = 1;
  double speed = 1;
  EndSignal ending;
  std::unique_ptr<Store> store;
  ExchangeOptions exchange;
  std::unique_ptr<DataListener> listener;
  NodeFence fence;
  LeaseDesk leases;
  std::unique_ptr<BlockingWorker> blocking;  // before what its tasks use is gone
  ActorConfig actor_config;
  std::unique_ptr<RpcThread> rpc;
  std::unique_ptr<caf::actor_system> actors;
  caf::actor coordinator, worker, log_reader;
  std::unique_ptr<CoordinatorHandler> coordinator_bridge;
  std::unique_ptr<JoinHandler> join_bridge;
  std::unique_ptr<ConductorHandler> conductor_bridge;
  std::unique_ptr<NodeHandler> node_bridge;
  std::unique_ptr<RpcServer> server;
  std::unique_ptr<JoinServer> join_server;
};

Node::State::~State() {
  // Frontends and the coordinator see the connections close at once; nothing comes in after this.
  if (rpc) rpc->stop();
  for (caf::actor* const actor : {&coordinator, &worker, &log_reader}) {
    if (*actor) caf::anon_send_exit(*actor, caf::exit_reason::user_shutdown);
    *actor = nullptr;
  }
  coordinator_bridge.reset();
  join_bridge.reset();
  conductor_bridge.reset();
  node_bridge.reset();
  actors.reset();  // waits for all actors; their executors go to the blocking worker
  if (blocking) blocking->stop();
}

Result<void> Node::State::start_coordinator() {
  const CoordinatorSettings& own = *settings.coordinates;
  TESSERA_TRY(store, SqliteStore::open(own.store, clock));
  TESSERA_TRY(const std::uint64_t term, store->claim_term());
  log_info("coordinates cluster '" + settings.cluster + "' in term " + std::to_string(term));
  CoordinatorParts parts;
  parts.options.profile = executor_profile;
  parts.options.failure_detector.interval = own.timeouts.heartbeat;
  parts.options.failure_detector.misses = own.timeouts.misses;
  parts.options.recovery_grace = own.timeouts.grace;
  if (own.network) {
    NetworkFacts& network = parts.options.network.emplace();
    network.latency = std::chrono::duration<double>(own.network->latency).count();
    network.bytes_per_second = static_cast<double>(own.network->megabits_per_second) * 1e6 / 8;
  }
  parts.store = store.get();
  parts.blocking = blocking.get();
  parts.clock = &clock;
  parts.authority = &own.authority;
  parts.cluster = settings.cluster;
  parts.identity = settings.coordinator;
  parts.rpc = settings.coordinator_rpc;
  parts.request_deadline = settings.request_deadline;
  parts.read_facts = [storage = own.storage.string()](const DeploySpec& spec) {
    return read_model_facts(spec, storage);
  };
  parts.end_node = [this](std::optional<Error> why) { ending.end(std::move(why)); };
  TESSERA_TRY(coordinator, spawn_coordinator(*actors, parts));
  coordinator_bridge = make_coordinator_bridge(coordinator);
  join_bridge = make_join_bridge(coordinator);
  return {};
}

Result<void> Node::State::start_data_plane() {
  exchange.cluster = settings.cluster;
  exchange.encrypted = settings.data_plane == DataPlane::encrypted;
  exchange.wait = wait_mode(settings.wait);
  exchange.stall_seconds_max = std::chrono::duration<double>(settings.stall).count();
  exchange.clock = &clock;
  TESSERA_TRY(listener, DataListener::start({settings.node.host, settings.node.data_port}, exchange));
  return {};
}

Result<void> Node::State::start_rpc() {
  ServerOptions options;
  options.listen = {settings.node.host, settings.node.rpc_port};
  if (settings.coordinates) options.identities.push_back(identity(settings.coordinates->credentials));
  if (settings.credentials) options.identities.push_back(identity(*settings.credentials));
  if (options.identities.empty()) options.identities.push_back(identity(registered_as()));
  options.facts = facts();
  TESSERA_TRY(server, RpcServer::listen(*rpc, std::move(options), {coordinator_bridge.get(), conductor_bridge.get()}));
  if (!settings.coordinates) return {};
  TESSERA_TRY(join_server, JoinServer::listen(*rpc, {settings.node.host, settings.node.join_port},
                                              identity(settings.coordinates->credentials), *join_bridge));
  return {};
}

/// Asked for only between the start of the listeners and the end of the actors.
Refusals Node::State::refusals() const {
  Refusals sum;
  const auto add = [&](const ServerCounters& counted) {
    sum.connections += counted.strangers + counted.refused;
    sum.calls += counted.denied_calls;
  };
  if (server) add(server->counters());
  if (join_server) add(join_server->counters());
  if (!listener) return sum;
  const ListenerCounters data = listener->counters();
  sum.connections += data.malformed + data.too_slow + data.refused + data.crowded_out + data.expired;
  return sum;
}

NodeInfo Node::State::node_info() const {
  NodeInfo info;
  info.name = settings.node.name;
  info.incarnation = incarnation;
  info.rpc = rpc_endpoint();
  info.data = {settings.node.host, listener ? listener->port() : std::uint16_t{0}};
  info.computes = settings.credentials.has_value();
  info.cores = cores;
  info.memory_bytes = settings.node.memory_bytes != 0 ? settings.node.memory_bytes : machine_memory();
  info.speed = speed;
  info.isa = ops->name;
  info.profile = executor_profile;
  info.version = TESSERA_VERSION;
  return info;
}

Result<void> Node::State::start_worker() {
  WorkerParts parts;
  parts.coordinator.endpoint = settings.coordinator_rpc;
  parts.coordinator.identity = identity(registered_as());
  parts.coordinator.server = settings.coordinator;
  parts.coordinator.facts = facts();
  parts.rpc = rpc.get();
  parts.blocking = blocking.get();
  parts.clock = &clock;
  parts.executor.ops = ops;
  parts.executor.threads = cores;
  parts.executor.listener = listener.get();
  parts.executor.exchange = &exchange;
  parts.executor.fence = &fence;
  parts.executor.leases = &leases;
  parts.executor.clock = &clock;
  parts.heartbeat = settings.heartbeat;
  parts.request_deadline = settings.request_deadline;
  parts.refusals = [this] { return refusals(); };
  parts.on_ready = settings.on_ready;
  parts.end_node = [this](std::optional<Error> why) { ending.end(std::move(why)); };
  worker = spawn_worker(*actors, parts);
  log_reader = spawn_log_reader(*actors, settings.log, incarnation, clock);
  conductor_bridge = make_conductor_bridge(worker);
  node_bridge = make_node_bridge(worker, log_reader);
  TESSERA_CHECK(start_rpc());
  // The ports are known only now.
  tessera::start_worker(worker, node_info(), *node_bridge);
  return {};
}

Node::Node(std::unique_ptr<State> state) : state_(std::move(state)) {}
Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::start(const NodeSettings& settings) {
  auto state = std::make_unique<State>(settings);
  state->incarnation = NodeIncarnation{SystemEntropy().next_seed()};
  const auto isa = settings.node.isa == "auto" ? std::nullopt : parse_isa(settings.node.isa);
  TESSERA_TRY(state->ops, select_kernels(isa));
  if (settings.credentials) log_info(gpu_line());
  state->cores = settings.node.cores != 0 ? settings.node.cores : usable_cores();
  if (settings.credentials) state->speed = measure_read_speed(state->cores);
  state->blocking = std::make_unique<BlockingWorker>();
  TESSERA_TRY(state->rpc, RpcThread::start());
  state->actors = std::make_unique<caf::actor_system>(state->actor_config);
  if (settings.coordinates) TESSERA_CHECK(state->start_coordinator());
  if (settings.credentials) TESSERA_CHECK(state->start_data_plane());
  TESSERA_CHECK(state->start_worker());
  return std::unique_ptr<Node>(new Node(std::move(state)));
}

Endpoint Node::rpc() const { return state_->rpc_endpoint(); }

Result<void> Node::wait(const std::function<bool()>& interrupted) { return state_->ending.wait(interrupted); }

}  // namespace tessera
