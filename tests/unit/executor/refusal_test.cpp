// What an executor refuses, and how it behaves towards peers that it cannot trust to be current.
#include <boost/test/unit_test.hpp>

#include "cluster/exchange/commands.hpp"
#include "cluster/exchange/mesh.hpp"
#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

struct Small {
  Small() : checkpoint(make_checkpoint(folder, awkward_shape(), DType::f32)), cluster(checkpoint) {}
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  TestCluster cluster;
};

/// The root of an epoch whose only other rank is a real executor on node 2: sends what the test wants.
struct StrangeRoot : Small {
  StrangeRoot() : plan(cluster.plan({{{1}, {2}}})) { connect(); }
  void connect() {
    TestNode& node = cluster.node(1);
    mesh = std::make_unique<Mesh>(*node.listener, plan, ParticipantIndex{0},
                                  TestCluster::keys_for(plan, ParticipantIndex{0}), node.exchange);
    member().executor->prepare(plan, TestCluster::keys_for(plan, ParticipantIndex{1}));
    BOOST_REQUIRE(mesh->connect(cluster.node_clock().now() + std::chrono::seconds(20)));
    BOOST_REQUIRE(member().events.wait_prepared(plan.epoch));
  }
  TestReplica& member() { return cluster.at(2); }
  void send(std::uint64_t step, const Command& command) {
    BOOST_REQUIRE(mesh->send_command(ParticipantIndex{1}, step, encoder.encode(command)));
  }
  AckCommand begin(ConductorIncarnation incarnation) {
    mesh->set_incarnation(incarnation);
    send(0, BeginCommand{incarnation, 1});
    const auto received = mesh->receive_command(ParticipantIndex{1});
    BOOST_REQUIRE(received);
    const auto command = decode_command(received->bytes, {});
    BOOST_REQUIRE(command);
    return std::get<AckCommand>(*command);
  }
  static StepCommand one_row(std::uint64_t number) {
    StepCommand command;
    command.number = number;
    command.rows.push_back({5, 0, 0, true});
    command.sequences.push_back({PageId{0}});
    return command;
  }
  EpochPlan plan;
  std::unique_ptr<Mesh> mesh;
  CommandEncoder encoder;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(refusals)

BOOST_FIXTURE_TEST_CASE(commands_with_old_numbers_are_refused_and_change_nothing, Small) {
  const EpochPlan plan = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(plan));
  ReplicaExecutor& executor = *cluster.at(1).executor;
  EpochPlan old = plan;
  old.epoch = Epoch{0};
  executor.prepare(old, TestCluster::keys_for(old, ParticipantIndex{0}));
  BOOST_TEST(!cluster.at(1).events.wait_prepared(old.epoch));
  cluster.term = Term{2};
  const EpochPlan next = cluster.plan({{{1}}}, &plan);
  BOOST_REQUIRE(cluster.prepare(next));
  BOOST_TEST(!executor.activate(Term{1}, next.epoch, {1}));
  BOOST_TEST(!executor.hand_over(Term{1}, plan.epoch, next.epoch, {1}));
  BOOST_TEST(!executor.retire(Term{1}, plan.epoch));
  BOOST_TEST(!executor.activate(Term{2}, plan.epoch, {1}));
  const StreamRequest request = make_request(1, 4, 5, 1100);
  BOOST_REQUIRE(cluster.submit(plan, request));
  BOOST_TEST(cluster.frontends().wait({request.id}, [](const StreamRecord& one) { return one.ended(); }));
  BOOST_REQUIRE(executor.held().size() == 2u);
  BOOST_TEST(executor.held()[0].conducts);
  BOOST_TEST(!executor.held()[1].active);
}

BOOST_FIXTURE_TEST_CASE(plans_that_do_not_fit_the_file_or_the_node_are_answered_with_the_reason, Small) {
  EpochPlan plan = cluster.plan({{{1}}});
  plan.profile = "cuda-fma-1";
  Result<void> result = cluster.prepare(plan);
  BOOST_REQUIRE(!result);
  BOOST_TEST(result.error().message.find("cuda-fma-1") != std::string::npos);
  plan = cluster.plan({{{1}}});
  plan.content_id.back() = plan.content_id.back() == '0' ? '1' : '0';
  BOOST_TEST(!cluster.prepare(plan));
  plan = cluster.plan({{{1}}});
  plan.stages[0].layers.end = 1;
  BOOST_TEST(!cluster.prepare(plan));
  plan = cluster.plan({{{1}}});
  plan.uri = folder.file("nothing.h5");
  result = cluster.prepare(plan);
  BOOST_REQUIRE(!result);
  BOOST_TEST(result.error().message.find("nothing.h5") != std::string::npos);
  BOOST_TEST(cluster.at(1).executor->held().empty());
  BOOST_REQUIRE(cluster.start(cluster.plan({{{1}}})));
}

