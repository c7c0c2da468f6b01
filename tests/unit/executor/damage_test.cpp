// A checkpoint whose bytes are not those that were deployed: who finds it, and what becomes of the epoch and the node.
#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

/// Two ranks; the last slice of the last layer's FFN, which the second holds, has a flipped bit.
struct Damaged {
  Damaged() : checkpoint(make_checkpoint(folder, awkward_shape(), DType::q8)), cluster(checkpoint) {
    const std::uint32_t last = checkpoint->manifest().geometry.ffn_slices - 1;
    damage_copy(*checkpoint, "layers.1.ffn_down", last, path);
  }
  EpochPlan plan() {
    EpochPlan plan = cluster.plan({{{1}, {2}}});
    plan.uri = path;
    return plan;
  }
  void prepare(const EpochPlan& plan) {
    for (std::uint32_t i = 0; i < plan.participants.size(); ++i) {
      cluster.at(plan.participants[i].node.value)
          .executor->prepare(plan, TestCluster::keys_for(plan, ParticipantIndex{i}));
    }
  }
  /// From the undamaged file: the nodes live, and compute the right bits.
  void serve_sound() {
    const EpochPlan good = cluster.plan({{{1}, {2}}});
    const Result<void> started = cluster.start(good);
    BOOST_REQUIRE_MESSAGE(started, started.error().message);
    const StreamRequest request = make_request(1, 4, 5, 1100);
    BOOST_REQUIRE(cluster.submit(good, request));
    BOOST_REQUIRE(cluster.frontends().wait({request.id}, [](const StreamRecord& one) { return one.ended(); }));
    BOOST_TEST(same(cluster.frontends().record(request.id), undisturbed(checkpoint, request)));
  }
  void check(const Error& error) const {
    for (const std::string& word : {path, std::string("layers.1.ffn_down"), std::string("slice")})
      BOOST_TEST(error.message.find(word) != std::string::npos, error.message << " does not name " << word);
  }
  TemporaryFolder folder;
  const std::string path = folder.file("damaged.h5");
  std::shared_ptr<const Checkpoint> checkpoint;
  TestCluster cluster;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(damage)

BOOST_FIXTURE_TEST_CASE(a_flipped_bit_fails_the_shard_that_maps_it_and_names_file_and_dataset, Damaged) {
  const EpochPlan bad = plan();
  prepare(bad);
  EventLog& finder = cluster.at(2).events;
  check(finder.wait_damaged(bad.epoch));
  // Found before the mesh was complete, or afterwards.
  const Result<void> prepared = finder.wait_prepared(bad.epoch);
  check(prepared ? finder.wait_broken(bad.epoch) : prepared.error());
  BOOST_TEST(cluster.at(2).executor->held().empty());
  cluster.retire(bad);
  static_cast<void>(cluster.at(1).events.wait_prepared(bad.epoch));
  BOOST_TEST(!cluster.at(1).events.is_damaged(bad.epoch));
  serve_sound();
}

BOOST_FIXTURE_TEST_CASE(the_next_epoch_does_not_read_what_the_last_one_found_damaged, Damaged) {
  EpochPlan bad = cluster.plan({{{1}, {2}}});
  bad.uri = folder.file("served.h5");
  std::filesystem::copy_file(checkpoint->source().name(), bad.uri);
  BOOST_REQUIRE(cluster.start(bad));
  // Sound until it serves; then somebody writes to it.
  {
    std::ifstream damaged(path, std::ios::binary);
    std::ofstream(bad.uri, std::ios::binary | std::ios::in) << damaged.rdbuf();
  }
  static_cast<void>(cluster.at(2).events.wait_damaged(bad.epoch));
  // The same model from another file, while the old epoch is still there.
  serve_sound();
}

BOOST_FIXTURE_TEST_CASE(where_the_plan_says_so_bytes_are_checked_before_the_epoch_is_prepared, Damaged) {
  EpochPlan bad = plan();
  bad.check_first = true;
  prepare(bad);
  const Result<void> prepared = cluster.at(2).events.wait_prepared(bad.epoch);
  BOOST_REQUIRE(!prepared);
  check(prepared.error());
  check(cluster.at(2).events.wait_damaged(bad.epoch));
  cluster.retire(bad);
  EpochPlan good = cluster.plan({{{1}, {2}}});
  good.check_first = true;
  BOOST_REQUIRE(cluster.start(good));
}

BOOST_FIXTURE_TEST_CASE(another_file_under_the_name_is_reported_as_damage, Damaged) {
  EpochPlan other = cluster.plan({{{1}}});
  other.uri = make_checkpoint(folder, awkward_shape(), DType::f32, 2)->source().uri();
  prepare(other);
  BOOST_TEST(!cluster.at(1).events.wait_prepared(other.epoch));
  const Error error = cluster.at(1).events.wait_damaged(other.epoch);
  BOOST_TEST(error.message.find("another model") != std::string::npos, error.message);
}

BOOST_FIXTURE_TEST_CASE(no_token_leaves_the_conductor_once_its_weights_are_known_to_be_damaged, Damaged) {
  EpochPlan alone = cluster.plan({{{2}}});
  alone.uri = path;
  const StreamRequest request = make_request(1, 4, 120, 1100);
  if (cluster.start(alone)) static_cast<void>(cluster.submit(alone, request));
  check(cluster.at(2).events.wait_damaged(alone.epoch));
  // On a busy machine all tokens may have been computed before the damage was found; then there is nothing to stop.
  const bool complete = cluster.frontends().record(request.id).ended();
  const Result<void> prepared = cluster.at(2).events.wait_prepared(alone.epoch);
  // The executor's thread has said that the epoch is over; whatever came until then is all.
  cluster.retire(alone);
  const EpochPlan next = cluster.plan({{{2}}});
  BOOST_REQUIRE(cluster.prepare(next));
  const std::size_t tokens = cluster.frontends().record(request.id).tokens.size();
  if (!complete) BOOST_TEST(tokens < 120u);
  static_cast<void>(prepared);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
