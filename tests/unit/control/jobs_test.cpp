#include "cluster/control/jobs.hpp"

#include <boost/test/unit_test.hpp>

using namespace tessera;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(jobs)

namespace {

JobSpec spec_of(JobKind kind, const std::string& key = "") {
  JobSpec spec;
  spec.kind = kind;
  spec.deployment = "chat";
  spec.uri = "file:///text";
  spec.client = "ann";
  spec.idempotency_key = key;
  return spec;
}

struct Table {
  JobTable table{30s};
  JobEffects effects;
  std::uint64_t next = 1;
  TimePoint now{};
  std::vector<JobWorker> workers{{NodeId{1}, NodeIncarnation{11}}, {NodeId{2}, NodeIncarnation{22}}};

  JobId submit(JobKind kind) {
    const JobId id{next++};
    BOOST_REQUIRE(bool(table.submit(id, spec_of(kind), 0, effects)));
    return id;
  }
  void advance() { table.advance(now, workers, effects); }
  const JobRecord& at(JobId job) { return table.all().at(job); }
  template <typename T>
  std::size_t count() const {
    return static_cast<std::size_t>(std::count_if(
        effects.begin(), effects.end(), [](const JobEffect& effect) { return std::holds_alternative<T>(effect); }));
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(queued_jobs_go_to_the_least_busy_worker_up_to_its_limit, Table) {
  std::vector<JobId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(submit(JobKind::verify));
  BOOST_TEST((at(ids[0]).state == JobState::queued));
  advance();
  BOOST_TEST((at(ids[0]).node == NodeId{1}));
  BOOST_TEST((at(ids[1]).node == NodeId{2}));
  BOOST_TEST((at(ids[2]).node == NodeId{1}));
  BOOST_TEST((at(ids[3]).node == NodeId{2}));
  BOOST_TEST((at(ids[4]).state == JobState::queued));
  BOOST_REQUIRE(bool(table.report(ids[1], 1, std::string("good"), effects)));
  advance();
  BOOST_TEST((at(ids[4]).node == NodeId{2}));
}

BOOST_FIXTURE_TEST_CASE(a_job_ends_once, Table) {
  const JobId id = submit(JobKind::perplexity);
  advance();
  BOOST_TEST(!table.report(id, 2, std::string("of the future"), effects));
  BOOST_REQUIRE(bool(table.report(id, 1, std::string("12.5"), effects)));
  const auto again = table.report(id, 1, std::string("13"), effects);
  BOOST_REQUIRE(!again);
  BOOST_TEST((again.error().code == ErrorCode::conflict));
  BOOST_TEST(at(id).result == "12.5");
  const auto cancelled = table.cancel(id, "too late", effects);
  BOOST_REQUIRE(bool(cancelled));
  BOOST_TEST((cancelled->state == JobState::done));
}

BOOST_FIXTURE_TEST_CASE(a_lost_worker_gives_the_job_another_attempt_until_the_last, Table) {
  const JobId id = submit(JobKind::verify);
  for (std::uint32_t attempt = 1; attempt <= job_attempts_max; ++attempt) {
    advance();
    BOOST_TEST(at(id).attempt == attempt);
    table.worker_lost(at(id).node, effects);
    BOOST_TEST(!table.report(id, attempt, std::string("late"), effects));
  }
  BOOST_TEST((at(id).state == JobState::failed));
  BOOST_REQUIRE(at(id).error.has_value());
  BOOST_TEST((at(id).error->code == ErrorCode::unavailable));
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_finds_something_unavailable_is_asked_again_and_an_error_is_final, Table) {
  const JobId first = submit(JobKind::perplexity), second = submit(JobKind::perplexity);
  advance();
  BOOST_REQUIRE(bool(table.report(first, 1, Error{ErrorCode::unavailable, "no conductor"}, effects)));
  BOOST_TEST((at(first).state == JobState::queued));
  BOOST_REQUIRE(bool(table.report(second, 1, Error{ErrorCode::corrupt, "bad text"}, effects)));
  BOOST_TEST((at(second).state == JobState::failed));
}

BOOST_FIXTURE_TEST_CASE(cancelling_stops_the_attempt, Table) {
  const JobId waiting = submit(JobKind::verify);
  BOOST_REQUIRE(bool(table.cancel(waiting, "no", effects)));
  BOOST_TEST(count<JobStopped>() == 0u);
  const JobId running = submit(JobKind::verify);
  advance();
  BOOST_REQUIRE(bool(table.cancel(running, "no", effects)));
  BOOST_TEST(count<JobStopped>() == 1u);
  BOOST_TEST((at(running).state == JobState::cancelled));
  BOOST_TEST(!table.cancel(JobId{99}, "no", effects));
}

BOOST_FIXTURE_TEST_CASE(a_generate_job_is_cancelled_when_its_client_stays_away, Table) {
  const JobId stays = submit(JobKind::generate), leaves = submit(JobKind::generate);
  BOOST_TEST((at(stays).state == JobState::running));
  table.client_lost(now, stays);
  table.client_lost(now, leaves);
  now += 29s;
  table.client_seen(stays);
  advance();
  BOOST_TEST((at(leaves).state == JobState::running));
  now += 1s;
  advance();
  BOOST_TEST((at(leaves).state == JobState::cancelled));
  BOOST_TEST((at(stays).state == JobState::running));
  BOOST_REQUIRE(bool(table.report(stays, 1, std::string("text"), effects)));
}

BOOST_FIXTURE_TEST_CASE(the_same_key_gives_the_same_job_and_other_content_is_refused, Table) {
  const auto first = table.submit(JobId{1}, spec_of(JobKind::verify, "k"), 0, effects);
  const auto again = table.submit(JobId{2}, spec_of(JobKind::verify, "k"), 5, effects);
  BOOST_REQUIRE(first && again);
  BOOST_TEST((again->job == JobId{1}));
  JobSpec other = spec_of(JobKind::verify, "k");
  other.uri = "file:///other";
  const auto refused = table.submit(JobId{2}, other, 0, effects);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::conflict));
  other.client = "bob";
  BOOST_TEST(bool(table.submit(JobId{2}, other, 0, effects)));
}

BOOST_FIXTURE_TEST_CASE(open_jobs_are_limited_and_ended_ones_are_forgotten_in_order, Table) {
  for (std::size_t i = 0; i < jobs_open_max; ++i) submit(JobKind::generate);
  const auto refused = table.submit(JobId{next}, spec_of(JobKind::generate), 0, effects);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::exhausted));
  for (std::size_t i = 1; i <= jobs_ended_max + 2; ++i) {
    BOOST_REQUIRE(bool(table.report(JobId{i}, 1, std::string(), effects)));
  }
  BOOST_TEST(count<JobForgotten>() == 2u);
  BOOST_TEST(table.find(JobId{1}) == nullptr);
  BOOST_TEST(table.find(JobId{2}) == nullptr);
  BOOST_TEST(table.find(JobId{3}) != nullptr);
}

BOOST_FIXTURE_TEST_CASE(a_successor_starts_running_attempts_again_at_the_same_process_only, Table) {
  const JobId same = submit(JobKind::verify), other = submit(JobKind::verify), talk = submit(JobKind::generate);
  advance();
  std::vector<JobRecord> stored;
  for (const auto& [id, job] : table.all()) stored.push_back(job);
  JobTable successor(30s);
  successor.recover(now, stored);
  JobEffects after;
  successor.worker_back(NodeId{1}, NodeIncarnation{11}, after);
  successor.worker_back(NodeId{2}, NodeIncarnation{23}, after);
  BOOST_TEST((successor.find(same)->state == JobState::running));
  BOOST_TEST((successor.find(other)->state == JobState::queued));
  BOOST_TEST(std::count_if(after.begin(), after.end(),
                           [](const JobEffect& effect) { return std::holds_alternative<JobStarted>(effect); }) == 1);
  successor.advance(now + 30s, workers, after);
  BOOST_TEST((successor.find(talk)->state == JobState::cancelled));
}

BOOST_AUTO_TEST_SUITE_END()
