#include <cctype>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/cluster_view.hpp"
#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/local_cluster.hpp"
#include "app/report.hpp"
#include "app/serve_options.hpp"
#include "app/status_line.hpp"
#include "cluster/auth/identity.hpp"
#include "gateway/cluster_models.hpp"
#include "gateway/gateway.hpp"
#include "runtime/base/log.hpp"
#include "runtime/device/topology.hpp"

namespace tessera::app {

namespace {

/// What is served: a cluster of this process, or one that runs elsewhere.
struct Served {
  std::unique_ptr<LocalCluster> local;
  client::Options client;
  std::string model_text;  ///< "stories260K f32", of a model that was deployed here
};

/// A name that a deployment can have, from that of a file.
std::string name_of(const std::string& path) {
  std::string name;
  for (const char c : std::filesystem::path(path).stem().string()) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 && byte < 0x80) {
      name += static_cast<char>(std::tolower(byte));
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  name.resize(std::min(name.size(), name_length_max));
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "model" : name;
}

bool keep_going() { return !interrupted(); }

Result<client::DeploymentStatus> deploy(const LocalCluster& cluster, const ServeOptions& options, StatusLine& line) {
  client::Options client_options = cluster.operator_options();
  client_options.keep_going = keep_going;
  TESSERA_TRY(auto client, to_result(client::Client::connect(client_options)));
  client::DeployRequest request;
  request.name = options.name;
  std::error_code code;
  request.uri = std::filesystem::absolute(options.model, code).lexically_normal().string();
  request.kv_positions = options.kv_positions;
  request.speculation = options.speculation;
  return to_result(client.deploy(request, [&](const client::DeploymentStatus& deployment) {
    line.show(progress_text(deployment));
    return keep_going();
  }));
}

Result<Served> start_local(ServeOptions& options, StatusLine& line) {
  std::error_code code;
  if (!std::filesystem::exists(options.model, code))
    return Error{ErrorCode::not_found, options.model + ": there is no such file"};
  if (options.name.empty()) options.name = name_of(options.model);
  TESSERA_CHECK(check_name("model", options.name));
  line.show("starting");
  TESSERA_CHECK(place_process(options.node.numa));
  Served served;
  TESSERA_TRY(served.local, LocalCluster::start(options.node, keep_going));
  TESSERA_TRY(const client::DeploymentStatus deployed, deploy(*served.local, options, line));
  served.model_text = deployed.model + " " + deployed.dtype;
  served.client = served.local->gateway_options();
  return served;
}

Result<Served> find_served(ServeOptions& options, StatusLine& line) {
  if (!options.model.empty()) return start_local(options, line);
  TESSERA_TRY(FoundCluster found, find_cluster(options.cluster));
  Served served;
  served.client = std::move(found.client);
  return served;
}

/// A command to try, with a model that is there.
std::string example(const std::string& url, const std::string& name, bool chats, bool with_key) {
  const std::string path = chats ? "/v1/chat/completions" : "/v1/completions";
  const std::string input =
      chats ? R"("messages": [{"role": "user", "content": "Hello"}])" : R"("prompt": "Once upon a time")";
  return "curl " + url + path + (with_key ? " -H 'authorization: Bearer KEY'" : "") +
         " -H 'content-type: application/json' \\\n    -d '{\"model\": \"" + name + "\", " + input +
         ", \"max_tokens\": 64}'";
}

bool announce(const ServeOptions& options, const Served& served, const gateway::Gateway& gateway,
              gateway::ModelSource& models, double seconds) {
  const std::string url = gateway.url();
  const auto list = models.list();
  nlohmann::json names = nlohmann::json::array();
  if (list) {
    for (const gateway::ServedModel& model : *list) names.push_back(model.name);
  }
  nlohmann::json listeners = nlohmann::json::array();
  for (std::size_t i = 0; i < options.gateway.listen.size(); ++i) {
    listeners.push_back(
        {{"url", gateway.url(i)}, {"port", gateway.port(i)}, {"sets", to_text(options.gateway.listen[i].sets)}});
  }
  if (options.json) {
    return print_json({{"url", url},
                       {"port", gateway.port()},
                       {"listeners", listeners},
                       {"models", names},
                       {"timings", {{"seconds", seconds}}}});
  }
  char time[32];
  std::snprintf(time, sizeof time, "%.1f s", seconds);
  std::string text;
  if (served.local) {
    text = options.name + " serves " + served.model_text + " at " + url + " (ready in " + time + ")\n";
  } else {
    text = std::to_string(names.size()) + " deployments are served at " + url + "\n";
  }
  for (std::size_t i = 1; i < options.gateway.listen.size(); ++i) text += "also at " + gateway.url(i) + "\n";
  if (!names.empty()) {
    const std::string name = names.front().get<std::string>();
    const auto model = models.find(name);
    text += "\n  " + example(url, name, model && model->chat, !options.gateway.key_file.empty()) + "\n";
  }
  return print_text(text + "\nCtrl-C ends it.\n");
}

Result<void> wait(const Served& served) {
  if (served.local) return served.local->wait([] { return interrupted(); });
  // Nothing is read: only a signal ends it.
  wait_for_input(-1);
  return {};
}

int run(ServeOptions options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  if (const Result<void> settled = settle(options); !settled) return fail(settled.error());
  if (!options.gateway.access_log.empty()) {
    install_hangup_handler();
    options.gateway.reopen_access_log = take_hangup;
  }
  StatusLine line(clock);
  auto served = find_served(options, line);
  if (!served) return fail(served.error());
  auto models = gateway::ClusterModels::connect(served->client);
  if (!models) return fail(models.error());
  auto gateway = gateway::Gateway::start(options.gateway, **models);
  if (!gateway) return fail(gateway.error());
  line.clear();
  if (!announce(options, *served, **gateway, **models, seconds_between(start, clock.now())))
    return fail_closed_stdout();
  const Result<void> ended = wait(*served);
  if (!ended) return fail(ended.error());
  const std::size_t running = (*gateway)->streams();
  if (running > 0) line.show("letting " + std::to_string(running) + " streams end; again to cut them off");
  const bool drained = (*gateway)->drain(std::chrono::seconds(options.drain_s));
  line.clear();
  if (drained) return exit_ok;
  return fail(Error{ErrorCode::timed_out, "some requests did not end within " + std::to_string(options.drain_s) +
                                              " s and were cut off; give more time with --drain"});
}

}  // namespace

void add_serve_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("serve",
                                           "Serve a model over HTTP, by the protocols of OpenAI, TF Serving, Open "
                                           "Inference and AMP, and over WebSockets: in "
                                           "this process, or the deployments of a cluster");
  auto options = std::make_shared<ServeOptions>();
  add_serve_options(*command, *options);
  command->callback([=, &action] { action = [options] { return run(*options); }; });
}

}  // namespace tessera::app
