// A generation against real connections: what it delivers, and what it survives.
#include <algorithm>
#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/unit/clients/fake_cluster.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;
using client::GenerateEvent;
using Kind = client::GenerateEvent::Kind;

client::GenerateRequest request_of(std::uint32_t tokens, std::uint64_t seed = 7) {
  client::GenerateRequest request;
  request.deployment = "story";
  request.prompt_ids = {1, 70, 80};
  request.tokens_max = tokens;
  request.sampling.seed = seed;
  return request;
}

client::Generation start(client::Client& client, const client::GenerateRequest& request) {
  auto generation = client.generate(request);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(generation), why(generation));
  return *std::move(generation);
}

/// The next event, which must come.
GenerateEvent next(client::Generation& generation) {
  auto event = generation.next(patience);
  BOOST_REQUIRE_MESSAGE(event.has_value(), (generation.error() ? generation.error()->message : "no event came"));
  return *event;
}

struct Delivered {
  std::vector<TokenId> ids;
  std::string text;
  std::vector<std::string> resumed_at;
  std::optional<client::FinishReason> reason;

  void take(const GenerateEvent& event) {
    text += event.text;
    if (event.kind == Kind::resumed) resumed_at.push_back(event.node);
    if (event.kind == Kind::finished) reason = event.reason;
    if (event.kind != Kind::token) return;
    BOOST_TEST(event.index == ids.size());
    BOOST_TEST(event.log_probability == expected_log_probability(event.index));
    ids.push_back(event.token);
  }
};

/// Until `count` tokens were delivered, or the end.
void read_tokens(client::Generation& generation, Delivered& delivered, std::size_t count) {
  while (delivered.ids.size() < count) delivered.take(next(generation));
}
void read_to_end(client::Generation& generation, Delivered& delivered) {
  while (!generation.done()) delivered.take(next(generation));
}

std::vector<TokenId> undisturbed(const client::GenerateRequest& request) {
  return expected_tokens(request.prompt_ids, *request.sampling.seed, request.tokens_max);
}

BOOST_FIXTURE_TEST_SUITE(streams, FakeCluster)

BOOST_AUTO_TEST_CASE(a_stream_delivers_every_token_its_text_and_the_end) {
  a.allow(1000);
  auto client = connect();
  auto generation = start(client, request_of(20));
  Delivered delivered;
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.ids == undisturbed(request_of(20)), boost::test_tools::per_element());
  BOOST_TEST((delivered.reason == client::FinishReason::length));
  BOOST_TEST(delivered.resumed_at.empty());
  std::string text;
  for (const TokenId token : delivered.ids) text += static_cast<char>(token - 3);
  BOOST_TEST(delivered.text == text);
  BOOST_TEST(generation.summary().tokens == 20u);
  BOOST_TEST(generation.summary().phases.queue_seconds == 0.5);
  BOOST_TEST(generation.summary().phases.prefill_seconds == 0.25);
  BOOST_TEST(generation.summary().phases.decode_seconds == 0.125);
  BOOST_TEST(generation.summary().phases.steps == 20u);
  BOOST_TEST(!generation.error());
}

BOOST_AUTO_TEST_CASE(alternatives_come_with_the_tokens_and_only_so_many) {
  a.allow(2);
  auto client = connect();
  client::GenerateRequest request = request_of(4);
  request.alternatives = 2;
  auto generation = start(client, request);
  Delivered delivered;
  const auto check = [&](std::size_t count) {
    while (delivered.ids.size() < count) {
      const GenerateEvent event = next(generation);
      delivered.take(event);
      if (event.kind != Kind::token) continue;
      BOOST_REQUIRE(event.alternatives.size() == 2u);
      BOOST_TEST(event.alternatives[1].token == 7);
      BOOST_TEST(event.alternatives[1].log_probability == expected_score(event.index));
    }
  };
  check(2);
  a.allow(1000);
  check(4);
  request.alternatives = 21;
  const auto many = client.generate(request);
  BOOST_REQUIRE(!many);
  BOOST_TEST(many.error().message == "at most 20 alternatives of a token");
}

BOOST_AUTO_TEST_CASE(text_becomes_the_ids_of_the_clusters_tokenizer_which_is_fetched_once) {
  a.allow(1000);
  auto client = connect();
  client::GenerateRequest request = request_of(3);
  request.prompt_ids.clear();
  request.prompt = "Az";
  auto first = start(client, request);
  BOOST_TEST(first.prompt() == (std::vector<TokenId>{1, 3 + 'A', 3 + 'z'}), boost::test_tools::per_element());
  const std::uint32_t chunks = a.tokenizer_chunks;
  start(client, request);
  BOOST_TEST(a.tokenizer_chunks == chunks + 1);
}

