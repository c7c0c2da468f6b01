// Streams between frontends and a conductor: opening, updates in order, the end, and frontends that go away.
#include <thread>

#include "cluster/rpc/rpc_limits.hpp"
#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

StreamRequest some_request(std::uint64_t low = 2) {
  StreamRequest request;
  request.id = {1, low};
  request.deployment = "stories";
  request.prompt = {1, -1, 70000};
  request.delivered = {5, 6};
  request.tokens_max = 9;
  request.sampling = {0.5f, 40, 0.9f, 0.1f, 1.1f, 0.2f, 0.3f, {{7, -2.5f}, {8, 1.0f}}, 0xfeedfacecafebeefull, 3};
  request.end_tokens = {2, 3};
  request.score_prompt = true;
  request.alternatives = 2;
  request.tenant = "ours";
  request.priority = -7;
  request.replica = {3};
  request.timeout = std::chrono::milliseconds(1500);
  request.vector = VectorRequest{Pooling::last, true};
  return request;
}

StreamUpdate token_update(const StreamRequest& request, std::uint32_t index) {
  StreamUpdate update;
  update.id = request.id;
  update.incarnation = {4};
  update.tokens = {{index,
                    static_cast<TokenId>(index * 10),
                    -0.5f * static_cast<float>(index),
                    {{static_cast<TokenId>(index), -0.25f}, {static_cast<TokenId>(index + 1), -0.75f}}}};
  return update;
}

struct StreamFixture : RpcFixture {
  StreamFixture() : client(connect_conductor(Role::user, "alice")) {}

  Result<void> open(const StreamRequest& request, ConductorClient::OnUpdate on_update) {
    Answer<void> answer;
    client.open_stream(request, long_deadline, std::move(on_update), answer.reply());
    return answer.wait();
  }
  Result<void> open(const StreamRequest& request) {
    return open(request, [this](StreamUpdate update) { updates.put(std::move(update)); });
  }

  Inbox<StreamUpdate> updates;
  ConductorClient client;
};

BOOST_FIXTURE_TEST_SUITE(streams, StreamFixture)

BOOST_AUTO_TEST_CASE(a_request_arrives_whole) {
  BOOST_REQUIRE(succeeded(open(some_request())));
  const auto [request, sink] = conductor.opened.take();
  const StreamRequest sent = some_request();
  BOOST_TEST((request.id == sent.id));
  BOOST_TEST(request.deployment == sent.deployment);
  BOOST_TEST(request.prompt == sent.prompt);
  BOOST_TEST(request.delivered == sent.delivered);
  BOOST_TEST(request.tokens_max == sent.tokens_max);
  BOOST_TEST(request.end_tokens == sent.end_tokens);
  BOOST_TEST(request.score_prompt);
  BOOST_TEST(request.alternatives == 2u);
  BOOST_TEST(request.tenant == "ours");
  BOOST_TEST(request.priority == -7);
  BOOST_TEST((request.replica == ReplicaId{3}));
  BOOST_TEST((request.timeout == std::chrono::milliseconds(1500)));
  BOOST_TEST((request.vector == sent.vector));
  BOOST_TEST(request.sampling.temperature == 0.5f);
  BOOST_TEST(request.sampling.top_k == 40u);
  BOOST_TEST(request.sampling.top_p == 0.9f);
  BOOST_TEST(request.sampling.min_p == 0.1f);
  BOOST_TEST(request.sampling.repeat_penalty == 1.1f);
  BOOST_TEST(request.sampling.presence_penalty == 0.2f);
  BOOST_TEST(request.sampling.frequency_penalty == 0.3f);
  BOOST_TEST((request.sampling.logit_bias == sent.sampling.logit_bias));
  BOOST_TEST(request.sampling.seed == sent.sampling.seed);
  BOOST_TEST(request.sampling.choice == 3u);
}

