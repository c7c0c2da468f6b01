// Checkpoints whose bytes are wrong: a bounded number of plans, a visible failure, and the way back.
#include <boost/test/unit_test.hpp>

#include "tests/unit/control/fake_cluster.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(coordinator_damage)

namespace {

const std::string reason = "/m.h5: dataset layers.0.attn_q, slice 3: checksum 0x1, expected 0x2";

struct Serving : FakeCluster {
  Serving() {
    for (const char* name : {"w1", "w2", "w3"}) start(name);
    DeploySpec spec;
    spec.name = "chat";
    deploy(spec);
    settle();
  }
  ReplicaStatus chat() const { return replica("chat"); }
  void damage(const std::string& node) {
    const auto& plan = chat().pending ? chat().pending : chat().serving;
    damaged(node, "chat", plan ? plan->epoch : Epoch{}, reason);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_node_with_a_damaged_copy_loses_its_shard_and_the_rest_check_before_they_serve, Serving) {
  damage("w2");
  BOOST_REQUIRE(chat().state == ReplicaState::preparing);
  BOOST_TEST(!chat().serves);
  BOOST_TEST(!chat().pending->find(id_of("w2")));
  BOOST_TEST(chat().pending->check_first);
  BOOST_TEST(chat().pending->previous.value == 0u, "KV that was computed from damaged weights is of no use");
  settle();
  BOOST_REQUIRE(chat().state == ReplicaState::serving);
  BOOST_TEST(chat().message.find(reason) != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(when_every_copy_is_damaged_the_deployment_fails_and_says_why, Serving) {
  std::uint32_t plans = 0;
  for (const char* name : {"w2", "w1", "w3"}) {
    damage(name);
    plans += static_cast<std::uint32_t>(count<PrepareEpoch>());
  }
  BOOST_TEST(plans == 2u);
  BOOST_REQUIRE(chat().state == ReplicaState::failed);
  BOOST_TEST(chat().message.find(reason) != std::string::npos);
  const auto location = core.locate("chat");
  BOOST_REQUIRE(!location);
  BOOST_TEST(int(location.error().code) == int(ErrorCode::corrupt));
  BOOST_TEST(location.error().message.find(reason) != std::string::npos);
  pass(60s);
  BOOST_TEST(count<PrepareEpoch>() == 0u, "it is not tried for ever");
  for (const char* name : {"w1", "w2", "w3"}) BOOST_TEST(node(name).held.empty());
}

BOOST_FIXTURE_TEST_CASE(a_report_that_comes_again_changes_nothing, Serving) {
  damage("w2");
  settle();
  damage("w2");
  BOOST_TEST(count<Persist>() == 0u);
  BOOST_TEST((chat().state == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_new_process_of_the_node_is_trusted_again, Serving) {
  for (const char* name : {"w1", "w2", "w3"}) damage(name);
  BOOST_REQUIRE(chat().state == ReplicaState::failed);
  kill("w1");
  start("w1");
  BOOST_REQUIRE(chat().state == ReplicaState::preparing);
  BOOST_TEST(chat().pending->ranks() == 1u);
  BOOST_TEST(chat().pending->check_first);
  settle();
  BOOST_TEST(bool(core.locate("chat")));
}

BOOST_FIXTURE_TEST_CASE(while_a_worker_that_may_have_a_good_copy_is_away_it_waits, Serving) {
  kill("w3");
  damage("w1");
  damage("w2");
  BOOST_REQUIRE(chat().state == ReplicaState::waiting);
  start("w3");
  settle();
  BOOST_TEST((chat().state == ReplicaState::serving));
}

BOOST_FIXTURE_TEST_CASE(a_successor_knows_of_the_damage, Serving) {
  for (const char* name : {"w1", "w2", "w3"}) damage(name);
  restart();
  for (const char* name : {"w1", "w2", "w3"}) reconnect(name);
  BOOST_TEST((chat().state == ReplicaState::failed));
  BOOST_TEST(chat().message.find(reason) != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(pages_that_were_taken_over_from_a_damaged_shard_are_computed_again, Serving) {
  const Epoch first = chat().serving->epoch;
  drain("w2");
  settle();
  BOOST_REQUIRE(chat().serving->previous == first);
  damaged("w2", "chat", first, reason);
  BOOST_REQUIRE(chat().state == ReplicaState::preparing);
  BOOST_TEST(!chat().serves);
}

BOOST_FIXTURE_TEST_CASE(damage_that_a_joiner_finds_before_it_computes_disturbs_nobody, Serving) {
  start("w4");
  BOOST_REQUIRE(chat().pending.has_value());
  damage("w4");
  BOOST_TEST(chat().serves);
  BOOST_TEST((chat().state == ReplicaState::serving));
}

BOOST_AUTO_TEST_SUITE_END()
