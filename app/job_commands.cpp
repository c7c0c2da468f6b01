#include <cstdio>
#include <memory>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/cluster_options.hpp"
#include "app/cluster_view.hpp"
#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "app/status_line.hpp"

namespace tessera::app {

namespace {

struct JobsOptions {
  ClusterOptions cluster;
  bool json = false;
};

struct JobOptions {
  ClusterOptions cluster;
  std::uint64_t job = 0;
  bool json = false;
};

struct PerplexityOptions {
  ClusterOptions cluster;
  client::PerplexityRequest request;
  std::string file;
  bool json = false;
};

struct VerifyOptions {
  ClusterOptions cluster;
  std::string deployment;
  bool json = false;
};

int run_jobs(const JobsOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  const auto jobs = client->jobs();
  if (!jobs) return fail(to_error(jobs.error()));
  if (!options.json) return print_text(table(*jobs)) ? exit_ok : fail_closed_stdout();
  nlohmann::json list = nlohmann::json::array();
  for (const client::JobStatus& job : *jobs) list.push_back(to_json(job));
  return print_json({{"jobs", list}}) ? exit_ok : fail_closed_stdout();
}

int run_cancel(const JobOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  const auto job = client->cancel(options.job);
  if (!job) return fail(to_error(job.error()));
  if (options.json) return print_json(to_json(*job)) ? exit_ok : fail_closed_stdout();
  std::printf("job %llu: %s\n", static_cast<unsigned long long>(job->id), to_string(job->state));
  return exit_ok;
}

int run_watch(const JobOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  bool printed = true;
  const auto job = client->watch(options.job, [&](const client::JobStatus& now) {
    printed = options.json ? print_json(to_json(now)) : print_text(progress_text(now) + "\n");
    return printed && !interrupted();
  });
  if (!printed) return fail_closed_stdout();
  if (interrupted()) return exit_interrupted;
  return job ? exit_ok : fail(to_error(job.error()));
}

int run_perplexity(const PerplexityOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  client::PerplexityRequest request = options.request;
  Result<std::string> text = read_text_file(options.file);
  if (!text) return fail(text.error());
  request.text = *std::move(text);
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  StatusLine line(clock);
  const auto report = client->perplexity(request, [&](const client::JobStatus& job) {
    line.show(progress_text(job));
    return !interrupted();
  });
  line.clear();
  if (!report) return fail(to_error(report.error()));
  const double seconds = seconds_between(start, clock.now());
  if (options.json) {
    return print_json({{"perplexity", report->perplexity},
                       {"mean_negative_log_probability", report->mean_negative_log_probability},
                       {"scored_tokens", report->scored_tokens},
                       {"windows", report->windows},
                       {"timings", {{"seconds", seconds}}}})
               ? exit_ok
               : fail_closed_stdout();
  }
  std::printf("perplexity %.6f over %llu tokens in %u windows (%.1f tokens/s)\n", report->perplexity,
              static_cast<unsigned long long>(report->scored_tokens), report->windows,
              static_cast<double>(report->scored_tokens) / seconds);
  return exit_ok;
}

int run_verify(const VerifyOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  StatusLine line(clock);
  const auto report = client->verify(options.deployment, [&](const client::JobStatus& job) {
    line.show(progress_text(job));
    return !interrupted();
  });
  line.clear();
  if (!report) return fail(to_error(report.error()));
  const double seconds = seconds_between(start, clock.now());
  if (options.json) {
    return print_json({{"ok", true},
                       {"content_id", report->content_id},
                       {"bytes", report->bytes},
                       {"timings", {{"seconds", seconds}}}})
               ? exit_ok
               : fail_closed_stdout();
  }
  std::printf("%s: every checksum matches (%s in %.2f s), content id %s\n", options.deployment.c_str(),
              human_bytes(static_cast<double>(report->bytes)).c_str(), seconds, report->content_id.c_str());
  return exit_ok;
}

/// cancel JOB, job watch JOB
void add_one_job_command(CLI::App& app, Action& action, const char* name, const char* description,
                         int (*run)(const JobOptions&)) {
  auto* const command = app.add_subcommand(name, description);
  auto options = std::make_shared<JobOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_option("JOB", options->job, "Number of the job, as tessera jobs shows it")
      ->required()
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", options->json, "Print JSON, one object a line");
  command->callback([=, &action] { action = [options, run] { return run(*options); }; });
}

void add_perplexity(CLI::App& job, Action& action) {
  auto* const command = job.add_subcommand("perplexity", "How well a deployment predicts a text");
  auto options = std::make_shared<PerplexityOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_option("NAME", options->request.deployment, "Name of the deployment")->required();
  command->add_option("-f,--file", options->file, "Text file (- for standard input)")->required();
  command->add_option("--window", options->request.window,
                      "Tokens per window, start token included (default: the model's context)");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_perplexity(*options); }; });
}

void add_verify(CLI::App& job, Action& action) {
  auto* const command =
      job.add_subcommand("verify", "Compare every byte of a deployment's checkpoint with its checksums");
  auto options = std::make_shared<VerifyOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_option("NAME", options->deployment, "Name of the deployment")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_verify(*options); }; });
}

}  // namespace

void add_job_commands(CLI::App& app, Action& action) {
  auto* const jobs = app.add_subcommand("jobs", "List the cluster's jobs");
  auto options = std::make_shared<JobsOptions>();
  add_cluster_option(*jobs, options->cluster);
  jobs->add_flag("--json", options->json, "Print one JSON object");
  jobs->callback([=, &action] { action = [options] { return run_jobs(*options); }; });
  add_one_job_command(app, action, "cancel", "Cancel a job, whoever started it", run_cancel);

  auto* const job = app.add_subcommand("job", "Work that the cluster does by itself: perplexity, verify");
  job->require_subcommand(1);
  add_perplexity(*job, action);
  add_verify(*job, action);
  add_one_job_command(*job, action, "watch", "Show every change of a job until it ends", run_watch);
}

}  // namespace tessera::app
