#include "cluster/control/stream_frontend.hpp"

#include <utility>

#include <boost/test/unit_test.hpp>

namespace tessera {

namespace {

using namespace std::chrono_literals;

constexpr ConductorIncarnation first{1}, second{2};

StreamLocation location_of(ConductorIncarnation incarnation) { return {{"host", 1}, "w1", ReplicaId{1}, incarnation}; }

class Stream {
 public:
  explicit Stream(StreamTimeouts timeouts = {}) : Stream(request_of(), timeouts) {}
  explicit Stream(StreamRequest request, StreamTimeouts timeouts = {})
      : timeouts_(timeouts), frontend(std::move(request), timeouts) {}

  static StreamRequest request_of() {
    StreamRequest request;
    request.id = {1, 2};
    request.deployment = "d";
    request.prompt = {5, 6};
    request.tokens_max = 6;
    request.end_tokens = {99};
    request.score_prompt = true;
    return request;
  }

  void feed(StreamInput::Any input) {
    locates.clear(), opens.clear(), closes.clear();
    for (StreamOutput::Any& output : frontend.step(now, std::move(input))) {
      if (auto* locate = std::get_if<StreamOutput::Locate>(&output)) {
        locates.push_back(*locate);
        attempt = locate->attempt;
      }
      if (auto* open = std::get_if<StreamOutput::Open>(&output)) opens.push_back(*open);
      if (auto* close = std::get_if<StreamOutput::Close>(&output)) closes.push_back(*close);
      if (auto* deliver = std::get_if<StreamOutput::Deliver>(&output)) {
        BOOST_REQUIRE_EQUAL(deliver->token.index, tokens.size());
        tokens.push_back(deliver->token.token);
      }
      if (auto* deliver = std::get_if<StreamOutput::DeliverScore>(&output)) {
        BOOST_REQUIRE_EQUAL(deliver->score.index, ++scores);
      }
      if (auto* done = std::get_if<StreamOutput::Finished>(&output)) {
        finished = done->reason;
        vector = done->vector;
      }
      if (auto* broken = std::get_if<StreamOutput::Failed>(&output)) failed = broken->error;
    }
  }
  void locate(std::vector<StreamCandidate> candidates) { feed(StreamInput::Located{attempt, std::move(candidates)}); }
  void open_at(ConductorIncarnation incarnation) {
    locate({{location_of(incarnation)}});
    BOOST_REQUIRE_EQUAL(opens.size(), 1u);
    feed(StreamInput::Opened{attempt, Result<void>()});
  }
  void start() {
    feed(StreamInput::Start{});
    open_at(first);
  }
  /// Time goes on until the next tick is due, which happens.
  void wake() {
    BOOST_REQUIRE(frontend.wakeup().has_value());
    now = std::max(now, *frontend.wakeup());
    feed(StreamInput::Tick{});
  }
  StreamUpdate update(std::vector<std::pair<std::uint32_t, TokenId>> tokens_sent,
                      ConductorIncarnation incarnation = first) const {
    StreamUpdate update;
    update.id = {1, 2};
    update.incarnation = incarnation;
    for (const auto& [index, token] : tokens_sent) update.tokens.push_back({index, token, 0.0f});
    return update;
  }
  void send(std::vector<std::pair<std::uint32_t, TokenId>> tokens_sent, ConductorIncarnation incarnation = first) {
    feed(StreamInput::Update{attempt, update(std::move(tokens_sent), incarnation)});
  }

