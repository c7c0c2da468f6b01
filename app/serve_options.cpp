#include "app/serve_options.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "app/numa_option.hpp"
#include "app/speculation_option.hpp"
#include "cluster/auth/server_credentials.hpp"
#include "gateway/cors.hpp"
#include "gateway/key_file.hpp"
#include "gateway/listen.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/limits.hpp"

namespace tessera::app {

namespace {

void add_address(CLI::App& command, ServeOptions& options) {
  const char* const group = "Who may ask, and where";
  auto* const port = command.add_option("--port", options.address.port, "Port to listen on; 0: any free one")
                         ->group(group)
                         ->capture_default_str();
  auto* const host =
      command.add_option("--host", options.address.host, "Address to listen on; beyond loopback only with --keys")
          ->group(group)
          ->capture_default_str();
  command
      .add_option("--cors-origin", options.gateway.cors_origins,
                  "Pages of this origin (https://HOST) may ask, too; * with --keys: of any; may be repeated")
      ->expected(1)
      ->take_all()
      ->group(group);
  command
      .add_option(
          "--access-log", options.gateway.access_log,
          "Append a line of JSON for each request to this file, or - for standard output; SIGHUP begins a new file")
      ->group(group);
  auto* const certificate =
      command
          .add_option("--tls-certificate", options.gateway.tls_certificate,
                      "Serve HTTPS with the certificate in this PEM file, its authorities' behind it")
          ->group(group);
  auto* const key = command
                        .add_option("--tls-key", options.gateway.tls_key,
                                    "Private key of the certificate, in PEM; only its owner may read the file")
                        ->group(group)
                        ->needs(certificate);
  certificate->needs(key);
  command
      .add_option("--listen", options.listen,
                  "HOST:PORT, or HOST:PORT=SET,SET with the sets of routes that are offered there (all, openai, "
                  "tfserving, inference, amp, health, metrics, page); may be repeated")
      ->expected(1)
      ->take_all()
      ->group(group)
      ->excludes(port)
      ->excludes(host);
  auto* const keys = command
                         .add_option("--keys", options.gateway.key_file,
                                     "File of API keys (tessera keys create): whoever has none is refused")
                         ->group(group);
  command.add_flag("--open-metrics", options.gateway.open_metrics, "/metrics needs no key")->needs(keys)->group(group);
  command
      .add_flag("--insecure-http", options.gateway.insecure_http,
                "Listen beyond loopback unencrypted: only behind something that encrypts")
      ->needs(keys)
      ->group(group);
}

void add_limits(CLI::App& command, ServeOptions& options) {
  const char* const group = "Limits";
  command.add_option("--max-streams", options.gateway.streams_max, "Completions at once; more are answered 429")
      ->check(CLI::Range(1u, 4096u))
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--max-connections", options.gateway.connections_max,
                  "Connections at once; one more closes an idle one, or is answered 503")
      ->check(CLI::Range(1u, 65536u))
      ->group(group)
      ->capture_default_str();
  command.add_option("--max-body", options.body_mb, "MiB of one request; larger ones are answered 413")
      ->check(CLI::Range(1u, 64u))
      ->group(group)
      ->capture_default_str();
  command.add_option("--drain", options.drain_s, "Seconds that requests have to end after Ctrl-C or SIGTERM")
      ->check(CLI::Range(0u, 3600u))
      ->group(group)
      ->capture_default_str();
}

void add_model(CLI::App& command, ServeOptions& options) {
  const char* const group = "The model in this process";
  command.add_option("--threads", options.node.cores, "Compute threads (default: all cores that this process may use)")
      ->check(CLI::Range(1u, limits::threads_max))
      ->group(group);
  add_numa_option(command, options.node.numa)->group(group);
  command.add_option("--isa", options.node.isa, "Instruction set; the result has the same bits")
      ->check(CLI::IsMember({"auto", "scalar", "avx2", "avx512", "avx512bf16"}))
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--kv-positions", options.kv_positions,
                  "Token positions of all streams together (default: eight contexts, at most 16384)")
      ->group(group);
  add_speculation_option(command, options.speculation)->group(group);
}

}  // namespace

void add_serve_options(CLI::App& command, ServeOptions& options) {
  command.add_option("MODEL", options.model,
                     "Checkpoint file (.h5); without it, what a cluster has deployed is served");
  command.add_option("--name", options.name, "Name of the model in requests (default: that of its file)");
  command.add_option("--default-model", options.gateway.default_model,
                     "Model of requests that name none, such as POST /predict (default: the only one)");
  command.add_flag("--json", options.json, "Print one JSON object once it serves");
  add_address(command, options);
  add_model(command, options);
  add_limits(command, options);
  add_cluster_option(command, options.cluster);
}

Result<void> settle(ServeOptions& options) {
  options.gateway.body_bytes_max = std::size_t{options.body_mb} << 20;
  if (options.listen.empty()) {
    options.gateway.listen = {options.address};
  } else {
    options.gateway.listen.clear();
  }
  for (const std::string& text : options.listen) {
    TESSERA_TRY(const gateway::ListenOptions address, gateway::parse_listen(text));
    options.gateway.listen.push_back(address);
  }
  return check_gateway(options.gateway);
}

Result<void> check_gateway(const gateway::GatewayOptions& given) {
  TESSERA_CHECK(gateway::check_cors_origins(given.cors_origins, !given.key_file.empty()));
  TESSERA_CHECK(gateway::check_listen(given));
  if (!given.key_file.empty()) {
    if (const auto book = gateway::read_key_file(given.key_file); !book) return book.error();
  }
  if (given.tls_certificate.empty()) return {};
  const auto credentials = load_server_credentials(given.tls_certificate, given.tls_key, SystemWallClock().now());
  return credentials ? Result<void>() : credentials.error();
}

}  // namespace tessera::app
