// What happens to a replica's epochs when workers join, drain, die, or fail to do what they are told.
#include <boost/test/unit_test.hpp>

#include "tests/unit/control/fake_cluster.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(coordinator_elastic)

namespace {

std::vector<std::string> names_of(const EpochPlan& plan) {
  std::vector<std::string> names;
  for (const Participant& participant : plan.participants) names.push_back(participant.name);
  return names;
}
using Names = std::vector<std::string>;

struct Serving : FakeCluster {
  explicit Serving(std::uint32_t workers = 0) {
    for (const char* name : {"w1", "w2", "w3"}) start(name);
    DeploySpec spec;
    spec.name = "chat";
    spec.workers = workers;
    deploy(spec);
    settle();
    BOOST_REQUIRE(state() == ReplicaState::serving);
  }
  ReplicaState state() const { return replica("chat").state; }
  EpochPlan pending() const { return replica("chat").pending.value(); }
  EpochPlan serving() const { return replica("chat").serving.value(); }
};
struct ServingTwo : Serving {
  ServingTwo() : Serving(2) {}
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_join_hands_over_and_keeps_the_order_of_the_survivors, Serving) {
  const ConductorIncarnation before = core.locate("chat")->at(0).incarnation;
  start("w4");
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST(bool(core.locate("chat")));
  BOOST_TEST((names_of(pending()) == Names{"w1", "w2", "w3", "w4"}));
  BOOST_TEST((pending().previous == Epoch{1}));
  BOOST_TEST(pending().previous_kv.size() == 3u);
  all_prepared("chat");
  BOOST_REQUIRE_EQUAL(count<HandOver>(), 1u);
  BOOST_TEST(count<ActivateEpoch>() == 0u);
  activate("chat");
  BOOST_TEST(count<RetireEpoch>() == 3u);
  BOOST_TEST((core.locate("chat")->at(0).incarnation == before));
}

BOOST_FIXTURE_TEST_CASE(a_join_that_a_deployment_does_not_want_changes_nothing, ServingTwo) {
  start("w4");
  BOOST_TEST((state() == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_much_faster_worker_is_worth_a_move, ServingTwo) {
  start("w4", 4);
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST((pending().find(id_of("w4"))->value < 2));
  settle();
  BOOST_TEST(serving().ranks() == 2u);
  BOOST_TEST((state() == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_drain_makes_the_leaver_a_donor, Serving) {
  drain("w2");
  BOOST_TEST((names_of(pending()) == Names{"w1", "w3", "w2"}));
  BOOST_TEST(pending().ranks() == 2u);
  BOOST_TEST(pending().previous_kv.size() == 3u);
  settle();
  BOOST_TEST(node("w2").held.empty());
  BOOST_TEST(node("w1").held.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_drained_root_hands_over_to_another_conductor, Serving) {
  drain("w1");
  all_prepared("chat");
  const auto hand_overs = all_of<HandOver>();
  BOOST_REQUIRE_EQUAL(hand_overs.size(), 1u);
  BOOST_TEST((hand_overs[0].node == id_of("w1")));
  BOOST_TEST(hand_overs[0].incarnation.value == 2u);
  BOOST_TEST(core.locate("chat")->at(0).node_name == "w1");
  activate("chat");
  BOOST_TEST(core.locate("chat")->at(0).node_name == "w2");
  BOOST_TEST(core.locate("chat")->at(0).incarnation.value == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_killed_member_is_replaced_at_once_without_kv, Serving) {
  kill("w2");
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST((core.locate("chat").error().code == ErrorCode::unavailable));
  BOOST_TEST((names_of(pending()) == Names{"w1", "w3"}));
  BOOST_TEST(pending().previous.value == 0u);
  all_prepared("chat");
  const auto activations = all_of<ActivateEpoch>();
  BOOST_REQUIRE_EQUAL(activations.size(), 1u);
  BOOST_TEST(activations[0].incarnation.value == 1u);  // the conductor lives on
  activate("chat");
  BOOST_TEST(bool(core.locate("chat")));
}

BOOST_FIXTURE_TEST_CASE(a_killed_root_gives_a_new_conductor, Serving) {
  kill("w1");
  all_prepared("chat");
  BOOST_REQUIRE_EQUAL(count<ActivateEpoch>(), 1u);
  BOOST_TEST((all_of<ActivateEpoch>()[0].node == id_of("w2")));
  BOOST_TEST(all_of<ActivateEpoch>()[0].incarnation.value == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_spare_worker_takes_the_place_of_the_lost_one, ServingTwo) {
  BOOST_REQUIRE((names_of(serving()) == Names{"w1", "w2"}));
  kill("w1");
  BOOST_TEST((names_of(pending()) == Names{"w3", "w2"}));
}

BOOST_FIXTURE_TEST_CASE(a_death_during_prepare_gives_a_higher_epoch_without_the_dead, Serving) {
  start("w4");
  prepared("w1", "chat");
  kill("w4");
  // The wish to change is gone with the node; the old epoch served all the time.
  BOOST_TEST((state() == ReplicaState::serving));
  BOOST_TEST(bool(core.locate("chat")));
  BOOST_TEST(node("w1").held.size() == 1u);
  start("w5");
  prepared("w1", "chat");
  kill("w2");
  BOOST_TEST((names_of(pending()) == Names{"w1", "w5", "w3"}));
  BOOST_TEST(pending().epoch.value == 4u);
  BOOST_TEST(pending().previous.value == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_death_during_hand_over_breaks_the_old_epoch_too, Serving) {
  start("w4");
  all_prepared("chat");
  BOOST_REQUIRE((state() == ReplicaState::switching));
  kill("w4");
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST((core.locate("chat").error().code == ErrorCode::unavailable));
  BOOST_TEST(pending().previous.value == 0u);
  settle();
  BOOST_TEST((names_of(serving()) == Names{"w1", "w2", "w3"}));
  for (const char* name : {"w1", "w2", "w3"}) BOOST_TEST(node(name).held.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_late_activation_of_an_epoch_that_was_given_up_is_ignored, Serving) {
  start("w4");
  all_prepared("chat");
  const Epoch old = pending().epoch;
  kill("w4");
  send(EpochActivated{node("w1").connection, ReplicaId{1}, old, ConductorIncarnation{1}});
  BOOST_TEST((state() == ReplicaState::preparing));
}

BOOST_FIXTURE_TEST_CASE(a_failed_prepare_leaves_its_node_out_for_a_while, Serving) {
  start("w4");
  prepared("w4", "chat", Error{ErrorCode::not_found, "no such file"});
  BOOST_TEST((state() == ReplicaState::serving));
  pass(500ms);
  BOOST_TEST((state() == ReplicaState::serving));
  pass(600ms);
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  prepared("w4", "chat", Error{ErrorCode::not_found, "no such file"});
  pass(1900ms);
  BOOST_TEST((state() == ReplicaState::serving));
  pass(200ms);
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  settle();
  BOOST_TEST(serving().ranks() == 4u);
}

BOOST_FIXTURE_TEST_CASE(who_does_not_prepare_in_time_is_left_out, Serving) {
  kill("w3");
  prepared("w1", "chat");
  const TimePoint before = now;
  while (state() != ReplicaState::preparing || pending().epoch.value == 2) pass(200ms);
  BOOST_TEST((now - before >= options.prepare_timeout));
  BOOST_TEST((names_of(pending()) == Names{"w1"}));
}

BOOST_FIXTURE_TEST_CASE(a_broken_epoch_is_planned_again_after_a_moment_and_then_more_slowly, Serving) {
  broken("w2", "chat", serving().epoch, "peer closed");
  BOOST_TEST((core.locate("chat").error().code == ErrorCode::unavailable));
  BOOST_TEST((state() == ReplicaState::waiting));
  pass(50ms);
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST(pending().epoch.value == 2u);
  settle();
  broken("w2", "chat", serving().epoch, "peer closed");
  pass(150ms);
  BOOST_TEST((state() == ReplicaState::waiting));
  pass(50ms);
  BOOST_TEST((state() == ReplicaState::preparing));
}

BOOST_FIXTURE_TEST_CASE(the_loss_behind_a_broken_epoch_ends_the_wait, Serving) {
  broken("w1", "chat", serving().epoch, "peer closed");
  kill("w3");
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST((names_of(pending()) == Names{"w1", "w2"}));
}

BOOST_FIXTURE_TEST_CASE(a_broken_hand_over_is_followed_by_an_activation, Serving) {
  drain("w3");
  all_prepared("chat");
  broken("w2", "chat", pending().epoch, "no pages came");
  BOOST_TEST((core.locate("chat").error().code == ErrorCode::unavailable));
  pass(150ms);
  BOOST_REQUIRE((state() == ReplicaState::preparing));
  BOOST_TEST(pending().previous.value == 0u);
  settle();
  BOOST_TEST((names_of(serving()) == Names{"w1", "w2"}));
}

BOOST_FIXTURE_TEST_CASE(a_switch_that_never_ends_is_given_up, Serving) {
  kill("w3");
  all_prepared("chat");
  BOOST_REQUIRE((state() == ReplicaState::switching));
  const Epoch stuck = pending().epoch;
  const TimePoint before = now;
  while (replica("chat").pending && pending().epoch == stuck) pass(1s);
  BOOST_TEST((now - before >= options.switch_timeout));
  pass(1s);
  settle();
  BOOST_TEST((state() == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(the_newest_change_wins_while_one_is_being_prepared, Serving) {
  start("w4");
  const Epoch first = pending().epoch;
  start("w5");
  BOOST_TEST((pending().epoch > first));
  BOOST_TEST((names_of(pending()) == Names{"w1", "w2", "w3", "w4", "w5"}));
  drain("w4");
  BOOST_TEST((names_of(pending()) == Names{"w1", "w2", "w3", "w5"}));
  BOOST_TEST(node("w4").held.empty());
}

BOOST_FIXTURE_TEST_CASE(a_change_during_a_switch_waits_for_its_end, Serving) {
  start("w4");
  all_prepared("chat");
  const Epoch first = pending().epoch;
  start("w5");
  BOOST_TEST((pending().epoch == first));
  activate("chat");
  BOOST_TEST((state() == ReplicaState::preparing));
  BOOST_TEST(pending().ranks() == 5u);
}

BOOST_FIXTURE_TEST_CASE(a_node_that_was_wrongly_given_up_starts_afresh, Serving) {
  node("w2").frozen = true;
  pass(700ms);
  settle();
  BOOST_REQUIRE((names_of(serving()) == Names{"w1", "w3"}));
  BOOST_REQUIRE_EQUAL(node("w2").held.size(), 1u);
  node("w2").frozen = false;
  reconnect("w2");
  BOOST_TEST(count<RetireEpoch>() == 1u);
  BOOST_TEST(node("w2").held.size() == 1u);  // of the new plan
  settle();
  BOOST_TEST(serving().ranks() == 3u);
}

BOOST_FIXTURE_TEST_CASE(replicas_that_share_workers_lease_the_lowest_shared_one, ServingTwo) {
  DeploySpec spec;
  spec.name = "talk";
  deploy(spec);
  BOOST_TEST((replica("talk").pending->lease_nodes == std::vector<NodeId>{NodeId{1}}));
  settle();
  // The first one has had it from the beginning, as its conductor is there.
  BOOST_TEST((serving().lease_nodes == std::vector<NodeId>{NodeId{1}}));
  BOOST_TEST((serving().epoch == Epoch{1}));
  undeploy("talk");
  BOOST_TEST((state() == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_lease_that_the_first_replica_has_not_makes_a_new_epoch_on_the_same_shards, FakeCluster) {
  start("w1", 1, 329);  // half of one takes 325: nothing of the other has room
  start("w2");
  start("w3");
  DeploySpec spec;
  spec.name = "chat";
  spec.workers = 2;
  spec.kv_positions = 320;
  deploy(spec);
  settle();
  BOOST_REQUIRE((names_of(*replica("chat").serving) == Names{"w1", "w2"}));
  spec.name = "talk";
  deploy(spec);
  BOOST_REQUIRE((names_of(*replica("talk").pending) == Names{"w2"}));
  settle();
  const EpochPlan plan = *replica("chat").serving;
  BOOST_TEST((plan.previous == Epoch{1}));
  BOOST_TEST((plan.lease_nodes == std::vector<NodeId>{NodeId{1}, NodeId{2}}));
  BOOST_TEST((names_of(plan) == Names{"w1", "w2"}));
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_comes_back_as_a_node_that_does_not_compute_is_planned_away, Serving) {
  kill("w2");
  node("w2").alive = true;
  node("w2").info.computes = false;
  node("w2").info.speed = 0;
  node("w2").info.incarnation.value += 100;
  reconnect("w2");
  settle();
  BOOST_TEST((state() == ReplicaState::serving));
  BOOST_TEST((names_of(serving()) == Names{"w1", "w3"}));
}

BOOST_FIXTURE_TEST_CASE(a_serving_worker_that_has_no_speed_any_more_does_not_end_the_coordinator, ServingTwo) {
  // A new coordinator adopts the plan, and compares it with one of faster workers.
  node("w2").info.computes = false;
  node("w2").info.speed = 0;
  restart();
  for (const char* name : {"w1", "w2", "w3"}) reconnect(name);
  BOOST_REQUIRE((state() == ReplicaState::serving));
  start("w4", 10);
  settle();
  BOOST_TEST((state() == ReplicaState::serving));
  // What w2 held is handed over.
  BOOST_TEST(serving().ranks() == 2u);
  BOOST_TEST((names_of(serving()) == Names{"w1", "w4", "w2"}));
}

BOOST_FIXTURE_TEST_CASE(losing_every_worker_waits_and_the_next_one_serves_alone, Serving) {
  for (const char* name : {"w1", "w2", "w3"}) kill(name);
  BOOST_TEST((state() == ReplicaState::waiting));
  start("w4");
  settle();
  BOOST_TEST((names_of(serving()) == Names{"w4"}));
}

BOOST_AUTO_TEST_SUITE_END()
