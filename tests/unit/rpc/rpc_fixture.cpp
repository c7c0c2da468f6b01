#include "tests/unit/rpc/rpc_fixture.hpp"

#include "runtime/base/clock.hpp"

namespace tessera::test {

TestAuthority::TestAuthority(const std::string& cluster) {
  auto created = CertificateAuthority::create(cluster, test_time());
  if (!created) throw std::runtime_error(created.error().message);
  authority_ = std::make_unique<CertificateAuthority>(std::move(*created));
}

TlsIdentity TestAuthority::issue(Role role, const std::string& name) const {
  auto credentials = authority_->issue({role, name}, test_time());
  if (!credentials) throw std::runtime_error(credentials.error().message);
  return {credentials->certificate_pem, credentials->key_pem, authority_->certificate_pem()};
}

std::chrono::sys_seconds test_time() { return SystemWallClock().now(); }

ProtocolFacts node_facts(std::uint64_t incarnation) { return {"demo", "cpu-1", "0.1.0", {incarnation}}; }

// ── the coordinator ──────────────────────────────────────────────────────────────────────────────────────────────────

void FakeCoordinator::register_node(const Caller&, NodeInfo info, std::vector<HeldEpoch> epochs, NodeProxy node,
                                    Reply<Registration> reply) {
  held.put(std::move(epochs));
  registered.put({std::move(info), std::move(node)});
  reply(Registration{{3}, {5}, std::chrono::milliseconds(90)});
}
void FakeCoordinator::heartbeat(const Caller&, NodeLoad load, Reply<void> reply) {
  last_load = load;
  called.put("heartbeat");
  reply({});
}
void FakeCoordinator::epoch_activated(const Caller&, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation,
                                      Reply<void> reply) {
  called.put("activated " + std::to_string(replica.value) + " " + std::to_string(epoch.value) + " " +
             std::to_string(incarnation.value));
  reply({});
}
void FakeCoordinator::epoch_broken(const Caller&, ReplicaId replica, Epoch epoch, std::string reason,
                                   Reply<void> reply) {
  called.put("broken " + std::to_string(replica.value) + " " + std::to_string(epoch.value) + " " + reason);
  reply({});
}
void FakeCoordinator::copy_damaged(const Caller&, ReplicaId replica, Epoch epoch, std::string reason,
                                   Reply<void> reply) {
  called.put("damaged " + std::to_string(replica.value) + " " + std::to_string(epoch.value) + " " + reason);
  reply({});
}
void FakeCoordinator::report_metrics(const Caller&, std::vector<ReplicaMetrics> metrics, Reply<void> reply) {
  last_metrics = std::move(metrics);
  reply({});
}
void FakeCoordinator::status(const Caller& caller, Reply<ClusterStatus> reply) {
  if (on_status) return on_status(caller, std::move(reply));
  reply(cluster);
}
void FakeCoordinator::deploy(const Caller&, DeploySpec spec, ProgressSink<DeploymentStatus> progress,
                             Reply<DeploymentStatus> reply) {
  if (on_deploy) return on_deploy(std::move(spec), std::move(progress), std::move(reply));
  reply(DeploymentStatus{std::move(spec), some_facts(), {}});
}
void FakeCoordinator::undeploy(const Caller&, std::string deployment, Reply<void> reply) {
  called.put("undeploy " + deployment);
  reply({});
}
void FakeCoordinator::drain(const Caller&, std::string node, Reply<void> reply) {
  reply(Error{ErrorCode::not_found, "there is no node '" + node + "'"});
}
void FakeCoordinator::stop_node(const Caller&, std::string node, Reply<void> reply) {
  called.put("stop " + node);
  reply({});
}
void FakeCoordinator::create_token(const Caller&, JoinGrant grant, std::chrono::seconds lifetime,
                                   Reply<std::string> reply) {
  reply(std::string(to_string(grant.role)) + " " + grant.name + " " + std::to_string(lifetime.count()));
}
void FakeCoordinator::locate(const Caller&, std::string deployment, Reply<std::vector<ConductorLocation>> reply) {
  reply(std::vector<ConductorLocation>{{deployment, {1}, {2}, {3}, {4}, "w4", {"10.0.0.4", 7070}},
                                       {deployment, {2}, {5}, {6}, {7}, "w7", {"10.0.0.7", 7070}}});
}
void FakeCoordinator::submit_job(const Caller&, JobSpec spec, Reply<JobRecord> reply) {
  JobRecord record = some_job();
  record.spec = std::move(spec);
  reply(std::move(record));
}
void FakeCoordinator::list_jobs(const Caller&, Reply<std::vector<JobRecord>> reply) {
  reply(std::vector<JobRecord>{job, job});
}
void FakeCoordinator::watch_job(const Caller&, JobId id, bool attach, ProgressSink<JobRecord> progress,
                                Reply<JobRecord> reply) {
  if (on_watch) return on_watch(id, attach, std::move(progress), std::move(reply));
  reply(job);
}
void FakeCoordinator::cancel_job(const Caller&, JobId id, Reply<JobRecord> reply) {
  JobRecord record = some_job();
  record.job = id;
  record.state = JobState::cancelled;
  reply(std::move(record));
}
void FakeCoordinator::report_job(const Caller&, JobId id, std::uint32_t attempt, Result<std::string> result,
                                 Reply<JobRecord> reply) {
  JobRecord record = some_job();
  record.job = id;
  record.attempt = attempt;
  record.error.reset();
  if (result) {
    record.result = *result;
  } else {
    record.error = result.error();
  }
  reply(std::move(record));
}
void FakeCoordinator::read_log(const Caller&, LogQuery query, Reply<std::vector<LogLine>> reply) {
  reply(std::vector<LogLine>{{query.after + 1, query.node, query.life},
                             {query.after + 2, std::to_string(query.lines), query.life}});
}

// ── a node ───────────────────────────────────────────────────────────────────────────────────────────────────────────

void FakeNode::prepare(EpochPlan plan, EpochKeys keys, Reply<void> reply) {
  if (on_prepare) return on_prepare(std::move(plan), std::move(keys), std::move(reply));
  reply({});
}
void FakeNode::activate(Term term, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation,
                        Reply<void> reply) {
  called.put("activate " + std::to_string(term.value) + " " + std::to_string(replica.value) + " " +
             std::to_string(epoch.value) + " " + std::to_string(incarnation.value));
  reply({});
}
void FakeNode::hand_over(Term term, ReplicaId replica, Epoch from, Epoch into, ConductorIncarnation incarnation,
                         Reply<void> reply) {
  called.put("hand_over " + std::to_string(term.value) + " " + std::to_string(replica.value) + " " +
             std::to_string(from.value) + " " + std::to_string(into.value) + " " + std::to_string(incarnation.value));
  reply({});
}
void FakeNode::retire(Term term, ReplicaId, Epoch, Reply<void> reply) {
  reply(Error{ErrorCode::conflict, "term " + std::to_string(term.value) + " is over"});
}
void FakeNode::run_job(JobId job, std::uint32_t attempt, JobSpec spec, Reply<void> reply) {
  called.put("run " + std::to_string(job.value) + " " + std::to_string(attempt) + " " + spec.uri);
  reply({});
}
void FakeNode::stop_job(JobId job, std::uint32_t attempt, Reply<void> reply) {
  called.put("stop " + std::to_string(job.value) + " " + std::to_string(attempt));
  reply({});
}
void FakeNode::read_log(LogQuery query, Reply<std::vector<LogLine>> reply) {
  reply(std::vector<LogLine>{{query.after + 1, "line", query.life}});
}
void FakeNode::on_dropped(std::string reason, bool again) {
  called.put("dropped " + reason + (again ? " again" : " for good"));
}

// ── a conductor ──────────────────────────────────────────────────────────────────────────────────────────────────────

void FakeConductor::open_stream(const Caller&, StreamRequest request, UpdateSink sink, Reply<void> reply) {
  const Result<void> result = on_open ? on_open(request) : Result<void>();
  opened.put({std::move(request), std::move(sink)});
  reply(result);
}
void FakeConductor::cancel_stream(const Caller&, StreamId stream, Reply<void> reply) {
  cancelled.put(stream);
  reply({});
}
void FakeConductor::read_tokenizer(const Caller&, TokenizerQuery query, Reply<TokenizerChunk> reply) {
  const std::string part = query.part == TextPart::chat_template ? ": chat template" : "";
  reply(TokenizerChunk{query.deployment + part, query.offset + query.length,
                       std::vector<std::uint8_t>(query.length, static_cast<std::uint8_t>(query.offset))});
}

// ── both ends ────────────────────────────────────────────────────────────────────────────────────────────────────────

namespace {

std::unique_ptr<RpcThread> started() {
  auto thread = RpcThread::start();
  if (!thread) throw std::runtime_error(thread.error().message);
  return std::move(*thread);
}

}  // namespace

RpcFixture::RpcFixture() : server_thread(started()), client_thread(started()) {
  ServerOptions options;
  options.listen = {"127.0.0.1", 0};
  options.identities = {authority.issue(Role::coordinator, "c"), authority.issue(Role::worker, "c")};
  options.facts = node_facts();
  auto listening = RpcServer::listen(*server_thread, options, {&coordinator, &conductor});
  if (!listening) throw std::runtime_error(listening.error().message);
  server = std::move(*listening);
}

RpcFixture::~RpcFixture() {
  client_thread->stop();
  server_thread->stop();
}

DialOptions RpcFixture::dial_options(Role role, const std::string& name) const {
  DialOptions options;
  options.endpoint = server->endpoint();
  options.identity = authority.issue(role, name);
  options.server = {Role::coordinator, "c"};
  options.facts = node_facts();
  options.deadline = long_deadline;
  return options;
}

CoordinatorClient RpcFixture::connect(Role role, const std::string& name) {
  Answer<CoordinatorClient> answer;
  CoordinatorClient::connect(
      *client_thread, dial_options(role, name), [this](Error error) { lost.put(std::move(error)); }, answer.reply());
  auto client = answer.wait();
  if (!client) throw std::runtime_error(client.error().message);
  return std::move(*client);
}

ConductorClient RpcFixture::connect_conductor(Role role, const std::string& name) {
  Answer<ConductorClient> answer;
  DialOptions options = dial_options(role, name);
  options.server = {Role::worker, "c"};
  ConductorClient::connect(
      *client_thread, std::move(options), [this](Error error) { lost.put(std::move(error)); }, answer.reply());
  auto client = answer.wait();
  if (!client) throw std::runtime_error(client.error().message);
  return std::move(*client);
}

std::pair<CoordinatorClient, NodeProxy> RpcFixture::connect_node(NodeHandler& node) {
  CoordinatorClient client = connect(Role::worker, "w1");
  Answer<Registration> answer;
  client.register_node(some_node(), {}, node, long_deadline, answer.reply());
  const auto registration = answer.wait();
  if (!registration) throw std::runtime_error(registration.error().message);
  return {std::move(client), coordinator.registered.take().second};
}

// ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────

NodeInfo some_node(const std::string& name, std::uint64_t incarnation) {
  return {name,    {incarnation}, {"127.0.0.1", 7001}, {"127.0.0.1", 7002}, true, 4, 1ull << 33, 2.5e9, "avx2",
          "cpu-1", "0.1.0"};
}

EpochPlan some_plan() {
  EpochPlan plan;
  plan.term = {2};
  plan.replica = {3};
  plan.epoch = {4};
  plan.deployment = "stories";
  plan.uri = "/models/stories.h5";
  plan.content_id = "0123456789abcdef";
  plan.profile = "cpu-1";
  plan.kv_pages = 77;
  plan.stages = {{{0, 2}, {{{0, 3}, {0, 5}, {0, 1}}, {{3, 6}, {5, 9}, {1, 2}}}}, {{2, 6}, {{{0, 6}, {0, 9}, {0, 2}}}}};
  plan.participants = {{{1}, "w1", {"10.0.0.1", 9001}},
                       {{2}, "w2", {"10.0.0.2", 9002}},
                       {{3}, "w3", {"::1", 9003}},
                       {{9}, "donor", {"10.0.0.9", 9009}}};
  plan.previous = {3};
  plan.previous_kv = {{{3}, {0, 6}, {0, 2}}};
  plan.lease_nodes = {{1}, {3}};
  plan.check_first = true;
  plan.speculation = Speculation::off;
  return plan;
}

ModelFacts some_facts() {
  ModelFacts facts;
  facts.shape = {"llama", 64, 6, 8, 4, 8, 172, 512, 512, 1e-5f, 10000.0, true, {}};
  facts.geometry = SliceGeometry::of(facts.shape);
  facts.types = {DType::q4, DType::q8};
  facts.pooling = {Pooling::cls, true, 77};
  facts.name = "stories260K";
  facts.uri = "/models/stories.h5";
  facts.content_id = "0123456789abcdef";
  return facts;
}

JobRecord some_job() {
  JobRecord record;
  record.job = {11};
  record.spec = {JobKind::perplexity, "stories", "/texts/a.txt", std::string("a\0b\xff", 4), "key-1", "alice"};
  record.state = JobState::failed;
  record.attempt = 2;
  record.node = {4};
  record.process = {99};
  record.result = "partial";
  record.error = Error{ErrorCode::io, "the file could not be read"};
  record.log = {"attempt 1: lost", "attempt 2: failed"};
  record.submitted_unix_ms = 1'700'000'000'123;
  return record;
}

}  // namespace tessera::test