BOOST_FIXTURE_TEST_CASE(a_newer_plan_stops_the_preparation_that_waits_for_a_missing_peer, Small) {
  const EpochPlan waiting = cluster.plan({{{1}, {2}}});
  ReplicaExecutor& executor = *cluster.at(1).executor;
  executor.prepare(waiting, TestCluster::keys_for(waiting, ParticipantIndex{0}));
  const EpochPlan next = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(next));
  const Result<void> stopped = cluster.at(1).events.wait_prepared(waiting.epoch);
  BOOST_REQUIRE(!stopped);
  BOOST_TEST(int(stopped.error().code) == int(ErrorCode::cancelled));
}

BOOST_FIXTURE_TEST_CASE(a_step_of_an_older_conductor_breaks_the_epoch, StrangeRoot) {
  BOOST_TEST(bool(begin({5}).result));
  mesh->set_incarnation({4});
  send(1, one_row(1));
  BOOST_TEST(int(member().events.wait_broken(plan.epoch).code) == int(ErrorCode::conflict));
}

BOOST_FIXTURE_TEST_CASE(a_step_that_skips_a_number_breaks_the_epoch, StrangeRoot) {
  BOOST_TEST(bool(begin({5}).result));
  send(2, one_row(2));
  BOOST_TEST(int(member().events.wait_broken(plan.epoch).code) == int(ErrorCode::conflict));
}

BOOST_FIXTURE_TEST_CASE(a_step_outside_the_pages_breaks_the_epoch_and_not_the_node, StrangeRoot) {
  BOOST_TEST(bool(begin({5}).result));
  StepCommand command = one_row(1);
  command.rows[0].position = 40;
  send(1, command);
  member().events.wait_broken(plan.epoch);
  BOOST_REQUIRE(cluster.start(cluster.plan({{{2}}})));
}

BOOST_FIXTURE_TEST_CASE(a_begin_after_a_newer_epoch_began_is_refused, StrangeRoot) {
  const EpochPlan next = cluster.plan({{{2}}});
  BOOST_REQUIRE(cluster.prepare(next));
  BOOST_REQUIRE(member().executor->activate(cluster.term, next.epoch, {1}));
  BOOST_REQUIRE(member().events.wait_activated(next.epoch));
  // The older epoch was never begun, so its connections are closed.
  mesh->set_incarnation({5});
  static_cast<void>(mesh->send_command(ParticipantIndex{1}, 0, encoder.encode(BeginCommand{{5}, 1})));
  BOOST_TEST(!mesh->receive_command(ParticipantIndex{1}));
  BOOST_TEST(member().executor->held().size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(retiring_an_epoch_wakes_the_step_that_waits_in_it, StrangeRoot) {
  BOOST_TEST(bool(begin({5}).result));
  send(1, one_row(1));
  // The member's partial sums show that it is inside the step, where it waits for this rank's.
  Mesh* const meshes[] = {mesh.get()};
  const Arrival arrival =
      wait_any(meshes, -1, cluster.node_clock().now() + std::chrono::seconds(20), cluster.node(1).exchange);
  BOOST_REQUIRE(int(arrival.kind) == int(Arrival::Kind::command));
  BOOST_REQUIRE(member().executor->retire(cluster.term, plan.epoch));
  BOOST_REQUIRE(cluster.start(cluster.plan({{{2}}})));
  BOOST_TEST(!member().events.is_broken(plan.epoch));
}

BOOST_FIXTURE_TEST_CASE(streams_are_refused_where_nobody_conducts, Small) {
  const EpochPlan plan = cluster.plan({{{1}, {2}}});
  BOOST_REQUIRE(cluster.start(plan));
  const Result<void> refused = cluster.at(2).executor->submit(make_request(1, 4, 4, 1100));
  BOOST_REQUIRE(!refused);
  BOOST_TEST(int(refused.error().code) == int(ErrorCode::unavailable));
  StreamRequest wrong = make_request(1, 4, 4, 1100);
  wrong.prompt[0] = 5000;
  BOOST_TEST(int(cluster.at(1).executor->submit(wrong).error().code) == int(ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
