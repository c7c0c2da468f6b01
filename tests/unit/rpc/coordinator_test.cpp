// Nodes and clients against the coordinator's handler: every method, both directions.
#include <thread>

#include "cluster/rpc/encoding.hpp"
#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

BOOST_FIXTURE_TEST_SUITE(coordinator, RpcFixture)

BOOST_AUTO_TEST_CASE(a_node_registers_and_reports) {
  FakeNode node;
  const CoordinatorClient client = connect(Role::worker, "w1");
  BOOST_TEST(client.server().cluster == "demo");
  const std::vector<HeldEpoch> held{{{1}, {2}, true, true, {3}}, {{4}, {5}, false, false, {}}};
  const auto registration = ask<Registration>(
      [&](auto reply) { client.register_node(some_node(), held, node, long_deadline, std::move(reply)); });
  BOOST_REQUIRE(succeeded(registration));
  BOOST_TEST((registration->node == NodeId{3}));
  BOOST_TEST((registration->term == Term{5}));
  BOOST_TEST(registration->heartbeat_interval.count() == 90);
  const NodeInfo info = coordinator.registered.take().first;
  BOOST_TEST(encode_record(NodeRecord{{1}, info, false}) == encode_record(NodeRecord{{1}, some_node(), false}));
  const auto seen = coordinator.held.take();
  BOOST_REQUIRE(seen.size() == 2);
  BOOST_TEST((seen[0].replica == ReplicaId{1} && seen[0].epoch == Epoch{2} && seen[0].active && seen[0].conducts));
  BOOST_TEST((seen[0].incarnation == ConductorIncarnation{3}));
  BOOST_TEST((seen[1].replica == ReplicaId{4} && !seen[1].active));

  ReplicaLoad conducted{{4}, 5, 6, 7, 8, 9, 10, 11, {}};
  for (const std::uint32_t rows : {1u, 30u, 5000u}) conducted.step_rows.add(rows);
  const NodeLoad load{0.5, 1, 2, 3, 4, 5, 6, 0.25, 0.125, 99.5, 0.0625, 7, 9, 8, 12, {conducted}, 6, 5, 13, 14};
  BOOST_TEST(succeeded(ask<void>([&](auto reply) { client.heartbeat(load, long_deadline, std::move(reply)); })));
  BOOST_TEST(coordinator.called.take() == "heartbeat");
  BOOST_TEST(coordinator.last_load.cpu_share == 0.5);
  BOOST_TEST(coordinator.last_load.kv_bytes_used == 3u);
  BOOST_TEST(coordinator.last_load.streams_waiting == 6u);
  BOOST_TEST(coordinator.last_load.tokens_per_second == 99.5);
  BOOST_TEST(coordinator.last_load.request_seconds_median == 0.0625);
  BOOST_TEST(coordinator.last_load.kv_pages_cached == 7u);
  BOOST_TEST(coordinator.last_load.prefix_tokens_queried == 9u);
  BOOST_TEST(coordinator.last_load.prefix_tokens_hit == 8u);
  BOOST_TEST(coordinator.last_load.kv_bytes == 12u);
  BOOST_REQUIRE(coordinator.last_load.replicas.size() == 1u);
  const ReplicaLoad& told = coordinator.last_load.replicas[0];
  BOOST_TEST((told.replica == ReplicaId{4} && told.streams_running == 5 && told.streams_waiting == 6));
  BOOST_TEST((told.kv_pages_used == 7 && told.kv_pages == 8 && told.prefix_tokens_queried == 9));
  BOOST_TEST((told.prefix_tokens_hit == 10 && told.preempted == 11 && told.step_rows == conducted.step_rows));
  BOOST_TEST(coordinator.last_load.draft_tokens == 6u);
  BOOST_TEST(coordinator.last_load.draft_tokens_accepted == 5u);
  BOOST_TEST(coordinator.last_load.connections_refused == 13u);
  BOOST_TEST(coordinator.last_load.calls_denied == 14u);

  BOOST_TEST(succeeded(
      ask<void>([&](auto reply) { client.epoch_activated({1}, {2}, {3}, long_deadline, std::move(reply)); })));
  BOOST_TEST(coordinator.called.take() == "activated 1 2 3");
  BOOST_TEST(succeeded(
      ask<void>([&](auto reply) { client.epoch_broken({1}, {2}, "w2 died", long_deadline, std::move(reply)); })));
  BOOST_TEST(coordinator.called.take() == "broken 1 2 w2 died");
  BOOST_TEST(succeeded(
      ask<void>([&](auto reply) { client.copy_damaged({1}, {2}, "m.h5: slice 3", long_deadline, std::move(reply)); })));
  BOOST_TEST(coordinator.called.take() == "damaged 1 2 m.h5: slice 3");
  const ReplicaMetrics metrics{{1}, {2}, 3, 4, 5, 1.5, 0.1, 0.2, 0.3, 0.4};
  BOOST_TEST(
      succeeded(ask<void>([&](auto reply) { client.report_metrics({metrics}, long_deadline, std::move(reply)); })));
  BOOST_REQUIRE(coordinator.last_metrics.size() == 1);
  BOOST_TEST(coordinator.last_metrics[0].tokens == 5u);
  BOOST_TEST(coordinator.last_metrics[0].lease_share == 0.4);
}