  StreamTimeouts timeouts_;
  StreamFrontend frontend;
  TimePoint now{1s};
  std::uint64_t attempt = 0;
  std::vector<StreamOutput::Locate> locates;
  std::vector<StreamOutput::Open> opens;
  std::vector<StreamOutput::Close> closes;
  std::vector<TokenId> tokens;
  std::uint32_t scores = 0;
  std::optional<FinishReason> finished;
  std::vector<float> vector;
  std::optional<Error> failed;
};

Error error_of(ErrorCode code) { return {code, "test"}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(stream_frontend)

BOOST_AUTO_TEST_CASE(locates_opens_delivers_and_finishes) {
  Stream stream;
  stream.feed(StreamInput::Start{});
  BOOST_REQUIRE_EQUAL(stream.locates.size(), 1u);
  BOOST_CHECK_EQUAL(stream.locates[0].deployment, "d");
  stream.open_at(first);
  StreamUpdate update = stream.update({{0, 10}, {1, 11}});
  update.scores = {{1, -0.5f}};
  update.cached_tokens = 7;
  stream.feed(StreamInput::Update{stream.attempt, update});
  BOOST_CHECK_EQUAL(stream.frontend.cached_tokens(), 7u);
  update = stream.update({{2, 99}});
  update.cached_tokens = 3;  // of another admission
  update.finished = FinishReason::end_token;
  stream.feed(StreamInput::Update{stream.attempt, update});
  BOOST_CHECK_EQUAL(stream.frontend.cached_tokens(), 7u);
  BOOST_CHECK(stream.tokens == (std::vector<TokenId>{10, 11, 99}));
  BOOST_CHECK_EQUAL(stream.scores, 1u);
  BOOST_CHECK(stream.finished == FinishReason::end_token);
  BOOST_CHECK_EQUAL(stream.closes.size(), 1u);
  BOOST_CHECK(stream.frontend.ended() && !stream.frontend.wakeup());
  stream.send({{3, 12}});
  BOOST_CHECK_EQUAL(stream.tokens.size(), 3u);
}

BOOST_AUTO_TEST_CASE(after_moved_disconnected_or_silence_it_resumes_behind_the_delivered_tokens) {
  for (const int how : {0, 1, 2}) {
    Stream stream;
    stream.start();
    stream.send({{0, 10}, {1, 11}});
    if (how == 0) {
      StreamUpdate moved = stream.update({});
      moved.moved = true;
      stream.feed(StreamInput::Update{stream.attempt, moved});
    } else if (how == 1) {
      stream.feed(StreamInput::Disconnected{stream.attempt});
    } else {
      const TimePoint before = stream.now;
      stream.wake();  // the coordinator is asked, and does not answer
      BOOST_CHECK(stream.now - before == stream.timeouts_.doubt);
      BOOST_CHECK(stream.locates.size() == 1 && stream.closes.empty());
      stream.wake();
      BOOST_CHECK(stream.now - before == stream.timeouts_.silence);
    }
    BOOST_REQUIRE_EQUAL(stream.closes.size(), 1u);
    BOOST_CHECK(!stream.closes[0].cancel);
    stream.wake();
    BOOST_REQUIRE_EQUAL(stream.locates.size(), 1u);
    stream.locate({{location_of(second)}});
    BOOST_REQUIRE_EQUAL(stream.opens.size(), 1u);
    BOOST_CHECK(stream.opens[0].request.delivered == (std::vector<TokenId>{10, 11}));
    stream.feed(StreamInput::Opened{stream.attempt, Result<void>()});
    stream.send({{2, 12}}, second);
    BOOST_CHECK(stream.tokens == (std::vector<TokenId>{10, 11, 12}));
    BOOST_CHECK_EQUAL(stream.frontend.resumptions(), 1u);
  }
}

BOOST_AUTO_TEST_CASE(times_at_one_conductor_after_the_other_are_added_up) {
  Stream stream;
  stream.start();
  BOOST_CHECK(!stream.frontend.phases());
  StreamUpdate update = stream.update({{0, 10}});
  update.phases = StreamPhases{1, 2, 0, 3};
  stream.feed(StreamInput::Update{stream.attempt, update});
  update = stream.update({{1, 11}});
  update.phases = StreamPhases{1, 2, 4, 4};
  stream.feed(StreamInput::Update{stream.attempt, update});
  BOOST_CHECK((stream.frontend.phases() == StreamPhases{1, 2, 4, 4}));
  stream.feed(StreamInput::Disconnected{stream.attempt});
  BOOST_CHECK((stream.frontend.phases() == StreamPhases{1, 2, 4, 4}));
  stream.wake();
  stream.open_at(second);
  update = stream.update({{2, 12}}, second);
  update.phases = StreamPhases{8, 16, 32, 5};
  stream.feed(StreamInput::Update{stream.attempt, update});
  BOOST_CHECK((stream.frontend.phases() == StreamPhases{9, 18, 36, 9}));
}

BOOST_AUTO_TEST_CASE(tokens_of_an_old_attempt_or_another_conductor_are_dropped) {
  Stream stream;
  stream.start();
  stream.send({{0, 10}});
  const std::uint64_t old = stream.attempt;
  stream.send({{1, 55}}, second);
  stream.feed(StreamInput::Disconnected{stream.attempt});
  stream.wake();
  stream.open_at(second);
  stream.feed(StreamInput::Update{old, stream.update({{1, 66}})});
  stream.feed(StreamInput::Disconnected{old});
  stream.send({{1, 11}}, second);
  BOOST_CHECK(stream.tokens == (std::vector<TokenId>{10, 11}));
}

BOOST_AUTO_TEST_CASE(repeated_tokens_are_dropped_and_a_gap_opens_the_stream_again) {
  Stream stream;
  stream.start();
  stream.send({{0, 10}, {1, 11}});
  stream.send({{0, 10}, {1, 11}, {2, 12}});
  BOOST_CHECK_EQUAL(stream.tokens.size(), 3u);
  stream.send({{4, 14}});
  BOOST_CHECK_EQUAL(stream.closes.size(), 1u);
  BOOST_CHECK_EQUAL(stream.tokens.size(), 3u);
  stream.wake();
  BOOST_CHECK_EQUAL(stream.locates.size(), 1u);
}

BOOST_AUTO_TEST_CASE(a_finish_before_the_end_token_opens_the_stream_again) {
  Stream stream;
  stream.start();
  StreamUpdate update = stream.update({});
  update.finished = FinishReason::end_token;
  stream.feed(StreamInput::Update{stream.attempt, update});
  BOOST_CHECK(!stream.finished);
  stream.wake();
  BOOST_CHECK_EQUAL(stream.locates.size(), 1u);
}

BOOST_AUTO_TEST_CASE(a_token_that_changed_ends_the_stream_as_corrupt) {
  Stream stream;
  stream.start();
  stream.send({{0, 10}});
  stream.send({{0, 11}});
  BOOST_REQUIRE(stream.failed);
  BOOST_CHECK(stream.failed->code == ErrorCode::corrupt);
}

BOOST_AUTO_TEST_CASE(passing_errors_are_tried_again_with_growing_pauses_and_lasting_ones_end_the_stream) {
  Stream stream;
  stream.feed(StreamInput::Start{});
  std::chrono::nanoseconds last{0};
  for (int i = 0; i < 10; ++i) {
    stream.feed(StreamInput::Located{stream.attempt, error_of(ErrorCode::unavailable)});
    const TimePoint before = stream.now;
    stream.wake();
    BOOST_CHECK(stream.now - before >= last && stream.now - before <= stream.timeouts_.backoff_max);
    last = stream.now - before;
  }
  BOOST_CHECK(last == stream.timeouts_.backoff_max);
  stream.feed(StreamInput::Located{stream.attempt, error_of(ErrorCode::not_found)});
  BOOST_REQUIRE(stream.failed);
  BOOST_CHECK(stream.failed->code == ErrorCode::not_found);
}

BOOST_AUTO_TEST_CASE(a_full_queue_ends_a_new_stream_and_delays_a_running_one) {
  Stream fresh;
  fresh.feed(StreamInput::Start{});
  fresh.locate({{location_of(first)}});
  fresh.feed(StreamInput::Opened{fresh.attempt, error_of(ErrorCode::exhausted)});
  BOOST_CHECK(fresh.failed && fresh.failed->code == ErrorCode::exhausted);
  Stream running;
  running.start();
  running.feed(StreamInput::Disconnected{running.attempt});
  running.wake();
  running.locate({{location_of(second)}});
  running.feed(StreamInput::Opened{running.attempt, error_of(ErrorCode::exhausted)});
  BOOST_CHECK(!running.failed);
  running.wake();
  BOOST_CHECK_EQUAL(running.locates.size(), 1u);
}

BOOST_AUTO_TEST_CASE(a_silent_conductor_is_left_as_soon_as_the_coordinator_knows_another_one) {
  for (const bool opened : {true, false}) {
    Stream stream;
    stream.feed(StreamInput::Start{});
    stream.locate({{location_of(first)}});
    if (opened) stream.feed(StreamInput::Opened{stream.attempt, Result<void>()});
    const TimePoint before = stream.now;
    // Not yet found lost; then nobody serves for a moment.
    for (const bool serves : {true, false}) {
      stream.wake();
      BOOST_REQUIRE_EQUAL(stream.locates.size(), 1u);
      if (serves) {
        stream.locate({{location_of(first)}});
      } else {
        stream.feed(StreamInput::Located{stream.attempt, error_of(ErrorCode::unavailable)});
      }
      BOOST_CHECK(stream.closes.empty() && !stream.failed);
    }
    stream.wake();
    stream.locate({{location_of(second)}});
    BOOST_CHECK(stream.now - before == 3 * stream.timeouts_.doubt);
    BOOST_REQUIRE_EQUAL(stream.closes.size(), 1u);
    stream.wake();
    stream.open_at(second);
    stream.send({{0, 10}}, second);
    BOOST_CHECK(stream.tokens == std::vector<TokenId>{10});
  }
}

BOOST_AUTO_TEST_CASE(signs_of_life_keep_a_waiting_stream_open) {
  Stream stream;
  stream.start();
  for (int i = 0; i < 20; ++i) {
    stream.now += stream.timeouts_.silence - 1ms;
    stream.feed(StreamInput::Tick{});
    BOOST_CHECK(stream.closes.empty());
    stream.send({});
  }
  stream.now += stream.timeouts_.silence;
  stream.feed(StreamInput::Tick{});
  BOOST_CHECK_EQUAL(stream.closes.size(), 1u);
}

BOOST_AUTO_TEST_CASE(answers_that_never_come_are_asked_for_again) {
  Stream stream;
  stream.feed(StreamInput::Start{});
  stream.wake();  // no location
  stream.wake();  // after the pause
  BOOST_REQUIRE_EQUAL(stream.locates.size(), 1u);
  stream.locate({{location_of(first)}});
  stream.wake();  // not opened: is it still the one?
  BOOST_CHECK(stream.locates.size() == 1 && stream.closes.empty());
  stream.wake();
  BOOST_CHECK_EQUAL(stream.closes.size(), 1u);
  stream.wake();
  BOOST_CHECK_EQUAL(stream.locates.size(), 1u);
}

BOOST_AUTO_TEST_CASE(cancel_and_deadline_end_the_stream_and_tell_the_conductor) {
  Stream cancelled;
  cancelled.start();
  cancelled.feed(StreamInput::Cancel{});
  BOOST_REQUIRE(cancelled.failed);
  BOOST_CHECK(cancelled.failed->code == ErrorCode::cancelled);
  BOOST_REQUIRE_EQUAL(cancelled.closes.size(), 1u);
  BOOST_CHECK(cancelled.closes[0].cancel);
  StreamTimeouts timeouts;
  timeouts.deadline = 3000ms;
  Stream late(timeouts);
  const TimePoint started = late.now;
  late.feed(StreamInput::Start{});
  late.now += 1000ms;
  late.locate({{location_of(first)}});
  // The conductor hears what is left, whatever its clock shows.
  BOOST_REQUIRE_EQUAL(late.opens.size(), 1u);
  BOOST_CHECK(late.opens[0].request.timeout == 2000ms);
  late.feed(StreamInput::Opened{late.attempt, Result<void>()});
  while (!late.failed) late.wake();
  BOOST_CHECK(late.now - started == 3000ms);
  BOOST_CHECK(late.failed->code == ErrorCode::timed_out);
}

BOOST_AUTO_TEST_CASE(a_failure_at_the_conductor_ends_the_stream) {
  Stream stream;
  stream.start();
  StreamUpdate update = stream.update({});
  update.failed = error_of(ErrorCode::exhausted);
  stream.feed(StreamInput::Update{stream.attempt, update});
  BOOST_CHECK(stream.failed && stream.failed->code == ErrorCode::exhausted);
}

BOOST_AUTO_TEST_CASE(a_vector_comes_with_the_end_of_a_stream_that_asked_for_one) {
  for (const bool asked : {true, false}) {
    for (const bool given : {true, false}) {
      StreamRequest request;
      request.id = {1, 2};
      request.deployment = "d";
      request.prompt = {1, 2};
      request.tokens_max = 0;
      if (asked) request.vector = VectorRequest{};
      Stream stream(request);
      stream.start();
      StreamUpdate update = stream.update({});
      update.finished = FinishReason::length;
      if (given) update.vector = {0.5f, -1.0f};
      stream.feed(StreamInput::Update{stream.attempt, update});
      BOOST_CHECK_EQUAL(stream.finished.has_value(), asked == given);
      BOOST_CHECK_EQUAL(stream.vector.size(), asked && given ? 2u : 0u);
      // A conductor of another build; another try would give the same.
      BOOST_CHECK_EQUAL(stream.failed.has_value(), asked != given);
    }
  }
}

namespace {

constexpr ReplicaId replica_a{1}, replica_b{2};

StreamCandidate candidate(ReplicaId replica, std::uint32_t streams = 0) {
  return {{{"host", 1}, "w" + std::to_string(replica.value), replica, first}, streams};
}

/// The replica that a stream like this one goes to when both are idle, and the other one.
std::pair<ReplicaId, ReplicaId> home_and_other() {
  Stream stream;
  stream.feed(StreamInput::Start{});
  stream.locate({candidate(replica_a), candidate(replica_b)});
  const ReplicaId home = stream.opens.at(0).location.replica;
  return {home, home == replica_a ? replica_b : replica_a};
}

}  // namespace

BOOST_AUTO_TEST_CASE(of_several_replicas_the_stream_goes_where_its_prompt_belongs_unless_many_are_there) {
  const auto home_other = home_and_other();
  const ReplicaId home = home_other.first, other = home_other.second;
  Stream stream;
  stream.feed(StreamInput::Start{});
  stream.locate({candidate(home, 100), candidate(other, 0)});
  BOOST_REQUIRE_EQUAL(stream.opens.size(), 1u);
  BOOST_CHECK(stream.opens[0].location.replica == other);
  BOOST_CHECK(stream.opens[0].request.replica == other);
}

BOOST_AUTO_TEST_CASE(a_replica_that_fails_is_left_for_another_behind_the_delivered_tokens) {
  const auto home_other = home_and_other();
  const ReplicaId home = home_other.first, other = home_other.second;
  Stream stream;
  stream.feed(StreamInput::Start{});
  stream.locate({candidate(home), candidate(other)});
  stream.feed(StreamInput::Opened{stream.attempt, Result<void>()});
  stream.send({{0, 10}, {1, 11}});
  const std::uint64_t left = stream.attempt;
  stream.feed(StreamInput::Disconnected{stream.attempt});
  BOOST_REQUIRE_EQUAL(stream.closes.size(), 1u);
  BOOST_CHECK(!stream.closes[0].cancel);  // it may be the next one again
  stream.wake();
  stream.locate({candidate(home), candidate(other)});
  BOOST_REQUIRE_EQUAL(stream.opens.size(), 1u);
  BOOST_CHECK(stream.opens[0].location.replica == other);
  BOOST_CHECK(stream.opens[0].request.delivered == (std::vector<TokenId>{10, 11}));
  // The first one is told that nobody waits for it any more.
  BOOST_REQUIRE_EQUAL(stream.closes.size(), 1u);
  BOOST_CHECK(stream.closes[0].cancel && stream.closes[0].attempt == left);
  BOOST_CHECK(stream.closes[0].location.replica == home);
  // That fails as well: what is left is tried again.
  stream.feed(StreamInput::Opened{stream.attempt, error_of(ErrorCode::unavailable)});
  stream.wake();
  stream.locate({candidate(home), candidate(other)});
  BOOST_REQUIRE_EQUAL(stream.opens.size(), 1u);
  BOOST_CHECK(!stream.failed);
}

BOOST_AUTO_TEST_CASE(a_conductor_that_moves_keeps_its_streams_in_their_replica) {
  const auto home_other = home_and_other();
  const ReplicaId home = home_other.first, other = home_other.second;
  Stream stream;
  stream.feed(StreamInput::Start{});
  stream.locate({candidate(home), candidate(other)});
  stream.feed(StreamInput::Opened{stream.attempt, Result<void>()});
  StreamUpdate moved = stream.update({{0, 10}});
  moved.moved = true;
  stream.feed(StreamInput::Update{stream.attempt, moved});
  stream.wake();
  stream.locate({candidate(other), candidate(home, 100)});  // its pages are there, however many others are
  BOOST_REQUIRE_EQUAL(stream.opens.size(), 1u);
  BOOST_CHECK(stream.opens[0].location.replica == home);
  // Unless it is gone.
  stream.feed(StreamInput::Disconnected{stream.attempt});
  stream.wake();
  stream.locate({candidate(other)});
  BOOST_REQUIRE_EQUAL(stream.opens.size(), 1u);
  BOOST_CHECK(stream.opens[0].location.replica == other);
}

BOOST_AUTO_TEST_CASE(a_new_stream_is_refused_when_every_replica_is_full) {
  Stream stream;
  stream.feed(StreamInput::Start{});
  stream.locate({candidate(replica_a), candidate(replica_b)});
  const ReplicaId first_tried = stream.opens.at(0).location.replica;
  stream.feed(StreamInput::Opened{stream.attempt, error_of(ErrorCode::exhausted)});
  BOOST_REQUIRE(!stream.failed);
  stream.wake();
  stream.locate({candidate(replica_a), candidate(replica_b)});
  BOOST_CHECK(stream.opens.at(0).location.replica != first_tried);
  stream.feed(StreamInput::Opened{stream.attempt, error_of(ErrorCode::exhausted)});
  BOOST_CHECK(stream.failed && stream.failed->code == ErrorCode::exhausted);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
