// The commands of the tessera binary. Each file adds its commands to the parser; a parsed command leaves its action in
// `action`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace tessera::app {

/// Exit codes, the same for every command.
enum ExitCode : int {
  exit_ok = 0,
  exit_failure = 1,    ///< the machine or the storage failed
  exit_usage = 2,      ///< bad arguments or options
  exit_bad_input = 3,  ///< a file is damaged, foreign or not supported
  exit_interrupted = 130,
};

/// What main runs after parsing; returns the exit code.
using Action = std::function<int()>;

void add_import_commands(CLI::App& app, Action& action);        // import, synth
void add_devices_command(CLI::App& app, Action& action);        // devices
void add_embed_command(CLI::App& app, Action& action);          // embed
void add_export_command(CLI::App& app, Action& action);         // export
void add_inspect_commands(CLI::App& app, Action& action);       // inspect, verify
void add_run_command(CLI::App& app, Action& action);            // run
void add_tokenize_command(CLI::App& app, Action& action);       // tokenize
void add_tokenizer_commands(CLI::App& app, Action& action);     // tokenizer train
void add_train_command(CLI::App& app, Action& action);          // train
void add_perplexity_command(CLI::App& app, Action& action);     // perplexity
void add_chat_template_command(CLI::App& app, Action& action);  // chat-template

void add_node_command(CLI::App& app, Action& action);      // node
void add_launch_commands(CLI::App& app, Action& action);   // up, down
void add_cluster_commands(CLI::App& app, Action& action);  // status, drain, logs, token create
void add_deploy_commands(CLI::App& app, Action& action);   // deploy, undeploy
void add_generate_command(CLI::App& app, Action& action);  // generate
void add_serve_command(CLI::App& app, Action& action);     // serve
void add_keys_commands(CLI::App& app, Action& action);     // keys create, keys list, keys revoke
void add_job_commands(CLI::App& app, Action& action);      // jobs, cancel, job perplexity, job verify, job watch

}  // namespace tessera::app
