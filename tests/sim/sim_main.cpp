// tessera_sim SEED [LAST_SEED] [--quiet] [--rough] [--without CHECK] [--flaw FLAW]: runs seeds of the simulation; with
// one seed, tells what happens.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/scenario.hpp"

namespace {

int usage() {
  std::fprintf(
      stderr,
      "usage: tessera_sim SEED [LAST_SEED] [--quiet] [--rough] [--without CHECK] [--flaw FLAW]\n\nCHECK is one of:");
  for (std::size_t i = 0; i < tessera::fence_checks; ++i)
    std::fprintf(stderr, " %s", tessera::to_string(static_cast<tessera::FenceCheck>(i)));
  std::fprintf(stderr, "\nFLAW is one of:");
  for (std::size_t i = 1; i < tessera::sim::flaws; ++i)
    std::fprintf(stderr, " %s", to_string(static_cast<tessera::sim::Flaw>(i)));
  std::fprintf(stderr, "\n");
  return 2;
}

bool parse_seed(const std::string& text, std::uint64_t& seed) {
  char* end = nullptr;
  seed = std::strtoull(text.c_str(), &end, 10);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos && *end == '\0';
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tessera;
  std::vector<std::uint64_t> seeds;
  sim::RunOptions options;
  bool quiet = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    std::uint64_t seed = 0;
    if (argument == "--quiet") {
      quiet = true;
    } else if (argument == "--rough") {
      options.rough = true;
    } else if (argument == "--without" && i + 1 < argc) {
      const std::string name = argv[++i];
      std::size_t check = 0;
      while (check < fence_checks && name != to_string(static_cast<FenceCheck>(check))) ++check;
      if (check == fence_checks) return usage();
      options.rules = FenceRules::without(static_cast<FenceCheck>(check));
    } else if (argument == "--flaw" && i + 1 < argc) {
      const std::string name = argv[++i];
      std::size_t flaw = 1;
      while (flaw < sim::flaws && name != to_string(static_cast<sim::Flaw>(flaw))) ++flaw;
      if (flaw == sim::flaws) return usage();
      options.flaw = static_cast<sim::Flaw>(flaw);
    } else if (parse_seed(argument, seed)) {
      seeds.push_back(seed);
    } else {
      return usage();
    }
  }
  if (seeds.empty() || seeds.size() > 2) return usage();
  const std::uint64_t last = seeds.back();
  options.trace = seeds.size() == 1 && !quiet;
  int failed = 0;
  std::uint64_t resumptions = 0;
  std::map<std::string, std::uint64_t> faults;
  double simulated = 0, healing_max = 0;
  for (options.seed = seeds.front(); options.seed <= last; ++options.seed) {
    const sim::RunReport report = sim::run_seed(options);
    if (!report.violation.empty()) ++failed;
    resumptions += report.resumptions;
    for (const auto& [kind, times] : report.faults) faults[kind] += times;
    simulated += report.simulated_seconds;
    healing_max = std::max(healing_max, report.healing_seconds);
    if (seeds.size() == 1 || !report.violation.empty()) {
      std::printf("seed %llu: %s (%llu events, %.1f s simulated, %llu resumptions)\n",
                  static_cast<unsigned long long>(options.seed),
                  report.violation.empty() ? "every invariant held" : report.violation.c_str(),
                  static_cast<unsigned long long>(report.events), report.simulated_seconds,
                  static_cast<unsigned long long>(report.resumptions));
    }
  }
  std::printf(
      "%llu seeds, %d failed; %.2f h simulated, %llu resumptions of streams, all done at most %.1f s after the "
      "faults\n",
      static_cast<unsigned long long>(last - seeds.front() + 1), failed, simulated / 3600,
      static_cast<unsigned long long>(resumptions), healing_max);
  if (seeds.size() == 2) {
    std::printf("faults:");
    const char* separator = " ";
    for (const auto& [kind, times] : faults) {
      std::printf("%s%s %llu", separator, kind.c_str(), static_cast<unsigned long long>(times));
      separator = ", ";
    }
    std::printf("\n");
  }
  return failed == 0 ? 0 : 1;
}
