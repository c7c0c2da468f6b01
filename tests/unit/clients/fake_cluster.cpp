#include "tests/unit/clients/fake_cluster.hpp"

#include <algorithm>
#include <future>

#include <boost/test/unit_test.hpp>

#include "runtime/base/clock.hpp"

namespace tessera::test {

std::vector<TokenId> expected_tokens(const std::vector<TokenId>& prompt, std::uint64_t seed, std::uint32_t count) {
  std::uint64_t hash = seed;
  for (const TokenId token : prompt) hash = hash * 1099511628211u + static_cast<std::uint64_t>(token);
  std::vector<TokenId> tokens;
  // Printable bytes of the byte tokenizer (id 3 + byte).
  for (std::uint32_t i = 0; i < count; ++i) {
    hash = hash * 6364136223846793005u + 1442695040888963407u;
    tokens.push_back(static_cast<TokenId>(3 + 'a' + (hash >> 33) % 26));
  }
  return tokens;
}

float expected_log_probability(std::uint32_t index) { return -0.25f * static_cast<float>(index + 1); }
float expected_score(std::uint32_t index) { return -0.125f * static_cast<float>(index); }

DeploymentStatus deployment_of(const std::string& name, std::uint32_t context_length) {
  DeploymentStatus status;
  status.spec.name = name;
  ModelShape& shape = status.facts.shape;
  shape.dim = 64;
  shape.layers = shape.heads = shape.kv_heads = 4;
  shape.head_dim = 16;
  shape.ffn_dim = 128;
  shape.vocab_size = vocab_size;
  shape.context_length = context_length;
  status.facts.geometry = SliceGeometry::of(shape);
  status.facts.uri = "file:///" + name + ".h5";
  return status;
}

// ── FakeConductor ──────────────────────────────────────────────────────────────────────────────────────────────────

void FakeConductor::open_stream(const Caller&, StreamRequest request, UpdateSink sink, Reply<void> reply) {
  const std::lock_guard lock(stage_.mutex);
  opened.push_back(request);
  stage_.changed.notify_all();
  if (refuse_open) return reply(*refuse_open);
  Open open;
  open.sent = static_cast<std::uint32_t>(request.delivered.size());
  open.sent -= std::min(open.sent, resend);
  open.sink = std::move(sink);
  open.request = std::move(request);
  const StreamId id = open.request.id;
  reply({});
  compute(streams_[id] = std::move(open));
}

void FakeConductor::compute(Open& open) {
  StreamUpdate update;
  update.id = open.request.id;
  update.incarnation = incarnation_;
  const StreamRequest& request = open.request;
  const auto tokens = expected_tokens(request.prompt, request.sampling.seed, request.tokens_max);
  if (request.score_prompt && request.tokens_max == 0) {
    for (std::uint32_t i = 1; i < request.prompt.size(); ++i) update.scores.push_back({i, expected_score(i)});
  }
  for (; open.sent < std::min(allowed_, request.tokens_max); ++open.sent)
    update.tokens.push_back({open.sent, tokens[open.sent], expected_log_probability(open.sent),
                             TokenAlternatives(request.alternatives, {7, expected_score(open.sent)})});
  if (open.sent >= request.tokens_max) update.finished = FinishReason::length;
  if (request.vector) update.vector = {1.5f, static_cast<float>(request.prompt.size())};
  if (!update.tokens.empty()) update.phases = StreamPhases{0.5, 0.25, 0.125, open.sent};
  open.sink.send(std::move(update));
}

void FakeConductor::allow(std::uint32_t tokens) {
  const std::lock_guard lock(stage_.mutex);
  allowed_ = tokens;
  for (auto& [id, open] : streams_) compute(open);
}

void FakeConductor::move_away() {
  const std::lock_guard lock(stage_.mutex);
  for (auto& [id, open] : streams_) {
    StreamUpdate update;
    update.id = id;
    update.incarnation = incarnation_;
    update.moved = true;
    open.sink.send(std::move(update));
  }
  streams_.clear();
}

void FakeConductor::cancel_stream(const Caller&, StreamId stream, Reply<void> reply) {
  const std::lock_guard lock(stage_.mutex);
  cancelled.push_back(stream);
  streams_.erase(stream);
  stage_.changed.notify_all();
  reply({});
}

void FakeConductor::read_tokenizer(const Caller&, TokenizerQuery query, Reply<TokenizerChunk> reply) {
  const std::lock_guard lock(stage_.mutex);
  ++tokenizer_chunks;
  TokenizerChunk chunk;
  chunk.content_id = "content";
  const std::vector<std::uint8_t> source(chat_template.begin(), chat_template.end());
  const std::vector<std::uint8_t>& part = query.part == TextPart::tokenizer ? tokenizer : source;
  chunk.total_bytes = part.size();
  const std::size_t begin = std::min<std::size_t>(query.offset, part.size());
  const std::size_t length = std::min<std::size_t>(query.length, part.size() - begin);
  chunk.bytes.assign(part.begin() + static_cast<std::ptrdiff_t>(begin),
                     part.begin() + static_cast<std::ptrdiff_t>(begin + length));
  reply(std::move(chunk));
}

void FakeConductor::on_frontend_gone(StreamId stream, SinkId) {
  const std::lock_guard lock(stage_.mutex);
  gone.push_back(stream);
  stage_.changed.notify_all();
}

// ── FakeCoordinator ────────────────────────────────────────────────────────────────────────────────────────────────

void FakeCoordinator::status(const Caller&, Reply<ClusterStatus> reply) {
  const std::lock_guard lock(stage_.mutex);
  reply(cluster);
  ++statuses;
  if (statuses_per_term > 0 && statuses % statuses_per_term == 0) ++cluster.term.value;
  stage_.changed.notify_all();
}

void FakeCoordinator::deploy(const Caller&, DeploySpec spec, ProgressSink<DeploymentStatus> progress,
                             Reply<DeploymentStatus> reply) {
  const std::lock_guard lock(stage_.mutex);
  ++deploys;
  deployed = spec;
  DeploymentStatus status = deployment_of(spec.name);
  status.spec = spec;
  status.replica.state = ReplicaState::preparing;
  status.replica.message = "mapping slices";
  if (spec.name == "too-big") {
    reply(Error{ErrorCode::exhausted, "too-big needs 2 GB, the workers have 1 GB"});
  } else if (spec.name == "damaged") {
    status.replica.state = ReplicaState::failed;
    status.replica.message = "w1 reads a damaged copy: damaged.h5: dataset head, slice 3";
    cluster.deployments = {status};
    reply(status);
  } else {
    progress.send(status);
    cluster.deployments = {status};
    reply(status);
  }
  stage_.changed.notify_all();
}

void FakeCoordinator::undeploy(const Caller&, std::string deployment, Reply<void> reply) {
  const std::lock_guard lock(stage_.mutex);
  if (deployment != "story") return reply(Error{ErrorCode::not_found, "no deployment " + deployment});
  reply({});
}

void FakeCoordinator::drain(const Caller&, std::string, Reply<void> reply) {
  const std::lock_guard lock(stage_.mutex);
  if (answer_drain) return reply({});
  reply(Error{ErrorCode::exhausted, "the others have no room"});
}

void FakeCoordinator::create_token(const Caller&, JoinGrant grant, std::chrono::seconds lifetime,
                                   Reply<std::string> reply) {
  reply("token for " + std::string(to_string(grant.role)) + " " + grant.name + " " + std::to_string(lifetime.count()));
}

void FakeCoordinator::locate(const Caller&, std::string, Reply<std::vector<ConductorLocation>> reply) {
  const std::lock_guard lock(stage_.mutex);
  ++locates;
  stage_.changed.notify_all();
  if (!location) return reply(location.error());
  reply(std::vector{*location});
}

void FakeCoordinator::submit_job(const Caller& caller, JobSpec spec, Reply<JobRecord> reply) {
  const std::lock_guard lock(stage_.mutex);
  for (const auto& [id, job] : jobs) {
    if (job.spec.idempotency_key == spec.idempotency_key) return reply(job);
  }
  JobRecord job;
  job.job = JobId{jobs.size() + 1};
  job.spec = std::move(spec);
  job.spec.client = caller.identity.name;
  job.state = JobState::running;
  job.attempt = 1;
  jobs[job.job.value] = job;
  stage_.changed.notify_all();
  reply(job);
}

void FakeCoordinator::list_jobs(const Caller&, Reply<std::vector<JobRecord>> reply) {
  const std::lock_guard lock(stage_.mutex);
  std::vector<JobRecord> all;
  for (const auto& [id, job] : jobs) all.push_back(job);
  reply(std::move(all));
}

void FakeCoordinator::watch_job(const Caller&, JobId job, bool attach, ProgressSink<JobRecord> progress,
                                Reply<JobRecord> reply) {
  const std::lock_guard lock(stage_.mutex);
  const auto found = jobs.find(job.value);
  if (found == jobs.end()) return reply(Error{ErrorCode::not_found, "no such job"});
  if (attach) ++attached;
  progress.send(found->second);
  stage_.changed.notify_all();
  if (ended(found->second.state)) return reply(found->second);
  watches_.push_back({job, attach, std::move(progress), std::move(reply)});
}

void FakeCoordinator::tell(const JobRecord& job) {
  for (Watch& watch : watches_) {
    if (watch.job != job.job || !watch.reply) continue;
    watch.progress.send(job);
    if (ended(job.state)) watch.reply(job);
  }
  std::erase_if(watches_, [](const Watch& watch) { return !watch.reply; });
  stage_.changed.notify_all();
}

void FakeCoordinator::end_job(JobId job, JobState state, std::string result, std::optional<Error> error) {
  const std::lock_guard lock(stage_.mutex);
  JobRecord& record = jobs.at(job.value);
  record.state = state;
  record.result = std::move(result);
  record.error = std::move(error);
  tell(record);
}

void FakeCoordinator::cancel_job(const Caller&, JobId job, Reply<JobRecord> reply) {
  const std::lock_guard lock(stage_.mutex);
  const auto found = jobs.find(job.value);
  if (found == jobs.end()) return reply(Error{ErrorCode::not_found, "no such job"});
  if (!ended(found->second.state)) {
    found->second.state = JobState::cancelled;
    found->second.error = Error{ErrorCode::cancelled, "somebody cancelled it"};
  }
  reply(found->second);
  tell(found->second);
}

void FakeCoordinator::report_job(const Caller&, JobId job, std::uint32_t attempt, Result<std::string> result,
                                 Reply<JobRecord> reply) {
  const std::lock_guard lock(stage_.mutex);
  JobRecord& record = jobs.at(job.value);
  if (attempt != record.attempt || ended(record.state)) return reply(Error{ErrorCode::conflict, "not this attempt"});
  record.state = result ? JobState::done : JobState::failed;
  if (result) {
    record.result = *result;
  } else {
    if (result.error().code == ErrorCode::cancelled) record.state = JobState::cancelled;
    record.error = result.error();
  }
  reply(record);
  tell(record);
}

void FakeCoordinator::read_log(const Caller&, LogQuery query, Reply<std::vector<LogLine>> reply) {
  const std::lock_guard lock(stage_.mutex);
  if (query.wait.count() > 0 && !log_failures.empty()) {
    reply(log_failures.front());
    log_failures.pop_front();
    return;
  }
  std::vector<LogLine> lines;
  for (const LogLine& line : log) {
    if (line.number > query.after || line.life != query.life) lines.push_back(line);
  }
  if (query.after == 0 && lines.size() > query.lines) lines.erase(lines.begin(), lines.end() - query.lines);
  // Who follows finds one more line each time.
  const std::uint64_t life = log.empty() ? 1 : log.back().life;
  if (query.wait.count() > 0) log.push_back({log.size() + 1, "line " + std::to_string(log.size() + 1), life});
  reply(std::move(lines));
}

// ── FakeCluster ────────────────────────────────────────────────────────────────────────────────────────────────────

FakeCluster::FakeCluster() {
  auto authority = CertificateAuthority::create("demo", SystemWallClock().now());
  BOOST_REQUIRE(authority);
  authority_ = *std::move(authority);
  auto thread = RpcThread::start();
  BOOST_REQUIRE(thread);
  thread_ = *std::move(thread);
  auto data = synthetic_byte_tokenizer(vocab_size);
  BOOST_REQUIRE(data);
  const auto tokenizer = Tokenizer::create(*std::move(data), "test");
  BOOST_REQUIRE(tokenizer);
  for (const std::byte byte : tokenizer->serialize()) a.tokenizer.push_back(static_cast<std::uint8_t>(byte));
  b.tokenizer = a.tokenizer;
  start_coordinator();
  a_server_ = serve(Role::worker, "a", {"127.0.0.1", 0}, {.conductor = &a});
  b_server_ = serve(Role::worker, "b", {"127.0.0.1", 0}, {.conductor = &b});
  conduct_at("a");
}

FakeCluster::~FakeCluster() {
  coordinator_server_.reset();
  a_server_.reset();
  b_server_.reset();
  thread_->stop();
}

TlsIdentity FakeCluster::identity(Role role, const std::string& name) const {
  const auto credentials = authority_->issue({role, name}, SystemWallClock().now());
  BOOST_REQUIRE(credentials);
  return {credentials->certificate_pem, credentials->key_pem, authority_->certificate_pem()};
}

std::unique_ptr<RpcServer> FakeCluster::serve(Role role, const std::string& name, Endpoint listen,
                                              ServerHandlers handlers) {
  ServerOptions options;
  options.listen = std::move(listen);
  options.identities = {identity(role, name)};
  options.facts = {"demo", "cpu-1", "test", NodeIncarnation{1}};
  auto server = RpcServer::listen(*thread_, std::move(options), handlers);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(server), why(server));
  return *std::move(server);
}

