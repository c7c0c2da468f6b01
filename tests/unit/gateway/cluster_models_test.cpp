// The deployments of a cluster, as a gateway reaches them: over real connections, a cluster played by the test.
#include "gateway/cluster_models.hpp"

#include <atomic>
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/wakeup.hpp"
#include "tests/unit/clients/fake_cluster.hpp"

namespace {

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

struct ClusterFixture : FakeCluster {
  ClusterFixture() {
    {
      const std::lock_guard lock(stage.mutex);
      a.chat_template = "{{ messages[0].content }}";
      coordinator.cluster.profile = "cpu-1";
      coordinator.cluster.deployments.push_back(deployment_of("story"));
      coordinator.cluster.deployments.back().facts.content_id = "content";
      NodeStatus node;
      node.info.name = "a";
      node.load.streams_waiting = 3;
      node.load.kv_pages_cached = 4;
      node.load.kv_bytes = 6;
      node.load.replicas = {
          {{7}, 2, 3, 4, 5, 6, 5, 1, {}}, {{8}, 2, 3, 4, 5, 6, 5, 1, {}}, {{9}, 1, 2, 3, 4, 5, 6, 7, {}}};
      coordinator.cluster.deployments.back().others.push_back({{9}, ReplicaState::serving, true, {}, {}, {}, {}, {}});
      coordinator.cluster.deployments.back().replica.replica = {7};
      node.load.draft_tokens = 9;
      node.load.draft_tokens_accepted = 8;
      node.load.connections_refused = 21;
      node.load.calls_denied = 22;
      coordinator.cluster.nodes.push_back(node);
    }
    auto connected = ClusterModels::connect(options(Role::gateway));
    BOOST_REQUIRE_MESSAGE(static_cast<bool>(connected), why(connected));
    models = *std::move(connected);
  }

  StreamSpec spec(std::uint32_t tokens) const {
    StreamSpec spec;
    spec.model = "story";
    spec.prompt = {1, 70, 80};
    spec.tokens_max = tokens;
    spec.sampling.seed = 7;
    return spec;
  }

  std::unique_ptr<ClusterModels> models;
};

/// Reads a stream to its end, asleep until it has news.
struct Reader {
  std::mutex mutex;
  std::condition_variable changed;
  bool told = false;

  std::function<void()> listener() {
    return [this] {
      const std::lock_guard lock(mutex);
      told = true;
      changed.notify_all();
    };
  }
  std::vector<TokenId> read(TokenStream& stream) {
    std::vector<TokenId> ids;
    while (!stream.done()) {
      {
        std::unique_lock lock(mutex);
        BOOST_REQUIRE(changed.wait_for(lock, patience, [this] { return std::exchange(told, false); }));
      }
      while (const auto event = stream.poll()) {
        if (event->kind == client::GenerateEvent::Kind::token) ids.push_back(event->token);
      }
    }
    return ids;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(gateway_cluster_models, ClusterFixture)

BOOST_AUTO_TEST_CASE(a_model_comes_with_its_tokenizer_and_its_template_which_are_fetched_once) {
  const auto found = models->find("story");
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(found), why(found));
  BOOST_TEST(found->model.context_length == 64u);
  BOOST_TEST(found->model.profile == "cpu-1");
  BOOST_REQUIRE(found->tokenizer);
  BOOST_REQUIRE(found->chat);
  BOOST_TEST(found->chat->source() == "{{ messages[0].content }}");
  const std::uint32_t chunks = [&] {
    const std::lock_guard lock(stage.mutex);
    return a.tokenizer_chunks;
  }();
  BOOST_TEST(static_cast<bool>(models->find("story")));
  const std::lock_guard lock(stage.mutex);
  BOOST_TEST(a.tokenizer_chunks == chunks);
}

BOOST_AUTO_TEST_CASE(what_is_deployed_later_is_found_and_what_is_unknown_is_not) {
  const auto unknown = models->find("later");
  BOOST_REQUIRE(!unknown);
  BOOST_TEST((unknown.error().code == ErrorCode::not_found));
  {
    const std::lock_guard lock(stage.mutex);
    coordinator.cluster.deployments.push_back(deployment_of("later"));
    coordinator.cluster.deployments.back().facts.content_id = "content";
  }
  const SystemClock clock;
  const TimePoint limit = clock.now() + patience;
  while (!models->find("later")) BOOST_REQUIRE(clock.now() < limit);
}

BOOST_AUTO_TEST_CASE(a_stream_wakes_its_reader_and_ends) {
  a.allow(1000);
  Reader reader;
  auto stream = models->start(spec(5), reader.listener());
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(stream), why(stream));
  BOOST_TEST(reader.read(**stream) == expected_tokens({1, 70, 80}, 7, 5), boost::test_tools::per_element());
  BOOST_TEST(!(*stream)->error().has_value());
  const std::lock_guard lock(stage.mutex);
  BOOST_TEST(coordinator.jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_stream_that_nobody_holds_is_cancelled) {
  a.allow(1);
  Reader reader;
  {
    auto stream = models->start(spec(5), reader.listener());
    BOOST_REQUIRE(static_cast<bool>(stream));
    BOOST_TEST(stage.wait([&] { return !a.opened.empty(); }));
  }
  BOOST_TEST(stage.wait([&] { return a.cancelled.size() == 1; }));
}

BOOST_AUTO_TEST_CASE(while_the_coordinator_is_away_what_it_said_last_counts) {
  BOOST_TEST(static_cast<bool>(models->find("story")));
  stop_coordinator();
  const SystemClock clock;
  const TimePoint limit = clock.now() + patience;
  while (models->list()) BOOST_REQUIRE(clock.now() < limit);
  BOOST_TEST(static_cast<bool>(models->find("story")));
}

BOOST_AUTO_TEST_CASE(the_load_of_nodes_is_told) {
  const auto load = models->load();
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(load), why(load));
  BOOST_REQUIRE(load->nodes.size() == 1u);
  BOOST_TEST(load->nodes[0].streams_waiting == 3u);
  BOOST_TEST(load->nodes[0].kv_pages_cached == 4u);
  BOOST_TEST(load->nodes[0].kv_bytes == 6u);
  BOOST_REQUIRE(load->conductors.size() == 1u);  // what is deployed no more is nobody's
  BOOST_TEST(load->conductors[0].node == "a");
  BOOST_TEST(load->conductors[0].model == "story");
  // Its two replicas there together, the step rows too.
  BOOST_TEST(load->conductors[0].load.prefix_tokens_hit == 11u);
  BOOST_TEST(load->conductors[0].load.streams_running == 3u);
  BOOST_TEST(load->conductors[0].load.kv_pages == 9u);
  BOOST_TEST(load->conductors[0].load.preempted == 8u);
  BOOST_TEST(load->nodes[0].draft_tokens == 9u);
  BOOST_TEST(load->nodes[0].draft_tokens_accepted == 8u);
  BOOST_TEST(load->nodes[0].connections_refused == 21u);
  BOOST_TEST(load->nodes[0].calls_denied == 22u);
  BOOST_TEST(load->models.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