BOOST_AUTO_TEST_CASE(a_stream_goes_on_where_its_conductor_moved_with_the_same_tokens) {
  a.allow(5);
  auto client = connect();
  auto generation = start(client, request_of(12));
  Delivered delivered;
  read_tokens(generation, delivered, 5);
  b.allow(1000);
  conduct_at("b");
  a.move_away();
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.ids == undisturbed(request_of(12)), boost::test_tools::per_element());
  BOOST_TEST(delivered.resumed_at == std::vector<std::string>{"b"}, boost::test_tools::per_element());
  BOOST_TEST(generation.summary().resumptions == 1u);
  BOOST_TEST(b.opened.front().delivered.size() == 5u);
}

BOOST_AUTO_TEST_CASE(a_stream_survives_the_death_of_its_conductors_node) {
  a.allow(4);
  auto client = connect();
  auto generation = start(client, request_of(9));
  Delivered delivered;
  read_tokens(generation, delivered, 4);
  b.allow(1000);
  conduct_at("b");
  kill("a");
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.ids == undisturbed(request_of(9)), boost::test_tools::per_element());
  BOOST_TEST(delivered.resumed_at.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_stream_waits_while_nothing_serves_its_deployment) {
  a.allow(4);
  auto client = connect();
  auto generation = start(client, request_of(9));
  Delivered delivered;
  read_tokens(generation, delivered, 4);
  std::uint32_t before = 0;
  {
    const std::lock_guard lock(stage.mutex);
    coordinator.location = Error{ErrorCode::unavailable, "preparing a new epoch"};
    before = coordinator.locates;
  }
  kill("a");
  BOOST_REQUIRE(stage.wait([&] { return coordinator.locates >= before + 3; }));
  b.allow(1000);
  conduct_at("b");
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.ids == undisturbed(request_of(9)), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(tokens_that_come_twice_are_delivered_once) {
  a.allow(6);
  b.resend = 4;
  auto client = connect();
  auto generation = start(client, request_of(10));
  Delivered delivered;
  read_tokens(generation, delivered, 6);
  b.allow(1000);
  conduct_at("b");
  a.move_away();
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.ids == undisturbed(request_of(10)), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_stream_needs_no_coordinator_while_its_conductor_lives) {
  a.allow(2);
  auto client = connect();
  auto generation = start(client, request_of(8));
  Delivered delivered;
  read_tokens(generation, delivered, 2);
  stop_coordinator();
  a.allow(8);
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.ids == undisturbed(request_of(8)), boost::test_tools::per_element());
  // Its end is told when the coordinator is back.
  start_coordinator();
  BOOST_TEST(stage.wait([&] { return coordinator.jobs.at(1).state == JobState::done; }));
}

