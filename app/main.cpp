// tessera: one binary for everything. `tessera --help` lists the commands.
#include <cstdio>
#include <exception>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/open_files.hpp"

int main(int argc, char** argv) {
  using namespace tessera;
  using namespace tessera::app;
  try {
    CLI::App cli("Tessera: exact, elastic inference on ordinary machines.", "tessera");
    cli.set_version_flag("--version", std::string("tessera ") + TESSERA_VERSION);
    std::string log_level = "warning";
    cli.add_option("--log-level", log_level, "trace, debug, info, warning, error or off")->capture_default_str();
    cli.require_subcommand(1);
    cli.fallthrough();
    Action action;
    add_run_command(cli, action);
    add_import_commands(cli, action);
    add_export_command(cli, action);
    add_inspect_commands(cli, action);
    add_chat_template_command(cli, action);
    add_perplexity_command(cli, action);
    add_embed_command(cli, action);
    add_tokenize_command(cli, action);
    add_tokenizer_commands(cli, action);
    add_train_command(cli, action);
    add_devices_command(cli, action);
    add_node_command(cli, action);
    add_launch_commands(cli, action);
    add_cluster_commands(cli, action);
    add_deploy_commands(cli, action);
    add_generate_command(cli, action);
    add_serve_command(cli, action);
    add_keys_commands(cli, action);
    add_job_commands(cli, action);
    try {
      cli.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      // CLI11's own codes are above 100; ours mean something.
      return cli.exit(error) == 0 ? exit_ok : exit_usage;
    }
    if (const Result<void> configured = configure_log(log_level); !configured) {
      std::fprintf(stderr, "tessera: %s\n", configured.error().message.c_str());
      return exit_usage;
    }
    install_interrupt_handlers();
    raise_open_files_limit();
    return action();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "tessera: out of memory\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tessera: unexpected failure: %s\n", error.what());
  }
  return exit_failure;
}