BOOST_AUTO_TEST_CASE(a_vector_arrives_with_the_end) {
  BOOST_REQUIRE(succeeded(open(some_request())));
  const auto [request, sink] = conductor.opened.take();
  // Signs of life that wait to be sent are put together with what follows them.
  StreamUpdate update;
  update.id = request.id;
  for (int i = 0; i < 5000; ++i) sink.send(update);
  update.finished = FinishReason::length;
  for (int i = 0; i < 4096; ++i) update.vector.push_back(0.1f * static_cast<float>(i - 2000));
  const std::vector<float> sent = update.vector;
  sink.send(std::move(update));
  StreamUpdate last;
  do last = updates.take();
  while (!last.finished);
  BOOST_TEST(last.vector == sent, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(updates_arrive_in_order_and_end_with_the_stream) {
  BOOST_REQUIRE(succeeded(open(some_request())));
  const auto [request, sink] = conductor.opened.take();
  constexpr std::uint32_t tokens = 5000;
  for (std::uint32_t i = 0; i < tokens; ++i) {
    StreamUpdate update = token_update(request, i);
    if (i % 100 == 0) update.scores = {{i, 1.5f, {{7, 0.5f}}}};
    if (i == tokens - 1) update.finished = FinishReason::end_token;
    update.cached_tokens = 64;
    update.phases = StreamPhases{0.5, 0.25, i / 8.0, i};
    sink.send(std::move(update));
  }
  sink.send(token_update(request, tokens));  // behind the end: dropped
  std::uint32_t next = 0, scores = 0;
  for (bool ended = false; !ended;) {
    const StreamUpdate update = updates.take();
    BOOST_TEST((update.id == request.id));
    BOOST_TEST((update.incarnation == ConductorIncarnation{4}));
    BOOST_TEST(update.cached_tokens == 64u);
    const std::uint32_t newest = update.tokens.back().index;
    BOOST_TEST((update.phases == StreamPhases{0.5, 0.25, newest / 8.0, newest}));
    for (const StreamToken& token : update.tokens) {
      BOOST_REQUIRE(token.index == next);
      BOOST_REQUIRE(token.token == static_cast<TokenId>(next * 10));
      BOOST_REQUIRE(token.log_probability == -0.5f * static_cast<float>(next));
      BOOST_REQUIRE((token.alternatives == token_update(request, next).tokens[0].alternatives));
      ++next;
    }
    scores += static_cast<std::uint32_t>(update.scores.size());
    for (const PromptScore& score : update.scores) BOOST_REQUIRE((score.alternatives == TokenAlternatives{{7, 0.5f}}));
    ended = update.finished.has_value();
    if (ended) BOOST_TEST((*update.finished == FinishReason::end_token));
  }
  BOOST_TEST(next == tokens);
  BOOST_TEST(scores == 50u);
  BOOST_TEST(conductor.gone.empty());
}

BOOST_AUTO_TEST_CASE(every_way_to_end_arrives) {
  const auto end_with = [&](auto change) {
    BOOST_REQUIRE(succeeded(open(some_request())));
    const auto [request, sink] = conductor.opened.take();
    StreamUpdate update = token_update(request, 0);
    change(update);
    sink.send(std::move(update));
  };
  end_with([](StreamUpdate& update) { update.finished = FinishReason::length; });
  BOOST_TEST((updates.take().finished == FinishReason::length));
  end_with([](StreamUpdate& update) { update.finished = FinishReason::stopped; });
  BOOST_TEST((updates.take().finished == FinishReason::stopped));
  end_with([](StreamUpdate& update) { update.moved = true; });
  BOOST_TEST(updates.take().moved);
  end_with([](StreamUpdate& update) { update.failed = Error{ErrorCode::corrupt, "the file is damaged"}; });
  const StreamUpdate failed = updates.take();
  BOOST_REQUIRE(failed.failed);
  BOOST_TEST((failed.failed->code == ErrorCode::corrupt));
  BOOST_TEST(failed.failed->message == "the file is damaged");
}

BOOST_AUTO_TEST_CASE(a_refused_stream_gets_no_updates) {
  conductor.on_open = [](const StreamRequest&) { return Error{ErrorCode::exhausted, "too many streams"}; };
  const auto refused = open(some_request());
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::exhausted));
  auto [request, sink] = conductor.opened.take();
  sink.send(token_update(request, 0));
  conductor.on_open = nullptr;
  BOOST_REQUIRE(succeeded(open(some_request(3))));
  auto [next_request, next_sink] = conductor.opened.take();
  next_sink.send(token_update(next_request, 0));
  BOOST_TEST((updates.take().id == next_request.id));
  BOOST_TEST(updates.empty());
}

BOOST_AUTO_TEST_CASE(opening_again_replaces_the_sink_and_the_callback) {
  Inbox<StreamUpdate> second;
  BOOST_REQUIRE(succeeded(open(some_request())));
  auto [request, first_sink] = conductor.opened.take();
  BOOST_REQUIRE(succeeded(open(some_request(), [&](StreamUpdate update) { second.put(std::move(update)); })));
  auto [again, second_sink] = conductor.opened.take();
  BOOST_TEST((conductor.gone.take().second == first_sink.id()));
  BOOST_TEST((first_sink.id() != second_sink.id()));
  first_sink.send(token_update(request, 0));
  second_sink.send(token_update(request, 1));
  BOOST_TEST(second.take().tokens[0].index == 1u);
  BOOST_TEST(updates.empty());
}

