// Membership, deployments, drains and views of the coordinator's core. Elastic changes: coordinator_elastic_test.cpp.
#include <boost/test/unit_test.hpp>

#include "tests/unit/control/fake_cluster.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(coordinator)

namespace {

DeploySpec spec_of(const std::string& name, std::uint32_t workers = 0) {
  DeploySpec spec;
  spec.name = name;
  spec.workers = workers;
  return spec;
}

struct Three : FakeCluster {
  Three() {
    for (const char* name : {"w1", "w2", "w3"}) start(name);
  }
  void serve(const std::string& name, std::uint32_t workers = 0) {
    deploy(spec_of(name, workers));
    settle();
    BOOST_REQUIRE(replica(name).state == ReplicaState::serving);
  }
};

ErrorCode code_of(const FakeCluster& cluster, RequestToken token) {
  const auto answer = cluster.answers.find(token);
  BOOST_REQUIRE_MESSAGE(answer != cluster.answers.end(), "no answer yet");
  BOOST_REQUIRE_MESSAGE(answer->second.has_value(), "the request succeeded");
  return answer->second->code;
}

bool succeeded(const FakeCluster& cluster, RequestToken token) {
  const auto answer = cluster.answers.find(token);
  return answer != cluster.answers.end() && !answer->second;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_registration_is_answered_with_number_term_and_interval, FakeCluster) {
  start("w1");
  const auto answers = all_of<RegistrationAnswered>();
  BOOST_REQUIRE(answers.size() == 1u && answers[0].result);
  BOOST_TEST((answers[0].result->node == NodeId{1}));
  BOOST_TEST((answers[0].result->term == term));
  BOOST_TEST((answers[0].result->heartbeat_interval == 100ms));
}

BOOST_FIXTURE_TEST_CASE(what_does_not_compute_cannot_put_a_worker_of_its_name_out, Three) {
  serve("chat");
  NodeInfo gateway = node("w1").info;
  gateway.computes = false;
  gateway.incarnation = NodeIncarnation{99};
  send(NodeRegistered{ConnectionId{77}, gateway, {}});
  BOOST_REQUIRE(!all_of<RegistrationAnswered>().at(0).result);
  BOOST_TEST((all_of<RegistrationAnswered>().at(0).result.error().code == ErrorCode::conflict));
  BOOST_TEST((replica("chat").state == ReplicaState::serving));
  // One that is gone leaves its name.
  kill("w1");
  send(NodeRegistered{ConnectionId{77}, gateway, {}});
  BOOST_TEST(bool(all_of<RegistrationAnswered>().at(0).result));
}

BOOST_FIXTURE_TEST_CASE(another_numeric_profile_is_refused_and_disturbs_nobody, Three) {
  serve("chat");
  FakeNode& odd = nodes["odd"];
  odd.info = node("w1").info;
  odd.info.name = "odd";
  odd.info.profile = "cpu-0";
  reconnect("odd");
  const auto answers = all_of<RegistrationAnswered>();
  BOOST_REQUIRE(answers.size() == 1u && !answers[0].result);
  BOOST_TEST((answers[0].result.error().code == ErrorCode::unsupported));
  BOOST_TEST(core.status(now).nodes.size() == 3u);
  BOOST_TEST((replica("chat").state == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_strange_name_and_a_node_without_speed_are_refused, FakeCluster) {
  for (const std::string& name : {std::string(), std::string("a b"), std::string(65, 'x')}) {
    start(name);
    BOOST_TEST(!all_of<RegistrationAnswered>().at(0).result);
  }
  start("slow", 0);
  BOOST_TEST(!all_of<RegistrationAnswered>().at(0).result);
}

BOOST_FIXTURE_TEST_CASE(a_newer_process_replaces_the_older_one_and_keeps_its_number, Three) {
  const ConnectionId old = node("w2").connection;
  const NodeId id = id_of("w2");
  start("w2");
  const auto drops = all_of<DropNode>();
  BOOST_REQUIRE_EQUAL(drops.size(), 1u);
  BOOST_TEST((drops[0].to == old));
  BOOST_TEST(!drops[0].again);
  BOOST_TEST((id_of("w2") == id));
  // What the old connection still says has no effect.
  send(NodeDisconnected{old});
  BOOST_TEST((core.node_of(node("w2").connection) == id));
  send(NodeBeat{old, {}});
  BOOST_TEST(count<DropNode>() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_silent_node_is_lost_and_a_closed_connection_at_once, Three) {
  node("w1").frozen = true;
  pass(600ms);
  BOOST_TEST((core.status(now).nodes[0].state == NodeState::ready));
  pass(100ms);
  BOOST_TEST((core.status(now).nodes[0].state == NodeState::lost));
  BOOST_TEST(node("w1").connection.value == 0u);
  kill("w2");
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::lost));
  BOOST_TEST((core.status(now).nodes[2].state == NodeState::ready));
}

BOOST_FIXTURE_TEST_CASE(a_deployment_is_prepared_activated_and_located, Three) {
  const RequestToken token = deploy(spec_of("chat"));
  BOOST_TEST(succeeded(*this, token));
  const auto before = core.locate("chat");
  BOOST_REQUIRE(!before);
  BOOST_TEST((before.error().code == ErrorCode::unavailable));
  BOOST_TEST((core.locate("other").error().code == ErrorCode::not_found));
  all_prepared("chat");
  BOOST_TEST(count<ActivateEpoch>() == 1u);
  activate("chat");
  const auto location = core.locate("chat");
  BOOST_REQUIRE(bool(location));
  BOOST_TEST(location->at(0).node_name == "w1");
  BOOST_TEST(location->at(0).incarnation.value == 1u);
  BOOST_TEST(replica("chat").serving->ranks() == 3u);
}

BOOST_FIXTURE_TEST_CASE(deploying_twice_is_answered_alike_and_other_content_is_a_conflict, Three) {
  DeploySpec spec = spec_of("chat");
  spec.idempotency_key = "k";
  BOOST_TEST(succeeded(*this, deploy(spec)));
  BOOST_TEST(succeeded(*this, deploy(spec)));
  BOOST_TEST(count<PrepareEpoch>() == 0u);
  BOOST_TEST(succeeded(*this, deploy(spec_of("chat"))));
  BOOST_TEST((code_of(*this, deploy(spec_of("chat", 2))) == ErrorCode::conflict));
  ModelFacts other = small_model();
  other.content_id = "c1";
  BOOST_TEST((code_of(*this, deploy(spec_of("chat"), other)) == ErrorCode::conflict));
  spec.name = "talk";
  BOOST_TEST((code_of(*this, deploy(spec)) == ErrorCode::conflict));
}

BOOST_FIXTURE_TEST_CASE(a_model_that_fits_nowhere_is_refused_and_missing_workers_are_waited_for, FakeCluster) {
  BOOST_TEST(succeeded(*this, deploy(spec_of("early"))));
  BOOST_TEST((replica("early").state == ReplicaState::waiting));
  undeploy("early");
  start("w1", 1, 400);
  start("w2", 1, 400);
  DeploySpec spec = spec_of("chat");
  spec.kv_positions = 320;
  DeploySpec huge = spec;
  huge.kv_positions = 32000;
  const RequestToken refused = deploy(huge);
  BOOST_TEST((code_of(*this, refused) == ErrorCode::exhausted));
  BOOST_TEST(answers[refused]->message.find("weights") != std::string::npos);
  kill("w2");
  BOOST_TEST(succeeded(*this, deploy(spec)));
  BOOST_TEST((replica("chat").state == ReplicaState::waiting));
  BOOST_TEST(replica("chat").message.find("does not fit") != std::string::npos);
  start("w2", 1, 400);
  BOOST_TEST((replica("chat").state == ReplicaState::preparing));
}

BOOST_FIXTURE_TEST_CASE(memory_is_budgeted_over_all_deployments, FakeCluster) {
  start("w1", 1, 1000);
  DeploySpec first = spec_of("first"), second = spec_of("second");
  first.kv_positions = second.kv_positions = 320;  // 645 bytes
  BOOST_TEST(succeeded(*this, deploy(first)));
  settle();
  const RequestToken refused = deploy(second);
  BOOST_TEST((code_of(*this, refused) == ErrorCode::exhausted));
  undeploy("first");
  BOOST_TEST(succeeded(*this, deploy(second)));
  BOOST_TEST(core.status(now).nodes[0].planned_bytes == 645u);
}

BOOST_FIXTURE_TEST_CASE(more_shards_than_slices_are_refused_with_the_count, Three) {
  const RequestToken token = deploy(spec_of("chat", 9));
  BOOST_TEST((code_of(*this, token) == ErrorCode::invalid_argument));
  BOOST_TEST(answers[token]->message.find("8") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(undeploy_retires_everything_and_forgets_it, Three) {
  serve("chat");
  kill("w3");  // a new epoch is being prepared
  BOOST_REQUIRE((replica("chat").state == ReplicaState::preparing));
  const RequestToken token = undeploy("chat");
  BOOST_TEST(succeeded(*this, token));
  BOOST_TEST(count<RetireEpoch>() == 4u);  // two epochs at two nodes
  BOOST_TEST(!store.contains(deployment_key("chat")));
  BOOST_TEST(!store.contains(replica_key(ReplicaId{1})));
  BOOST_TEST(node("w1").held.empty());
  BOOST_TEST((code_of(*this, undeploy("chat")) == ErrorCode::not_found));
}

BOOST_FIXTURE_TEST_CASE(a_drain_is_answered_when_no_shard_is_left, Three) {
  serve("chat");
  const RequestToken token = drain("w2");
  BOOST_TEST(!answers.contains(token));
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::draining));
  settle();
  BOOST_TEST(succeeded(*this, token));
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::drained));
  BOOST_TEST(replica("chat").serving->ranks() == 2u);
  BOOST_TEST(node("w2").held.empty());
  BOOST_TEST(succeeded(*this, drain("w2")));
  BOOST_TEST((code_of(*this, drain("w9")) == ErrorCode::not_found));
  // A new process of that name is a new worker.
  start("w2");
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::draining || replica("chat").pending->ranks() == 3u));
}