BOOST_AUTO_TEST_CASE(a_node_may_not_register_under_another_name_or_incarnation) {
  FakeNode node;
  const CoordinatorClient client = connect(Role::worker, "w1");
  const auto other = ask<Registration>(
      [&](auto reply) { client.register_node(some_node("w2"), {}, node, long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(other) == ErrorCode::denied));
  const auto stale = ask<Registration>(
      [&](auto reply) { client.register_node(some_node("w1", 8), {}, node, long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(stale) == ErrorCode::invalid_argument));
  BOOST_TEST(coordinator.registered.empty());
}

BOOST_AUTO_TEST_CASE(a_gateway_registers_as_a_node_that_computes_nothing) {
  FakeNode node;
  const CoordinatorClient client = connect(Role::gateway, "g");
  const auto computing = ask<Registration>(
      [&](auto reply) { client.register_node(some_node("g"), {}, node, long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(computing) == ErrorCode::denied));
  BOOST_TEST(coordinator.registered.empty());
  NodeInfo info = some_node("g");
  info.computes = false;
  BOOST_TEST(succeeded(
      ask<Registration>([&](auto reply) { client.register_node(info, {}, node, long_deadline, std::move(reply)); })));
  BOOST_TEST(!coordinator.registered.take().first.computes);
}

BOOST_AUTO_TEST_CASE(a_node_gets_the_coordinators_commands) {
  FakeNode node;
  Inbox<std::pair<EpochPlan, EpochKeys>> prepared;
  node.on_prepare = [&](EpochPlan plan, EpochKeys keys, Reply<void> reply) {
    prepared.put({std::move(plan), std::move(keys)});
    reply(Error{ErrorCode::exhausted, "no memory"});
  };
  const auto [client, proxy] = connect_node(node);
  EpochKeys keys;
  keys.keys.resize(4);
  keys.keys[1].fill(17);
  keys.keys[3].fill(255);
  const auto refused =
      ask<void>([&, &proxy = proxy](auto reply) { proxy.prepare(some_plan(), keys, long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(refused) == ErrorCode::exhausted));
  BOOST_TEST(refused.error().message == "no memory");
  const auto [plan, got] = prepared.take();
  BOOST_TEST(encode_plan(plan) == encode_plan(some_plan()));
  BOOST_TEST((got.keys == keys.keys));

  BOOST_TEST(succeeded(ask<void>(
      [&, &proxy = proxy](auto reply) { proxy.activate({1}, {2}, {3}, {4}, long_deadline, std::move(reply)); })));
  BOOST_TEST(node.called.take() == "activate 1 2 3 4");
  BOOST_TEST(succeeded(ask<void>(
      [&, &proxy = proxy](auto reply) { proxy.hand_over({1}, {2}, {3}, {4}, {5}, long_deadline, std::move(reply)); })));
  BOOST_TEST(node.called.take() == "hand_over 1 2 3 4 5");
  const auto stale =
      ask<void>([&, &proxy = proxy](auto reply) { proxy.retire({1}, {2}, {3}, long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(stale) == ErrorCode::conflict));
  BOOST_TEST(succeeded(ask<void>([&, &proxy = proxy](auto reply) {
    proxy.run_job({6}, 2, {JobKind::verify, "", "/m.h5", "", "", ""}, long_deadline, std::move(reply));
  })));
  BOOST_TEST(node.called.take() == "run 6 2 /m.h5");
  BOOST_TEST(succeeded(
      ask<void>([&, &proxy = proxy](auto reply) { proxy.stop_job({6}, 2, long_deadline, std::move(reply)); })));
  BOOST_TEST(node.called.take() == "stop 6 2");
  const auto lines = ask<std::vector<LogLine>>([&, &proxy = proxy](auto reply) {
    proxy.read_log({"w1", 41, 10, std::chrono::milliseconds(0), 8}, long_deadline, std::move(reply));
  });
  BOOST_REQUIRE(succeeded(lines));
  BOOST_REQUIRE(lines->size() == 1);
  BOOST_TEST((*lines)[0].number == 42u);
  BOOST_TEST((*lines)[0].life == 8u);
}

BOOST_AUTO_TEST_CASE(a_dropped_node_is_told_and_disconnected) {
  FakeNode node;
  const auto [client, proxy] = connect_node(node);
  proxy.drop("it was lost", true);
  BOOST_TEST(node.called.take() == "dropped it was lost again");
  BOOST_TEST((lost.take().code == ErrorCode::unavailable));
  const Caller gone = coordinator.disconnected.take();
  BOOST_TEST((gone.connection == proxy.connection()));
  BOOST_TEST((gone.identity == Identity{Role::worker, "w1"}));
  BOOST_TEST((gone.incarnation == NodeIncarnation{7}));
  const auto late =
      ask<void>([&, &proxy = proxy](auto reply) { proxy.retire({1}, {1}, {1}, long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(late) == ErrorCode::unavailable));
}

BOOST_AUTO_TEST_CASE(a_client_gets_the_whole_status) {
  ClusterStatus& status = coordinator.cluster;
  status.term = {9};
  status.profile = "cpu-1";
  status.recovering = true;
  NodeStatus node;
  node.node = {4};
  node.info = some_node();
  node.state = NodeState::draining;
  node.since_beat = std::chrono::milliseconds(120);
  node.load.shards = 3;
  node.planned_bytes = 12345;
  status.nodes = {node, node};
  DeploymentStatus deployment{{"stories", "/m.h5", 3, 2, 4096, {}, "key"}, some_facts(), {}};
  deployment.replica.replica = {3};
  deployment.replica.state = ReplicaState::switching;
  deployment.replica.serves = true;
  deployment.replica.incarnation = {6};
  deployment.replica.serving = some_plan();
  deployment.replica.message = "w4 joins";
  deployment.replica.metrics = ReplicaMetrics{{3}, {6}, 7, 8, 9, 1.5, 0.1, 0.2, 0.3, 0.4};
  ReplicaStatus other;
  other.replica = {4};
  other.message = "waits";
  deployment.others = {other};
  deployment.spec.replicas = 2;
  status.deployments = {deployment};

  const CoordinatorClient client = connect(Role::user, "alice");
  const auto got = ask<ClusterStatus>([&](auto reply) { client.status(long_deadline, std::move(reply)); });
  BOOST_REQUIRE(succeeded(got));
  BOOST_TEST((got->term == Term{9}));
  BOOST_TEST(got->recovering);
  BOOST_REQUIRE(got->nodes.size() == 2);
  BOOST_TEST((got->nodes[1].state == NodeState::draining));
  BOOST_TEST(got->nodes[1].since_beat.count() == 120);
  BOOST_TEST(got->nodes[1].load.shards == 3u);
  BOOST_TEST(got->nodes[1].planned_bytes == 12345u);
  BOOST_TEST(got->nodes[1].info.isa == "avx2");
  BOOST_REQUIRE(got->deployments.size() == 1);
  const DeploymentStatus& seen = got->deployments[0];
  BOOST_TEST(seen.spec.same_content(deployment.spec));
  BOOST_TEST((seen.facts == some_facts()));
  BOOST_TEST((seen.replica.state == ReplicaState::switching));
  BOOST_TEST(seen.replica.message == "w4 joins");
  BOOST_REQUIRE(seen.replica.serving);
  BOOST_TEST(encode_plan(*seen.replica.serving) == encode_plan(some_plan()));
  BOOST_TEST(!seen.replica.pending);
  BOOST_REQUIRE(seen.replica.metrics);
  BOOST_TEST(seen.replica.metrics->tokens == 9u);
  BOOST_TEST(seen.replica.metrics->step_seconds_p99 == 0.2);
  BOOST_REQUIRE(seen.others.size() == 1);
  BOOST_TEST((seen.others[0].replica == ReplicaId{4} && seen.others[0].message == "waits"));
  BOOST_TEST((seen.serves() && &seen.least_settled() == &seen.replica));
}

BOOST_AUTO_TEST_CASE(an_operator_operates) {
  const CoordinatorClient client = connect(Role::operator_, "local");
  const auto deployed = ask<DeploymentStatus>([&](auto reply) {
    client.deploy({"s", "/m.h5", 1, 2, 3, Speculation::off, "k"}, long_deadline, nullptr, std::move(reply));
  });
  BOOST_REQUIRE(succeeded(deployed));
  BOOST_TEST(deployed->spec.idempotency_key == "k");
  BOOST_TEST(deployed->spec.kv_positions == 3u);
  BOOST_TEST((deployed->spec.speculation == Speculation::off));
  BOOST_TEST(succeeded(ask<void>([&](auto reply) { client.undeploy("s", long_deadline, std::move(reply)); })));
  BOOST_TEST(coordinator.called.take() == "undeploy s");
  const auto drained = ask<void>([&](auto reply) { client.drain("w7", long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(drained) == ErrorCode::not_found));
  BOOST_TEST(drained.error().message == "there is no node 'w7'");
  BOOST_TEST(succeeded(ask<void>([&](auto reply) { client.stop_node("", long_deadline, std::move(reply)); })));
  BOOST_TEST(coordinator.called.take() == "stop ");
  const auto token = ask<std::string>([&](auto reply) {
    client.create_token({Role::worker, "w9"}, std::chrono::seconds(60), long_deadline, std::move(reply));
  });
  BOOST_TEST(*token == "worker w9 60");
  const auto lines = ask<std::vector<LogLine>>([&](auto reply) {
    client.read_log({"w1", 5, 7, std::chrono::milliseconds(1), 9}, long_deadline, std::move(reply));
  });
  BOOST_REQUIRE(succeeded(lines));
  BOOST_TEST((*lines)[0].text == "w1");
  BOOST_TEST((*lines)[1].text == "7");
  BOOST_TEST((*lines)[1].number == 7u);
  BOOST_TEST((*lines)[1].life == 9u);
  const auto where =
      ask<std::vector<ConductorLocation>>([&](auto reply) { client.locate("s", long_deadline, std::move(reply)); });
  BOOST_REQUIRE(succeeded(where));
  BOOST_REQUIRE_EQUAL(where->size(), 2u);
  BOOST_TEST(where->at(0).node_name == "w4");
  BOOST_TEST((where->at(0).rpc == Endpoint{"10.0.0.4", 7070}));
  BOOST_TEST((where->at(0).incarnation == ConductorIncarnation{3} && where->at(0).node == NodeId{4}));
  BOOST_TEST(where->at(1).deployment == "s");
  BOOST_TEST(where->at(1).node_name == "w7");
  BOOST_TEST((where->at(1).replica == ReplicaId{2} && where->at(1).incarnation == ConductorIncarnation{6}));
}

BOOST_AUTO_TEST_CASE(jobs_are_submitted_watched_and_reported) {
  coordinator.job = some_job();
  coordinator.job.result = std::string(100'000, 'r');
  const CoordinatorClient client = connect(Role::user, "alice");
  const auto submitted = ask<JobRecord>([&](auto reply) {
    client.submit_job({JobKind::generate, "s", "", "hello", "k", "somebody else"}, long_deadline, std::move(reply));
  });
  BOOST_REQUIRE(succeeded(submitted));
  BOOST_TEST(submitted->spec.input == "hello");
  BOOST_TEST(submitted->spec.client == "alice");  // whatever the client claims
  const auto jobs = ask<std::vector<JobRecord>>([&](auto reply) { client.list_jobs(long_deadline, std::move(reply)); });
  BOOST_REQUIRE(succeeded(jobs));
  BOOST_REQUIRE(jobs->size() == 2);
  BOOST_TEST((*jobs)[1].spec.input.empty());
  BOOST_TEST((*jobs)[1].result.size() == 4096u);
  BOOST_TEST((*jobs)[1].log == some_job().log);
  const auto cancelled = ask<JobRecord>([&](auto reply) { client.cancel_job({5}, long_deadline, std::move(reply)); });
  BOOST_TEST((cancelled->job == JobId{5} && cancelled->state == JobState::cancelled));
  const auto done = ask<JobRecord>(
      [&](auto reply) { client.report_job({5}, 2, std::string("ok"), long_deadline, std::move(reply)); });
  BOOST_TEST(done->result == "ok");
  BOOST_TEST(done->attempt == 2u);
  const auto failed = ask<JobRecord>([&](auto reply) {
    client.report_job({5}, 3, Error{ErrorCode::cancelled, "enough"}, long_deadline, std::move(reply));
  });
  BOOST_REQUIRE(failed->error);
  BOOST_TEST((failed->error->code == ErrorCode::cancelled));
}

BOOST_AUTO_TEST_CASE(progress_reaches_the_client_before_the_answer) {
  Inbox<std::pair<ProgressSink<DeploymentStatus>, std::shared_ptr<Reply<DeploymentStatus>>>> open;
  coordinator.on_deploy = [&](DeploySpec, ProgressSink<DeploymentStatus> progress, Reply<DeploymentStatus> reply) {
    open.put({std::move(progress), std::make_shared<Reply<DeploymentStatus>>(std::move(reply))});
  };
  const CoordinatorClient client = connect(Role::operator_, "local");
  Inbox<std::string> messages;
  Answer<DeploymentStatus> answer;
  client.deploy(
      {"s", "/m.h5", 0, 0, 0, {}, ""}, long_deadline,
      [&](const DeploymentStatus& status) { messages.put(status.replica.message); }, answer.reply());
  auto [progress, reply] = open.take();
  DeploymentStatus status{{}, some_facts(), {}};
  for (const char* text : {"one", "two"}) {
    status.replica.message = text;
    BOOST_TEST(!progress.closed());
    progress.send(status);
    BOOST_TEST(messages.take() == text);
  }
  (*reply)(status);
  BOOST_TEST(succeeded(answer.wait()));
  while (!progress.closed()) std::this_thread::yield();
  progress.send(status);
  BOOST_TEST(succeeded(ask<ClusterStatus>([&](auto r) { client.status(long_deadline, std::move(r)); })));
  BOOST_TEST(messages.empty());
}

BOOST_AUTO_TEST_CASE(a_watch_closes_when_its_client_goes) {
  Inbox<std::pair<bool, ProgressSink<JobRecord>>> sinks;
  std::vector<Reply<JobRecord>> owed;
  coordinator.on_watch = [&](JobId, bool attach, ProgressSink<JobRecord> progress, Reply<JobRecord> reply) {
    owed.push_back(std::move(reply));
    sinks.put({attach, std::move(progress)});
  };
  Answer<JobRecord> answer;
  ProgressSink<JobRecord> sink;
  {
    const CoordinatorClient client = connect(Role::user, "alice");
    client.watch_job({1}, true, long_deadline, nullptr, answer.reply());
    auto [attach, opened] = sinks.take();
    BOOST_TEST(attach);
    BOOST_TEST(!opened.closed());
    sink = opened;
  }
  BOOST_TEST((code_of(answer.wait()) == ErrorCode::unavailable));
  BOOST_TEST((coordinator.disconnected.take().identity == Identity{Role::user, "alice"}));
  while (!sink.closed()) std::this_thread::yield();
}

// The event loop destroys the promises of such calls only at its own end, after all that lives in it.
BOOST_AUTO_TEST_CASE(a_server_that_stops_closes_the_watches_that_were_given_up_and_those_that_were_not) {
  for (int round = 0; round < 20; ++round) {
    RpcFixture fixture;
    Inbox<ProgressSink<JobRecord>> sinks;
    std::vector<Reply<JobRecord>> owed;
    fixture.coordinator.on_watch = [&](JobId, bool, ProgressSink<JobRecord> progress, Reply<JobRecord> reply) {
      owed.push_back(std::move(reply));
      sinks.put(std::move(progress));
    };
    std::vector<ProgressSink<JobRecord>> opened;
    {
      const CoordinatorClient client = fixture.connect(Role::user, "alice");
      for (int i = 0; i < 8; ++i) client.watch_job({1}, true, long_deadline, nullptr, Reply<JobRecord>());
      for (int i = 0; i < 8; ++i) opened.push_back(sinks.take());
      for (const auto& sink : opened) sink.send(JobRecord());
      if (round % 2 == 1) fixture.server_thread->stop();
    }
    fixture.server_thread->stop();
    for (const auto& sink : opened) BOOST_TEST(sink.closed());
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
