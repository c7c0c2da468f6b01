// tessera keys: the API keys of a gateway, in a file that `tessera serve --keys` looks at.
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/report.hpp"
#include "gateway/key_file.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/utc_text.hpp"

namespace tessera::app {

namespace {

using gateway::ApiKey;

/// Ten years: what should last longer has no end.
constexpr std::int64_t lifetime_days_max = 3660;

struct KeysOptions {
  std::string file, name, expires;
  std::vector<std::string> models;
  gateway::KeyLimits limits;
  bool json = false;
};

/// "30d", "12h", "90m", "45s"
Result<std::chrono::seconds> parse_lifetime(const std::string& text) {
  const Error error{ErrorCode::invalid_argument,
                    "'" + text.substr(0, 64) +
                        "' is no time that a key can be good for; give a number and s, m, h or d, such as 30d, up to " +
                        std::to_string(lifetime_days_max) + "d"};
  std::uint32_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [unit, code] = std::from_chars(text.data(), end, count);
  if (code != std::errc{} || unit + 1 != end || count == 0) return error;
  std::chrono::seconds length{};
  if (*unit == 's') length = std::chrono::seconds(count);
  if (*unit == 'm') length = std::chrono::minutes(count);
  if (*unit == 'h') length = std::chrono::hours(count);
  if (*unit == 'd') length = std::chrono::days(count);
  if (length.count() == 0 || length > std::chrono::days(lifetime_days_max)) return error;
  return length;
}

std::string date_text(std::chrono::sys_seconds moment) { return utc_text(moment, " ", " UTC"); }

nlohmann::json to_json(const ApiKey& key) {
  const auto number = [](const std::optional<std::uint32_t>& limit) {
    return limit ? nlohmann::json(*limit) : nlohmann::json();
  };
  return {{"name", key.name},
          {"created_unix_s", key.created.time_since_epoch().count()},
          {"expires_unix_s", key.expires ? nlohmann::json(key.expires->time_since_epoch().count()) : nlohmann::json()},
          {"models", key.models.empty() ? nlohmann::json() : nlohmann::json(key.models)},
          {"concurrent_requests", number(key.limits.concurrent_requests)},
          {"requests_per_minute", number(key.limits.requests_per_minute)},
          {"tokens_per_minute", number(key.limits.tokens_per_minute)}};
}

/// What it may do, in a line.
std::string describe(const ApiKey& key, std::chrono::sys_seconds now) {
  std::string text = "made " + date_text(key.created);
  if (key.expires) text += (now >= *key.expires ? ", expired " : ", good until ") + date_text(*key.expires);
  for (std::size_t i = 0; i < key.models.size(); ++i) text += (i == 0 ? ", for " : " and ") + key.models[i];
  const auto limit = [&](const std::optional<std::uint32_t>& value, const char* what) {
    if (value) text += ", " + std::to_string(*value) + what;
  };
  limit(key.limits.concurrent_requests, " requests at once");
  limit(key.limits.requests_per_minute, " requests a minute");
  limit(key.limits.tokens_per_minute, " tokens a minute");
  return text;
}

int run_create(const KeysOptions& options) {
  ApiKey key;
  key.name = options.name;
  key.created = SystemWallClock().now();
  if (!options.expires.empty()) {
    const auto lifetime = parse_lifetime(options.expires);
    if (!lifetime) return fail(lifetime.error());
    key.expires = key.created + *lifetime;
  }
  key.models = options.models;
  key.limits = options.limits;
  const std::string secret = gateway::draw_key();
  key.hash = gateway::hash_of_key(secret);
  if (const Result<void> added = gateway::add_key(options.file, key); !added) return fail(added.error());
  nlohmann::json json = to_json(key);
  json["key"] = secret;
  const bool printed = options.json ? print_json(json) : print_text(secret + "\n");
  if (printed) return exit_ok;
  // Nobody has seen the secret, and nobody will.
  const Result<void> removed = gateway::remove_key(options.file, key.name);
  return removed ? fail_closed_stdout() : fail(removed.error());
}

int run_list(const KeysOptions& options) {
  const auto book = gateway::read_key_file(options.file);
  if (!book) return fail(book.error());
  const auto now = SystemWallClock().now();
  nlohmann::json list = nlohmann::json::array();
  std::string text;
  for (const ApiKey& key : book->keys()) {
    list.push_back(to_json(key));
    text += key.name + ": " + describe(key, now) + "\n";
  }
  if (book->keys().empty()) text = "there are no keys\n";
  return (options.json ? print_json({{"keys", list}}) : print_text(text)) ? exit_ok : fail_closed_stdout();
}

int run_revoke(const KeysOptions& options) {
  const Result<void> removed = gateway::remove_key(options.file, options.name);
  return removed ? exit_ok : fail(removed.error());
}

void add_file(CLI::App& command, KeysOptions& options) {
  command.add_option("--keys", options.file, "The file; only its owner may read it")->required();
}

void add_create(CLI::App& keys, Action& action) {
  auto* const command = keys.add_subcommand(
      "create", "Make a key and print it: once, as only a hash of it is kept. The file is made if there is none");
  auto options = std::make_shared<KeysOptions>();
  command->add_option("NAME", options->name, "What the key is called in lists and logs: a-z, 0-9 and -")->required();
  add_file(*command, *options);
  command->add_option("--expires", options->expires,
                      "How long it is good, such as 45s, 90m, 12h or 30d (default: for good)");
  command->add_option("--model", options->models, "A model that it is for; may be repeated (default: all)")
      ->expected(1)
      ->take_all();
  const CLI::Range limit(1u, gateway::key_limit_max);
  command->add_option("--concurrent-requests", options->limits.concurrent_requests, "Requests at once")->check(limit);
  command->add_option("--requests-per-minute", options->limits.requests_per_minute, "Requests, of any route")
      ->check(limit);
  command
      ->add_option("--tokens-per-minute", options->limits.tokens_per_minute,
                   "Tokens, of prompts and completions; a request that begins within them is not cut off")
      ->check(limit);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_create(*options); }; });
}

void add_list(CLI::App& keys, Action& action) {
  auto* const command = keys.add_subcommand("list", "Show the keys and what they may do; not the keys themselves");
  auto options = std::make_shared<KeysOptions>();
  add_file(*command, *options);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_list(*options); }; });
}

void add_revoke(CLI::App& keys, Action& action) {
  auto* const command = keys.add_subcommand(
      "revoke", "End a key: gateways that run refuse it at once, what it is doing comes to its end");
  auto options = std::make_shared<KeysOptions>();
  command->add_option("NAME", options->name, "The key's name")->required();
  add_file(*command, *options);
  command->callback([=, &action] { action = [options] { return run_revoke(*options); }; });
}

}  // namespace

void add_keys_commands(CLI::App& app, Action& action) {
  auto* const keys = app.add_subcommand("keys", "API keys of a gateway (tessera serve --keys FILE)");
  keys->require_subcommand(1);
  add_create(*keys, action);
  add_list(*keys, action);
  add_revoke(*keys, action);
}

}  // namespace tessera::app
