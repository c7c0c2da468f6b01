// Everything of a client but its streams.
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/unit/clients/fake_cluster.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

BOOST_FIXTURE_TEST_SUITE(clients, FakeCluster)

BOOST_AUTO_TEST_CASE(an_address_where_nobody_listens_is_unavailable_and_named) {
  client::Options nobody = options();
  stop_coordinator();
  nobody.connect_deadline = std::chrono::milliseconds(300);
  const auto client = client::Client::connect(nobody);
  BOOST_REQUIRE(!client);
  BOOST_TEST((client.error().code == client::ErrorCode::unavailable));
  BOOST_TEST(client.error().message.find(nobody.coordinator) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_address_that_is_none_is_refused) {
  client::Options bad = options();
  bad.coordinator = "nowhere";
  const auto client = client::Client::connect(bad);
  BOOST_REQUIRE(!client);
  BOOST_TEST((client.error().code == client::ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_CASE(a_coordinator_of_another_name_is_not_trusted) {
  client::Options wrong = options();
  wrong.server_name = "elsewhere";
  const auto client = client::Client::connect(wrong);
  BOOST_REQUIRE(!client);
  BOOST_TEST((client.error().code == client::ErrorCode::denied));
}

BOOST_AUTO_TEST_CASE(a_role_that_may_not_is_denied_and_may_go_on_with_what_it_may) {
  auto client = connect(Role::user);
  const auto drained = client.drain("a");
  BOOST_REQUIRE(!drained);
  BOOST_TEST((drained.error().code == client::ErrorCode::denied));
  client::DeployRequest request;
  request.name = "story";
  request.uri = "story.h5";
  BOOST_TEST((client.deploy(request).error().code == client::ErrorCode::denied));
  BOOST_TEST(static_cast<bool>(client.status()));
}

BOOST_AUTO_TEST_CASE(a_deployment_whose_checkpoint_is_damaged_fails_at_once_with_the_reason) {
  auto client = connect();
  client::DeployRequest request;
  request.name = "damaged";
  request.uri = "damaged.h5";
  const auto deployed = client.deploy(request);
  BOOST_REQUIRE(!deployed);
  BOOST_TEST((deployed.error().code == client::ErrorCode::corrupt));
  BOOST_TEST(deployed.error().message.find("dataset head, slice 3") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(calls_made_while_the_coordinator_is_away_wait_for_it) {
  auto client = connect();
  BOOST_REQUIRE(client.status());
  stop_coordinator();
  std::thread restart([this] { start_coordinator(); });
  const auto status = client.status();
  restart.join();
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(status), why(status));
}

BOOST_AUTO_TEST_CASE(a_call_ends_at_its_deadline_when_the_coordinator_stays_away) {
  client::Options hasty = options();
  hasty.call_deadline = std::chrono::milliseconds(300);
  auto client = client::Client::connect(hasty);
  BOOST_REQUIRE(client);
  stop_coordinator();
  const auto status = client->status();
  BOOST_REQUIRE(!status);
  BOOST_TEST((status.error().code == client::ErrorCode::unavailable));
}

BOOST_AUTO_TEST_CASE(keep_going_ends_a_call_that_waits) {
  bool go = true;
  client::Options impatient = options();
  impatient.keep_going = [&] { return go; };
  auto client = client::Client::connect(impatient);
  BOOST_REQUIRE(client);
  stop_coordinator();
  go = false;
  const auto status = client->status();
  BOOST_REQUIRE(!status);
  BOOST_TEST((status.error().code == client::ErrorCode::cancelled));
}

BOOST_AUTO_TEST_CASE(status_shows_nodes_plans_and_load) {
  {
    const std::lock_guard lock(stage.mutex);
    ClusterStatus& cluster = coordinator.cluster;
    cluster.term = Term{3};
    cluster.profile = "cpu-1";
    NodeStatus node;
    node.node = NodeId{1};
    node.info.name = "a";
    node.info.rpc = {"127.0.0.1", 7001};
    node.state = NodeState::draining;
    node.load.kv_bytes_used = 77;
    node.load.kv_pages_cached = 5;
    node.load.prefix_tokens_queried = 200;
    node.load.prefix_tokens_hit = 100;
    cluster.nodes = {node};
    DeploymentStatus deployment = deployment_of("story");
    deployment.replica.state = ReplicaState::serving;
    deployment.replica.serves = true;
    EpochPlan plan;
    plan.epoch = Epoch{5};
    StagePlan stage_plan;
    stage_plan.layers = {0, 4};
    stage_plan.shards = {{{0, 1}, {0, 2}, {0, 1}}, {{1, 2}, {2, 6}, {1, 1}}};
    plan.stages = {stage_plan};
    plan.participants = {{NodeId{1}, "a", {}}, {NodeId{2}, "b", {}}};
    deployment.replica.serving = plan;
    deployment.replica.metrics = ReplicaMetrics{{1}, {5}, 10, 40, 20, 2.0, 0.01, 0.02, 0.25, 0.125};
    cluster.deployments = {deployment};
  }
  auto client = connect();
  const auto status = client.status();
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(status), why(status));
  BOOST_TEST(status->term == 3u);
  BOOST_TEST(status->nodes.at(0).endpoint == "127.0.0.1:7001");
  BOOST_TEST((status->nodes.at(0).state == client::NodeState::draining));
  BOOST_TEST(status->nodes.at(0).kv_bytes_used == 77u);
  BOOST_TEST(status->nodes.at(0).kv_pages_cached == 5u);
  BOOST_TEST(status->nodes.at(0).prefix_tokens_queried == 200u);
  BOOST_TEST(status->nodes.at(0).prefix_tokens_hit == 100u);
  const client::DeploymentStatus& deployment = status->deployments.at(0);
  BOOST_TEST(deployment.serves);
  BOOST_REQUIRE(deployment.serving);
  BOOST_TEST(deployment.serving->epoch == 5u);
  BOOST_TEST(deployment.serving->conductor == "a");
  BOOST_TEST(deployment.serving->shards.at(1).node == "b");
  BOOST_TEST(deployment.serving->shards.at(1).ffn.end == 6u);
  BOOST_TEST(!deployment.pending);
  BOOST_REQUIRE(deployment.metrics);
  BOOST_TEST(deployment.metrics->tokens_per_second == 10.0);
  BOOST_TEST(deployment.metrics->steps_per_second == 5.0);
  BOOST_TEST(deployment.metrics->rows_per_step == 4.0);
  BOOST_TEST(deployment.metrics->step_seconds_median == 0.01);
  BOOST_TEST(deployment.metrics->wait_share == 0.25);
}

BOOST_AUTO_TEST_CASE(a_watched_status_is_shown_once_per_change) {
  coordinator.statuses_per_term = 4;
  auto client = connect();
  std::vector<std::uint64_t> terms;
  const auto watched = client.watch_status(
      [&](const client::ClusterStatus& status) {
        terms.push_back(status.term);
        return terms.size() < 3;
      },
      std::chrono::milliseconds(5));
  BOOST_TEST(static_cast<bool>(watched));
  BOOST_TEST(terms == (std::vector<std::uint64_t>{0, 1, 2}), boost::test_tools::per_element());
  BOOST_TEST(coordinator.statuses >= 8u);
}

BOOST_AUTO_TEST_CASE(deploy_tells_its_progress_and_returns_when_it_serves) {
  auto client = connect();
  client::DeployRequest request;
  request.name = "story";
  request.uri = "story.h5";
  request.workers = 2;
  std::uint32_t told = 0;
  const auto deployed = client.deploy(request, [&](const client::DeploymentStatus& status) {
    BOOST_TEST((status.state == client::DeploymentState::preparing));
    ++told;
    const std::lock_guard lock(stage.mutex);
    coordinator.cluster.deployments.at(0).replica.serves = true;
    return true;
  });
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(deployed), why(deployed));
  BOOST_TEST(deployed->serves);
  BOOST_TEST(told >= 1u);
  BOOST_TEST(coordinator.deployed->workers == 2u);
  BOOST_TEST(!coordinator.deployed->idempotency_key.empty());
}

BOOST_AUTO_TEST_CASE(a_deployment_that_fits_nowhere_is_refused_with_the_coordinators_words) {
  auto client = connect();
  client::DeployRequest request;
  request.name = "too-big";
  request.uri = "big.h5";
  const auto deployed = client.deploy(request);
  BOOST_REQUIRE(!deployed);
  BOOST_TEST((deployed.error().code == client::ErrorCode::exhausted));
  BOOST_TEST(deployed.error().message == "too-big needs 2 GB, the workers have 1 GB");
}

BOOST_AUTO_TEST_CASE(a_deployment_that_does_not_serve_in_time_stays_and_says_so) {
  client::Options hasty = options();
  hasty.deploy_deadline = std::chrono::milliseconds(250);
  auto client = client::Client::connect(hasty);
  BOOST_REQUIRE(client);
  client::DeployRequest request;
  request.name = "story";
  request.uri = "story.h5";
  const auto deployed = client->deploy(request);
  BOOST_REQUIRE(!deployed);
  BOOST_TEST((deployed.error().code == client::ErrorCode::timed_out));
  BOOST_TEST(deployed.error().message.find("mapping slices") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(undeploy_drain_and_tokens_pass_what_was_asked) {
  auto client = connect();
  BOOST_TEST(static_cast<bool>(client.undeploy("story")));
  BOOST_TEST((client.undeploy("other").error().code == client::ErrorCode::not_found));
  BOOST_TEST(static_cast<bool>(client.drain("a")));
  const auto token = client.create_token({.role = "worker", .node = "w9", .lifetime = std::chrono::seconds(60)});
  BOOST_REQUIRE(token);
  BOOST_TEST(*token == "token for worker w9 60");
  BOOST_TEST((client.create_token({.role = "king"}).error().code == client::ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_CASE(logs_show_the_last_lines_and_follow) {
  for (std::uint64_t i = 1; i <= 5; ++i) coordinator.log.push_back({i, "line " + std::to_string(i), 1});
  auto client = connect();
  std::vector<std::string> lines;
  BOOST_TEST(static_cast<bool>(client.logs("a", 2, false, [&](const std::string& line) {
    lines.push_back(line);
    return true;
  })));
  BOOST_TEST(lines == (std::vector<std::string>{"line 4", "line 5"}), boost::test_tools::per_element());
  lines.clear();
  BOOST_TEST(static_cast<bool>(client.logs("a", 1, true, [&](const std::string& line) {
    lines.push_back(line);
    return lines.size() < 4;
  })));
  BOOST_TEST(lines == (std::vector<std::string>{"line 5", "line 6", "line 7", "line 8"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(who_follows_a_log_hears_the_nodes_next_process_too) {
  for (std::uint64_t i = 1; i <= 5; ++i) coordinator.log.push_back({i, "old " + std::to_string(i), 1});
  auto client = connect();
  std::vector<std::string> lines;
  const auto followed = client.logs("a", 1, true, [&](const std::string& line) {
    lines.push_back(line);
    if (lines.size() == 1) {
      const std::lock_guard lock(stage.mutex);
      coordinator.log_failures = {Error{ErrorCode::unavailable, "node 'a' is not connected"},
                                  Error{ErrorCode::timed_out, "the coordinator does not answer"}};
      coordinator.log = {{1, "new 1", 2}, {2, "new 2", 2}};
    }
    return lines.size() < 4;
  });
  BOOST_TEST(static_cast<bool>(followed));
  BOOST_TEST(lines == (std::vector<std::string>{"old 5", "new 1", "new 2", "line 3"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_log_that_cannot_be_followed_any_more_says_why) {
  coordinator.log = {{1, "line 1", 1}};
  coordinator.log_failures = {Error{ErrorCode::not_found, "no node is called 'a'"}};
  auto client = connect();
  const auto followed = client.logs("a", 1, true, [](const std::string&) { return true; });
  BOOST_REQUIRE(!followed);
  BOOST_TEST((followed.error().code == client::ErrorCode::not_found));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
