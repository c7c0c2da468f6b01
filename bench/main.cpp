// tessera_bench: measures kernels and models against what the machine reaches in the same run, and prints one table.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "bench/bench.hpp"

namespace {

using namespace tessera;
using namespace tessera::bench;

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

void print_row(const Row& row, std::uint32_t threads, bool with_peer) {
  std::printf("| %s | %u | %s %s |", row.name.c_str(), threads, text_of(row.value, 1).c_str(), row.unit.c_str());
  if (row.roofline.count() > 0) {
    std::printf(" %s | %.0f %% |", text_of(row.roofline, 1).c_str(), row.value.over(row.roofline).median() * 100);
  } else {
    std::printf(" | |");
  }
  if (row.peer.count() > 0) {
    std::printf(" %s | %.2f |", text_of(row.peer, 1).c_str(), row.value.over(row.peer).median());
  } else if (with_peer) {
    std::printf(" | |");
  }
  std::printf("\n");
  std::fflush(stdout);
}

nlohmann::json json_of(const Row& row, std::uint32_t threads) {
  nlohmann::json json = {{"name", row.name}, {"unit", row.unit}, {"threads", threads}, {"value", json_of(row.value)}};
  if (row.roofline.count() > 0) {
    json["roofline"] = json_of(row.roofline);
    json["share"] = json_of(row.value.over(row.roofline));
  }
  if (row.peer.count() > 0) {
    json["peer"] = json_of(row.peer);
    json["ratio"] = json_of(row.value.over(row.peer));
  }
  return json;
}

/// What can be measured, in the order of the table.
const std::vector<std::string> all_parts = {"exchange", "ops", "order", "model", "batch", "long", "start", "busy"};

struct Options {
  std::vector<std::string> models = {"llama-134m", "llama-1.1b"};
  std::vector<std::string> dtypes = {"q4", "q8", "bf16", "f32"};
  std::vector<std::uint32_t> threads;
  std::uint32_t samples = 21;
  std::string isa = "auto", cache_folder = "build/bench-models", commit = "unknown", json_file;
  std::string command = "./dev bench", peer_folder, tessera = "tessera";
  std::vector<std::string> parts = all_parts;
  bool measures(const char* part) const { return std::find(parts.begin(), parts.end(), part) != parts.end(); }
};

/// The parts that measure one model.
Result<void> measure_model(const Options& options, const Settings& settings, const std::string& model, DType dtype,
                           const std::function<void(const std::vector<Row>&)>& add) {
  const std::pair<const char*, decltype(&bench_model)> benches[] = {{"model", bench_model},
                                                                    {"batch", bench_batches},
                                                                    {"long", bench_long_context},
                                                                    {"start", bench_start},
                                                                    {"busy", bench_busy_core}};
  for (const auto& [part, bench] : benches) {
    if (!options.measures(part)) continue;
    TESSERA_TRY(auto rows, bench(settings, model, dtype));
    add(rows);
  }
  return {};
}

Result<nlohmann::json> measure(const Options& options, const Clock& clock) {
  Settings settings;
  settings.samples = options.samples;
  settings.cache_folder = options.cache_folder;
  settings.clock = &clock;
  settings.tessera = options.tessera;
  TESSERA_TRY(settings.ops, select_kernels(options.isa == "auto" ? std::nullopt : parse_isa(options.isa)));
  settings.isa = *parse_isa(settings.ops->name);
  std::error_code error;
  std::filesystem::create_directories(options.cache_folder, error);
  std::vector<std::uint32_t> threads = options.threads;
  if (threads.empty()) {
    threads.push_back(1);
    if (usable_cores() > 1) threads.push_back(usable_cores());
  }
  std::printf("`%s`, commit %s, %s, %u cores, kernels %s.\nMedians of %u interleaved samples [95 %% interval].\n\n",
              options.command.c_str(), options.commit.c_str(), processor_name().c_str(), usable_cores(),
              settings.ops->name, options.samples);
  std::optional<Peer> peer;
  if (!options.peer_folder.empty()) {
    TESSERA_TRY(peer, Peer::open(options.peer_folder, clock));
    settings.peer = &*peer;
  }
  std::printf("| what | threads | value | roofline, same run | share |%s\n|---|---|---|---|---|%s\n",
              peer ? " llama.cpp, same run | ratio |" : "", peer ? "---|---|" : "");
  nlohmann::json json = nlohmann::json::array();
  const auto add = [&](const std::vector<Row>& rows) {
    for (const Row& row : rows) {
      print_row(row, settings.threads, peer.has_value());
      json.push_back(json_of(row, settings.threads));
    }
  };
  if (options.measures("exchange")) {
    for (const std::uint32_t ranks : {2u, 4u}) {
      settings.threads = ranks;
      add(bench_exchange(settings, ranks));
    }
  }
  std::vector<DType> dtypes;
  for (const std::string& name : options.dtypes) dtypes.push_back(*parse_dtype(name));
  for (const std::uint32_t count : threads) {
    settings.threads = count;
    if (options.measures("ops")) add(bench_ops(settings, dtypes));
    if (options.measures("order")) add(bench_order(settings, dtypes));
    for (const std::string& model : options.models) {
      for (const DType dtype : dtypes) {
        // 4.4 GB of f32 weights say nothing that the small model does not.
        if (model == "llama-1.1b" && dtype == DType::f32 && dtypes.size() > 1) continue;
        TESSERA_CHECK(measure_model(options, settings, model, dtype, add));
      }
    }
  }
  return json;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli("Measures Tessera against the machine's own limits.", "tessera_bench");
  Options options;
  cli.add_option("--models", options.models, "Synthetic shapes")->delimiter(',')->capture_default_str();
  cli.add_option("--dtypes", options.dtypes, "Of the matrix kernels and of the models")
      ->delimiter(',')
      ->check(CLI::IsMember({"f32", "bf16", "q8", "q4"}))
      ->capture_default_str();
  cli.add_option("--threads", options.threads, "Thread counts (default: 1 and all cores)")->delimiter(',');
  cli.add_option("--samples", options.samples)->check(CLI::Range(1u, 1000u))->capture_default_str();
  cli.add_option("--isa", options.isa)
      ->check(CLI::IsMember({"auto", "avx2", "avx512", "avx512bf16"}))
      ->capture_default_str();
  cli.add_option("--cache", options.cache_folder, "Folder for synthetic models")
      ->envname("TESSERA_BENCH_CACHE")
      ->capture_default_str();
  cli.add_option("--commit", options.commit, "Shown above the table")->envname("TESSERA_BENCH_COMMIT");
  cli.add_option("--json", options.json_file, "Write all figures to this file");
  cli.add_option(
         "--parts", options.parts,
         "exchange: between shards; ops: the matrix kernels; order: what slices and their tree cost; model: decode and "
         "prefill; batch: decode of 4, 8 and "
         "16 sequences; long: at the end of the context; start: of the program to its first token; busy: decode beside "
         "a foreign process that keeps one core busy")
      ->delimiter(',')
      ->check(CLI::IsMember(all_parts))
      ->capture_default_str();
  cli.add_option("--peer", options.peer_folder,
                 "Build folder of llama.cpp: its llama-bench and llama-batched-bench are measured in turns with ours");
  cli.add_option("--tessera", options.tessera, "The program that `start` measures")
      ->envname("TESSERA_BINARY")
      ->capture_default_str();
  CLI11_PARSE(cli, argc, argv);
  for (int i = 1; i < argc; ++i) options.command += std::string(" ") + argv[i];
  const SystemClock clock;
  const Result<nlohmann::json> json = measure(options, clock);
  if (!json) {
    std::fprintf(stderr, "tessera_bench: %s\n", json.error().message.c_str());
    return 1;
  }
  if (!options.json_file.empty()) std::ofstream(options.json_file) << json->dump(1) << "\n";
  return 0;
}