BOOST_AUTO_TEST_CASE(a_stream_that_loses_coordinator_and_conductor_goes_on_when_both_are_back) {
  a.allow(2);
  auto client = connect();
  auto generation = start(client, request_of(8));
  Delivered delivered;
  read_tokens(generation, delivered, 2);
  stop_coordinator();
  kill("a");
  b.allow(1000);
  conduct_at("b");
  start_coordinator();
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.ids == undisturbed(request_of(8)), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(cancelling_ends_the_stream_and_tells_conductor_and_coordinator) {
  a.allow(3);
  auto client = connect();
  auto generation = start(client, request_of(100));
  Delivered delivered;
  read_tokens(generation, delivered, 3);
  generation.cancel();
  read_to_end(generation, delivered);
  BOOST_TEST((delivered.reason == client::FinishReason::cancelled));
  BOOST_TEST(delivered.ids.size() == 3u);
  BOOST_TEST(stage.wait([&] { return a.cancelled.size() == 1; }));
  BOOST_TEST(stage.wait([&] { return coordinator.jobs.at(1).state == JobState::cancelled; }));
}

BOOST_AUTO_TEST_CASE(a_job_that_somebody_else_cancels_ends_its_stream) {
  a.allow(3);
  auto client = connect();
  auto generation = start(client, request_of(100));
  Delivered delivered;
  read_tokens(generation, delivered, 3);
  BOOST_REQUIRE(stage.wait([&] { return coordinator.attached == 1; }));
  auto other = connect();
  BOOST_REQUIRE(generation.job() == 1u);
  const auto cancelled = other.cancel(generation.job());
  BOOST_REQUIRE(cancelled);
  BOOST_TEST((cancelled->state == client::JobState::cancelled));
  read_to_end(generation, delivered);
  BOOST_TEST((delivered.reason == client::FinishReason::cancelled));
  BOOST_TEST(stage.wait([&] { return a.cancelled.size() == 1; }));
}

BOOST_AUTO_TEST_CASE(a_stop_string_ends_the_text_before_it_and_the_stream) {
  a.allow(1000);
  auto client = connect();
  client::GenerateRequest request = request_of(40);
  std::string whole;
  for (const TokenId token : undisturbed(request)) whole += static_cast<char>(token - 3);
  request.stop = {whole.substr(10, 3)};
  auto generation = start(client, request);
  Delivered delivered;
  read_to_end(generation, delivered);
  BOOST_TEST(delivered.text == whole.substr(0, whole.find(request.stop[0])));
  BOOST_TEST((delivered.reason == client::FinishReason::stop_string));
  BOOST_TEST(delivered.ids.size() == whole.find(request.stop[0]) + 3);
  BOOST_TEST(stage.wait([&] { return coordinator.jobs.at(1).state == JobState::done; }));
}

BOOST_AUTO_TEST_CASE(an_absent_seed_is_drawn_once_and_returned) {
  a.allow(2);
  auto client = connect();
  client::GenerateRequest request = request_of(6);
  request.sampling.seed.reset();
  auto generation = start(client, request);
  Delivered delivered;
  read_tokens(generation, delivered, 2);
  b.allow(1000);
  conduct_at("b");
  a.move_away();
  read_to_end(generation, delivered);
  BOOST_TEST(a.opened.front().sampling.seed == generation.seed());
  BOOST_TEST(b.opened.front().sampling.seed == generation.seed());
  BOOST_TEST(delivered.ids == expected_tokens(request.prompt_ids, generation.seed(), 6),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_stream_past_its_deadline_fails) {
  auto client = connect();
  client::GenerateRequest request = request_of(5);
  request.deadline = std::chrono::milliseconds(200);
  auto generation = start(client, request);
  BOOST_TEST(!generation.next(patience));
  BOOST_REQUIRE(generation.error());
  BOOST_TEST((generation.error()->code == client::ErrorCode::timed_out));
  BOOST_TEST(generation.done());
}

BOOST_AUTO_TEST_CASE(a_stream_that_stands_still_for_too_long_fails_and_says_why) {
  a.allow(1);
  auto client = connect();
  client::GenerateRequest request = request_of(5);
  request.stall_max = std::chrono::milliseconds(300);
  auto generation = start(client, request);
  BOOST_TEST((next(generation).kind == Kind::token));
  {
    const std::lock_guard lock(stage.mutex);
    coordinator.location = Error{ErrorCode::unavailable, "two workers are missing"};
  }
  kill("a");
  BOOST_TEST(!generation.next(patience));
  BOOST_REQUIRE(generation.error());
  BOOST_TEST((generation.error()->code == client::ErrorCode::unavailable));
  BOOST_TEST(generation.error()->message.find("two workers are missing") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_the_conductor_refuses_for_good_is_the_streams_error) {
  a.refuse_open = Error{ErrorCode::invalid_argument, "temperature -1: use 0 or more"};
  auto client = connect();
  auto generation = start(client, request_of(5));
  BOOST_TEST(!generation.next(patience));
  BOOST_REQUIRE(generation.error());
  BOOST_TEST((generation.error()->code == client::ErrorCode::invalid_argument));
  BOOST_TEST(generation.error()->message == "temperature -1: use 0 or more");
  BOOST_TEST(stage.wait([&] { return coordinator.jobs.at(1).state == JobState::failed; }));
}

BOOST_AUTO_TEST_CASE(an_unknown_deployment_is_refused_at_once) {
  {
    const std::lock_guard lock(stage.mutex);
    coordinator.location = Error{ErrorCode::not_found, "there is no deployment story"};
  }
  auto client = connect();
  const auto generation = client.generate(request_of(5));
  BOOST_REQUIRE(!generation);
  BOOST_TEST((generation.error().code == client::ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(of_two_requests_with_one_idempotency_key_only_the_first_runs) {
  a.allow(1);
  auto client = connect();
  client::GenerateRequest request = request_of(5);
  request.idempotency_key = "mine";
  auto first = start(client, request);
  const auto second = client.generate(request);
  BOOST_REQUIRE(!second);
  BOOST_TEST((second.error().code == client::ErrorCode::conflict));
  BOOST_TEST(second.error().message.find("job 1") != std::string::npos);
  BOOST_TEST(a.opened.size() <= 1u);
}

BOOST_AUTO_TEST_CASE(a_callback_gets_the_events_and_ends_the_stream_by_returning_false) {
  a.allow(1000);
  auto client = connect();
  std::uint32_t tokens = 0;
  const auto all = client.generate(request_of(15), [&](const GenerateEvent& event) {
    tokens += event.kind == Kind::token;
    return true;
  });
  BOOST_REQUIRE(all);
  BOOST_TEST(all->tokens == 15u);
  BOOST_TEST(tokens == 15u);
  a.allow(2);
  const auto some = client.generate(request_of(1000), [](const GenerateEvent& event) { return event.index < 1; });
  BOOST_REQUIRE(some);
  BOOST_TEST((some->reason == client::FinishReason::cancelled));
}

BOOST_AUTO_TEST_CASE(many_streams_of_one_client_share_connections_and_do_not_mix) {
  auto client = connect();
  std::vector<client::Generation> generations;
  for (std::uint64_t seed = 0; seed < 20; ++seed) generations.push_back(start(client, request_of(30, seed)));
  a.allow(11);
  BOOST_REQUIRE(stage.wait([&] { return a.opened.size() == 20; }));
  b.allow(1000);
  conduct_at("b");
  a.move_away();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Delivered delivered;
    read_to_end(generations[seed], delivered);
    BOOST_TEST(delivered.ids == undisturbed(request_of(30, seed)), boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_client_that_is_destroyed_with_streams_in_flight_cancels_them) {
  a.allow(2);
  {
    auto client = connect();
    auto one = start(client, request_of(100, 1)), other = start(client, request_of(100, 2));
    Delivered delivered;
    read_tokens(one, delivered, 2);
  }
  BOOST_TEST(stage.wait([&] { return a.cancelled.size() + a.gone.size() >= 1; }));
  std::optional<client::Generation> orphan;
  {
    auto client = connect();
    orphan = start(client, request_of(100, 3));
    Delivered delivered;
    read_tokens(*orphan, delivered, 2);
  }
  // A generation that outlives its client ends.
  while (!orphan->done()) orphan->next(patience);
  orphan->cancel();
  BOOST_TEST(orphan->done());
}

BOOST_AUTO_TEST_CASE(a_text_becomes_a_vector_pooled_as_the_model_or_the_caller_says) {
  {
    const std::lock_guard lock(stage.mutex);
    coordinator.cluster.deployments.push_back(deployment_of("story"));
    coordinator.cluster.deployments.back().facts.pooling = {Pooling::cls, true, 4};
  }
  client::Client client = connect(Role::user);
  client::EmbedRequest request;
  request.deployment = "story";
  request.ids = {5, 6, 7};
  request.priority = -4;
  auto embedded = client.embed(request);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(embedded), why(embedded));
  BOOST_TEST(embedded->vector == (std::vector<float>{1.5f, 3.0f}), boost::test_tools::per_element());
  BOOST_TEST(embedded->tokens == 3u);
  request.pooling = client::Pooling::last;
  request.normalised = false;
  BOOST_REQUIRE(static_cast<bool>(client.embed(request)));
  {
    const std::lock_guard lock(stage.mutex);
    BOOST_REQUIRE_EQUAL(a.opened.size(), 2u);
    BOOST_TEST((a.opened[0].vector == VectorRequest{Pooling::cls, true}));
    BOOST_TEST(a.opened[0].priority == -4);
    BOOST_TEST(a.opened[0].tokens_max == 0u);
    BOOST_TEST((a.opened[1].vector == VectorRequest{Pooling::last, false}));
  }
  request.ids = {1, 2, 3, 4, 5};  // the model takes four
  BOOST_TEST((client.embed(request).error().code == client::ErrorCode::invalid_argument));
  request.ids = {1};
  request.priority = 1001;
  BOOST_TEST((client.embed(request).error().code == client::ErrorCode::invalid_argument));
  request.priority = 0;
  request.deployment = "none";
  BOOST_TEST((client.embed(request).error().code == client::ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(a_generation_has_a_priority_and_goes_to_the_replica_that_was_located) {
  client::Client client = connect(Role::user);
  auto request = request_of(2);
  request.priority = 7;
  request.session = "talk";
  a.allow(2);
  Delivered delivered;
  auto generation = start(client, request);
  read_to_end(generation, delivered);
  {
    const std::lock_guard lock(stage.mutex);
    BOOST_REQUIRE_EQUAL(a.opened.size(), 1u);
    BOOST_TEST(a.opened[0].priority == 7);
    BOOST_TEST((a.opened[0].replica == ReplicaId{1}));
  }
  request.priority = -1001;
  BOOST_TEST((client.generate(request).error().code == client::ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
