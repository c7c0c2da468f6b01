// Jobs that the cluster runs, and what a worker needs to run them.
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "clients/client_core.hpp"
#include "clients/job_results.hpp"
#include "clients/score_perplexity.hpp"
#include "cluster/control/job_texts.hpp"
#include "tests/unit/clients/fake_cluster.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

BOOST_FIXTURE_TEST_SUITE(jobs, FakeCluster)

/// Plays the worker: ends the first job once it was submitted.
std::thread worker(FakeCluster& cluster, JobState state, std::string result, std::optional<Error> error = {}) {
  return std::thread([&cluster, state, result = std::move(result), error] {
    if (cluster.stage.wait([&] { return cluster.coordinator.jobs.size() == 1; }))
      cluster.coordinator.end_job(JobId{1}, state, result, error);
  });
}

BOOST_AUTO_TEST_CASE(perplexity_is_a_job_with_the_text_whose_result_is_read) {
  auto client = connect();
  std::thread ending = worker(*this, JobState::done, frontend::encode(client::PerplexityReport{5.25, 1.5, 511, 2}));
  const auto report = client.perplexity({.deployment = "story", .text = "Once\nupon", .window = 64});
  ending.join();
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(report), why(report));
  BOOST_TEST(report->perplexity == 5.25);
  BOOST_TEST(report->mean_negative_log_probability == 1.5);
  BOOST_TEST(report->scored_tokens == 511u);
  BOOST_TEST(report->windows == 2u);
  const auto input = decode_perplexity_input(coordinator.jobs.at(1).spec.input);
  BOOST_REQUIRE(input);
  BOOST_TEST(input->window == 64u);
  BOOST_TEST(input->text == "Once\nupon");
}

BOOST_AUTO_TEST_CASE(a_job_that_failed_gives_its_error) {
  coordinator.cluster.deployments = {deployment_of("story")};
  auto client = connect();
  std::thread ending = worker(*this, JobState::failed, "", Error{ErrorCode::corrupt, "tensor w1: checksum differs"});
  const auto report = client.verify("story");
  ending.join();
  BOOST_REQUIRE(!report);
  BOOST_TEST((report.error().code == client::ErrorCode::corrupt));
  BOOST_TEST(report.error().message == "tensor w1: checksum differs");
  BOOST_TEST(coordinator.jobs.at(1).spec.uri == "file:///story.h5");
  BOOST_TEST((client.verify("other").error().code == client::ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(a_result_that_cannot_be_read_is_corrupt) {
  auto client = connect();
  std::thread ending = worker(*this, JobState::done, "nonsense");
  const auto report = client.perplexity({.deployment = "story", .text = "Once"});
  ending.join();
  BOOST_REQUIRE(!report);
  BOOST_TEST((report.error().code == client::ErrorCode::corrupt));
}

BOOST_AUTO_TEST_CASE(a_wait_that_is_given_up_leaves_the_job_running) {
  auto client = connect();
  const auto report =
      client.perplexity({.deployment = "story", .text = "Once"}, [](const client::JobStatus&) { return false; });
  BOOST_REQUIRE(!report);
  BOOST_TEST((report.error().code == client::ErrorCode::cancelled));
  const auto job = client.job(1);
  BOOST_REQUIRE(job);
  BOOST_TEST((job->state == client::JobState::running));
  BOOST_TEST((client.job(2).error().code == client::ErrorCode::not_found));
  const auto all = client.jobs();
  BOOST_REQUIRE(all);
  BOOST_TEST(all->size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_watched_job_is_followed_through_a_restart_of_the_coordinator_to_its_end) {
  auto client = connect();
  {
    const std::lock_guard lock(stage.mutex);
    JobRecord job;
    job.job = JobId{1};
    job.state = JobState::running;
    job.attempt = 1;
    coordinator.jobs[1] = job;
  }
  std::uint32_t seen = 0;
  std::thread ending;
  const auto job = client.watch(1, [&](const client::JobStatus&) {
    if (++seen == 1) {
      stop_coordinator();
      start_coordinator();
      ending = std::thread([this] { coordinator.end_job(JobId{1}, JobState::done, "{}", {}); });
    }
    return true;
  });
  if (ending.joinable()) ending.join();
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(job), why(job));
  BOOST_TEST((job->state == client::JobState::done));
  BOOST_TEST(seen >= 2u);
}

BOOST_AUTO_TEST_CASE(scores_come_in_order_and_add_up_to_the_perplexity) {
  coordinator.cluster.deployments = {deployment_of("story", 8)};
  auto core = frontend::ClientCore::create(options());
  BOOST_REQUIRE(core);
  const auto scores = frontend::score_tokens(**core, "story", {1, 70, 71, 72});
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(scores), why(scores));
  BOOST_TEST(*scores == (std::vector<float>{expected_score(1), expected_score(2), expected_score(3)}),
             boost::test_tools::per_element());
  // 17 bytes in windows of 7 behind a start token: 7, 7 and 3 scores.
  const auto report = frontend::score_perplexity(**core, "story", "abcdefghijklmnopq", 0);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(report), why(report));
  BOOST_TEST(report->windows == 3u);
  BOOST_TEST(report->scored_tokens == 17u);
  const double mean = (28 + 28 + 6) * 0.125 / 17;
  BOOST_TEST(report->mean_negative_log_probability == mean, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(report->perplexity == std::exp(mean), boost::test_tools::tolerance(1e-12));
  BOOST_TEST(!frontend::score_perplexity(**core, "story", "abc", 9));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(job_texts)

BOOST_AUTO_TEST_CASE(what_a_job_says_reads_back) {
  const GenerateInput input{{0x0123456789abcdef, 42}, 200, 7};
  const auto back = decode_generate_input(encode(input));
  BOOST_REQUIRE(back);
  BOOST_TEST((back->stream == input.stream));
  BOOST_TEST(back->tokens_max == 200u);
  BOOST_TEST(back->seed == 7u);
  const client::PerplexityReport report{123.26773412345678, 0.1, 693363, 1357};
  const auto again = frontend::decode_perplexity_result(frontend::encode(report));
  BOOST_REQUIRE(again);
  BOOST_TEST(again->perplexity == report.perplexity);
  BOOST_TEST(again->mean_negative_log_probability == report.mean_negative_log_probability);
}

BOOST_AUTO_TEST_CASE(what_is_no_job_is_refused) {
  for (const char* const text :
       {"", "stream=1 tokens_max=2 seed=3", "window=1", "window=x\ntext", "\n", "===", "   "}) {
    BOOST_TEST(!decode_generate_input(text));
    BOOST_TEST(!decode_perplexity_input(text));
  }
  for (const char* const text : {"", "{}", "[]", "1", "{\"bytes\":\"x\",\"content_id\":1}"}) {
    BOOST_TEST(!frontend::decode_perplexity_result(text));
    BOOST_TEST(!frontend::decode_verify_result(text));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
