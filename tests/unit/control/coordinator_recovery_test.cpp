// A coordinator that takes over what its predecessor stored.
#include <boost/test/unit_test.hpp>

#include "tests/unit/control/fake_cluster.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(coordinator_recovery)

namespace {

struct Serving : FakeCluster {
  Serving() {
    for (const char* name : {"w1", "w2", "w3"}) start(name);
    DeploySpec spec;
    spec.name = "chat";
    deploy(spec);
    settle();
  }
  ReplicaState state() const { return replica("chat").state; }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_stored_plan_is_adopted_when_all_members_return, Serving) {
  restart();
  BOOST_TEST((core.locate("chat").error().code == ErrorCode::unavailable));
  for (const char* name : {"w1", "w2", "w3"}) reconnect(name);
  BOOST_TEST((state() == ReplicaState::serving));
  BOOST_TEST(core.locate("chat")->at(0).epoch.value == 1u);
  BOOST_TEST(core.locate("chat")->at(0).incarnation.value == 1u);
  BOOST_TEST(!core.status(now).recovering);
  pass(5s);
  BOOST_TEST((replica("chat").serving->epoch == Epoch{1}));
}

BOOST_FIXTURE_TEST_CASE(a_member_that_does_not_return_is_planned_around_after_the_grace, Serving) {
  nodes.at("w2").alive = false;
  restart();
  reconnect("w1");
  reconnect("w3");
  pass(2900ms);
  BOOST_TEST((state() == ReplicaState::waiting));
  pass(200ms);
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST(replica("chat").pending->ranks() == 2u);
  BOOST_TEST(replica("chat").pending->epoch.value == 2u);
  settle();
  BOOST_TEST(core.locate("chat")->at(0).incarnation.value == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_member_that_was_started_again_does_not_hold_its_epoch, Serving) {
  restart();
  reconnect("w1");
  reconnect("w3");
  start("w2");
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST(replica("chat").pending->ranks() == 3u);
}

BOOST_FIXTURE_TEST_CASE(an_activation_that_nobody_heard_of_is_adopted, Serving) {
  start("w4");
  all_prepared("chat");
  const EpochPlan pending = replica("chat").pending.value();
  activate("chat");
  store.at(replica_key(ReplicaId{1})) = [&] {  // as it was stored before the report came
    ReplicaRecord record = std::get<ReplicaRecord>(store.at(replica_key(ReplicaId{1})));
    record.serving = EpochPlan(pending);
    record.serving->epoch = Epoch{1};
    record.serving->previous = Epoch{0};
    record.pending = pending;
    record.switching = true;
    return record;
  }();
  restart();
  for (const char* name : {"w1", "w2", "w3", "w4"}) reconnect(name);
  BOOST_TEST((state() == ReplicaState::serving));
  BOOST_TEST((core.locate("chat")->at(0).epoch == pending.epoch));
}

BOOST_FIXTURE_TEST_CASE(a_plan_that_was_only_being_prepared_is_given_up, Serving) {
  start("w4");
  prepared("w4", "chat");
  restart();
  for (const char* name : {"w1", "w2", "w3", "w4"}) reconnect(name);
  // The old epoch is adopted; the join is planned anew.
  BOOST_TEST(core.locate("chat")->at(0).epoch.value == 1u);
  BOOST_TEST(replica("chat").pending->epoch.value == 3u);
  settle();
  for (const auto& [name, node] : nodes) BOOST_TEST(node.held.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(an_interrupted_hand_over_that_had_begun_is_not_gone_back_on, Serving) {
  start("w4");
  all_prepared("chat");
  node("w2").held.at({ReplicaId{1}, Epoch{2}}).active = true;
  restart();
  for (const char* name : {"w1", "w2", "w3", "w4"}) reconnect(name);
  BOOST_TEST((core.locate("chat").error().code == ErrorCode::unavailable));
  BOOST_TEST(replica("chat").pending->epoch.value == 3u);
  BOOST_TEST(replica("chat").pending->previous.value == 0u);
}

BOOST_FIXTURE_TEST_CASE(epochs_of_an_undeployed_replica_are_retired_when_their_node_returns, Serving) {
  cut("w3");
  undeploy("chat");
  restart();
  BOOST_REQUIRE(!node("w3").held.empty());
  reconnect("w3");
  BOOST_TEST(node("w3").held.empty());
}

BOOST_FIXTURE_TEST_CASE(numbers_are_never_used_again, Serving) {
  undeploy("chat");
  restart();
  start("w9");
  BOOST_TEST((id_of("w9") == NodeId{4}));
  DeploySpec spec;
  spec.name = "talk";
  deploy(spec);
  BOOST_TEST((replica("talk").replica == ReplicaId{2}));
}

BOOST_FIXTURE_TEST_CASE(a_draining_node_stays_so, Serving) {
  drain("w2");
  settle();
  restart();
  for (const char* name : {"w1", "w2", "w3"}) reconnect(name);
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::drained));
  BOOST_TEST((state() == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_drain_goes_on_after_a_restart, Serving) {
  drain("w2");
  restart();
  for (const char* name : {"w1", "w2", "w3"}) reconnect(name);
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::draining));
  const RequestToken again = drain("w2");
  settle();
  send(Tick{});
  BOOST_TEST((core.status(now).nodes[1].state == NodeState::drained));
  BOOST_REQUIRE(answers.contains(again));
  BOOST_TEST(!answers.at(again));
}

BOOST_FIXTURE_TEST_CASE(a_drain_whose_node_is_needed_after_a_restart_ends, FakeCluster) {
  start("w1");
  DeploySpec spec;
  spec.name = "chat";
  deploy(spec);
  settle();
  start("w2");
  settle();
  drain("w1");
  restart();  // nobody waits for the drain's answer any more
  kill("w2");
  reconnect("w1");
  pass(4s);
  settle();
  BOOST_REQUIRE((replica("chat").state == ReplicaState::serving));
  send(Tick{});
  BOOST_TEST((core.status(now).nodes[0].state == NodeState::ready));
  BOOST_TEST(!std::get<NodeRecord>(store.at(node_key("w1"))).draining);
  // What waits for a worker has one.
  JobSpec job;
  job.kind = JobKind::verify;
  job.uri = "file:///small.h5";
  send(JobSubmitted{ask(), job, 0});
  BOOST_TEST(count<RunJob>() == 1u);
}

BOOST_FIXTURE_TEST_CASE(jobs_survive, Serving) {
  JobSpec verify;
  verify.kind = JobKind::verify;
  verify.uri = "file:///small.h5";
  send(JobSubmitted{ask(), verify, 7});
  JobSpec generate;
  generate.deployment = "chat";
  send(JobSubmitted{ask(), generate, 8});
  restart();
  for (const char* name : {"w1", "w2", "w3"}) {
    reconnect(name);
    BOOST_TEST(count<RunJob>() == (std::string(name) == "w1" ? 1u : 0u));
  }
  send(JobClientSeen{JobId{2}});
  pass(31s);
  BOOST_TEST((core.job(JobId{2})->state == JobState::running));
  send(JobReported{ask(), JobId{1}, 1, std::string("good")});
  BOOST_TEST((core.job(JobId{1})->state == JobState::done));
  BOOST_TEST(core.job(JobId{1})->submitted_unix_ms == 7);
}

BOOST_FIXTURE_TEST_CASE(a_killed_worker_during_the_grace_does_not_crash_the_successor, Serving) {
  restart();
  reconnect("w1");
  kill("w1");
  pass(4s);
  BOOST_TEST((state() == ReplicaState::waiting));
  reconnect("w2");
  settle();
  BOOST_TEST((state() == ReplicaState::serving));
}

BOOST_AUTO_TEST_SUITE_END()