BOOST_AUTO_TEST_CASE(cancel_reaches_the_handler_and_detach_tells_that_the_frontend_left) {
  BOOST_REQUIRE(succeeded(open(some_request(2))));
  BOOST_REQUIRE(succeeded(open(some_request(3))));
  conductor.opened.take();
  const SinkId left = conductor.opened.take().second.id();
  Answer<void> cancelled;
  client.cancel_stream({1, 2}, long_deadline, cancelled.reply());
  BOOST_TEST(succeeded(cancelled.wait()));
  BOOST_TEST((conductor.cancelled.take() == StreamId{1, 2}));
  BOOST_TEST(conductor.gone.empty());
  client.detach_stream({1, 3});
  const auto [stream, sink] = conductor.gone.take();
  BOOST_TEST((stream == StreamId{1, 3}));
  BOOST_TEST((sink == left));
}

BOOST_AUTO_TEST_CASE(a_frontend_that_disconnects_is_reported_once_per_open_stream) {
  BOOST_REQUIRE(succeeded(open(some_request(2))));
  BOOST_REQUIRE(succeeded(open(some_request(3))));
  auto [request, finished] = conductor.opened.take();
  auto [other, open_sink] = conductor.opened.take();
  StreamUpdate last = token_update(request, 0);
  last.finished = FinishReason::length;
  finished.send(std::move(last));
  updates.take();
  client_thread->stop();
  const auto [stream, sink] = conductor.gone.take();
  BOOST_TEST((stream == other.id));
  BOOST_TEST((sink == open_sink.id()));
  server_thread->stop();
  BOOST_TEST(conductor.gone.empty());
  open_sink.send(token_update(other, 0));  // after everything: nothing happens
}

BOOST_AUTO_TEST_CASE(a_frontend_that_does_not_read_is_cut_off_at_the_limit_and_its_neighbour_is_not) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  BOOST_REQUIRE(succeeded(open(some_request(), [released](const StreamUpdate&) { released.wait(); })));
  auto [request, sink] = conductor.opened.take();
  const ConductorClient neighbour = [&] {
    Answer<ConductorClient> answer;
    DialOptions options = dial_options(Role::user, "bob");
    options.server = {Role::worker, "c"};
    ConductorClient::connect(*server_thread, options, nullptr, answer.reply());
    return std::move(*answer.wait());
  }();
  Answer<void> opened;
  Inbox<StreamUpdate> seen;
  neighbour.open_stream(
      some_request(9), long_deadline, [&](StreamUpdate update) { seen.put(std::move(update)); }, opened.reply());
  BOOST_REQUIRE(succeeded(opened.wait()));
  auto [other, other_sink] = conductor.opened.take();
  // Its client's thread hangs in the first update; four messages are under way, then tokens collect up to the limit.
  constexpr std::uint32_t per_update = 4096;
  for (std::uint32_t sent = 0; conductor.gone.empty() && sent < 100 * per_update; sent += per_update) {
    StreamUpdate update = token_update(request, 0);
    update.tokens.assign(per_update, {sent, 1, 0});
    sink.send(std::move(update));
    other_sink.send(token_update(other, sent));
    seen.take();
  }
  BOOST_TEST((conductor.gone.take().second == sink.id()));
  release.set_value();
  client_thread->stop();
  server_thread->stop();
}

BOOST_AUTO_TEST_CASE(a_tokenizer_is_read_in_chunks) {
  Answer<TokenizerChunk> answer;
  client.read_tokenizer({"stories", 7, 1u << 30}, long_deadline, answer.reply());
  const auto chunk = answer.wait();
  BOOST_REQUIRE(succeeded(chunk));
  BOOST_TEST(chunk->content_id == "stories");
  BOOST_TEST(chunk->bytes.size() == rpc_limits::tokenizer_chunk_bytes_max);
  BOOST_TEST(chunk->bytes[100] == 7);
  BOOST_TEST(chunk->total_bytes == 7 + rpc_limits::tokenizer_chunk_bytes_max);
}

BOOST_AUTO_TEST_CASE(a_chat_template_is_asked_for_as_such) {
  Answer<TokenizerChunk> answer;
  client.read_tokenizer({"stories", 0, 1, TextPart::chat_template}, long_deadline, answer.reply());
  const auto chunk = answer.wait();
  BOOST_REQUIRE(succeeded(chunk));
  BOOST_TEST(chunk->content_id == "stories: chat template");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