void FakeCluster::start_coordinator() {
  coordinator_server_ = serve(Role::coordinator, "c", coordinator_endpoint_, {.coordinator = &coordinator});
  coordinator_endpoint_ = coordinator_server_->endpoint();
}

void FakeCluster::close(std::unique_ptr<RpcServer>& server) {
  server.reset();
  std::promise<void> closed;
  thread_->post([&closed] { closed.set_value(); });
  closed.get_future().wait();
}

void FakeCluster::stop_coordinator() { close(coordinator_server_); }

void FakeCluster::kill(const std::string& node) { close(node == "a" ? a_server_ : b_server_); }

void FakeCluster::conduct_at(const std::string& node) {
  const std::lock_guard lock(stage.mutex);
  ConductorLocation location;
  location.deployment = "story";
  location.replica = ReplicaId{1};
  location.incarnation = ConductorIncarnation{node == "a" ? 1u : 2u};
  location.node_name = node;
  location.rpc = (node == "a" ? a_server_ : b_server_)->endpoint();
  coordinator.location = location;
}

client::Options FakeCluster::options(Role role) const {
  const TlsIdentity identity = this->identity(role, "tester");
  client::Options options;
  options.coordinator = to_string(coordinator_endpoint_);
  options.server_name = "c";
  options.authority_pem = identity.authority_pem;
  options.certificate_pem = identity.certificate_pem;
  options.key_pem = identity.key_pem;
  return options;
}

client::Client FakeCluster::connect(Role role) const {
  auto client = client::Client::connect(options(role));
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(client), why(client));
  return *std::move(client);
}

}  // namespace tessera::test