BOOST_FIXTURE_TEST_CASE(a_drain_that_a_deployment_does_not_survive_is_refused, FakeCluster) {
  start("w1", 1, 400);
  start("w2", 1, 400);
  DeploySpec spec = spec_of("chat");
  spec.kv_positions = 320;
  deploy(spec);
  settle();
  const RequestToken token = drain("w2");
  BOOST_TEST((code_of(*this, token) == ErrorCode::exhausted));
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::ready));
  BOOST_TEST((replica("chat").state == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_drained_node_that_dies_counts_as_drained, Three) {
  serve("chat");
  const RequestToken token = drain("w2");
  kill("w2");
  BOOST_TEST(succeeded(*this, token));
}

BOOST_FIXTURE_TEST_CASE(jobs_run_on_workers_and_are_given_to_another_when_one_dies, Three) {
  const RequestToken token = ask();
  JobSpec spec;
  spec.kind = JobKind::verify;
  spec.uri = "file:///small.h5";
  send(JobSubmitted{token, spec, 0});
  const auto runs = all_of<RunJob>();
  BOOST_REQUIRE_EQUAL(runs.size(), 1u);
  BOOST_TEST((runs[0].node == id_of("w1")));
  kill("w1");
  send(Tick{});
  BOOST_REQUIRE_EQUAL(count<RunJob>(), 1u);
  BOOST_TEST(all_of<RunJob>()[0].attempt == 2u);
  BOOST_TEST((all_of<RunJob>()[0].node == id_of("w2")));
  const RequestToken late = ask(), good = ask();
  send(JobReported{late, JobId{1}, 1, std::string("x")});
  BOOST_TEST((code_of(*this, late) == ErrorCode::conflict));
  send(JobReported{good, JobId{1}, 2, std::string("all good")});
  BOOST_TEST(succeeded(*this, good));
  BOOST_TEST(core.job(JobId{1})->result == "all good");
}

BOOST_FIXTURE_TEST_CASE(a_job_for_an_unknown_deployment_is_refused, Three) {
  const RequestToken token = ask();
  JobSpec spec;
  spec.deployment = "nowhere";
  send(JobSubmitted{token, spec, 0});
  BOOST_TEST((code_of(*this, token) == ErrorCode::not_found));
}

BOOST_FIXTURE_TEST_CASE(the_conductors_measurements_are_shown_and_those_of_others_are_not, Three) {
  serve("chat");
  ReplicaMetrics metrics;
  metrics.replica = replica("chat").replica;
  metrics.epoch = replica("chat").serving->epoch;
  metrics.steps = metrics.tokens = 20;
  metrics.seconds = 1;
  metrics.step_seconds_median = 0.05;
  send(ReplicaMeasured{node("w2").connection, metrics});
  BOOST_TEST(!replica("chat").metrics, "w2 does not conduct");
  ReplicaMetrics old = metrics;
  old.epoch.value -= 1;
  send(ReplicaMeasured{node("w1").connection, old});
  BOOST_TEST(!replica("chat").metrics, "its epoch is over");
  send(ReplicaMeasured{node("w1").connection, metrics});
  BOOST_REQUIRE(replica("chat").metrics);
  BOOST_TEST(replica("chat").metrics->tokens == 20u);
  pass(4s);
  BOOST_REQUIRE(replica("chat").metrics);
  BOOST_TEST(replica("chat").metrics->tokens == 0u, "nothing was reported for a while");
  BOOST_TEST(replica("chat").metrics->step_seconds_median == 0.05);
  start("w4");
  settle();
  BOOST_TEST(!replica("chat").metrics, "of the epoch before");
}

BOOST_AUTO_TEST_SUITE_END()
