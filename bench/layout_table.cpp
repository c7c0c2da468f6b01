// What the step time model says of models and clusters: the tables of docs/scaling.md.
#include <cstdint>
#include <cstdio>
#include <utility>

#include "cluster/control/step_time_model.hpp"

namespace {

using namespace tessera;

struct Model {
  const char* name;
  double weight_bytes;
  std::uint32_t layers, dim, slices;
};

void print(const Model& what, double latency, double gigabits, std::uint32_t cluster) {
  StepModel model;
  model.weight_bytes = what.weight_bytes;
  model.layers = what.layers;
  model.dim = what.dim;
  model.read_bytes_per_second = 20e9;
  model.network.latency = latency;
  model.network.bytes_per_second = gigabits * 1e9 / 8;
  const auto found = fastest_layout(model, cluster, 32e9, what.slices);
  if (!found) {
    std::printf("| %s | %.2f ms, %.0f Gbit/s | %u | does not fit | | | |\n", what.name, latency * 1e3, gigabits,
                cluster);
    return;
  }
  const Layout& layout = *found;
  std::printf("| %s | %.2f ms, %.0f Gbit/s | %u | %u × %u × %u | %.1f ms | %.1f ms | %.0f |\n", what.name,
              latency * 1e3, gigabits, cluster, layout.workers, layout.stages, layout.replicas,
              layout.step.total() * 1e3, step_time(model, 1, 1).total() * 1e3, layout.tokens_per_second(1));
}

}  // namespace

int main() {
  // Slices: the most shards that a stage can have.
  const Model models[] = {{"134M q8", 0.15e9, 30, 576, 49},
                          {"1.1B q8", 1.2e9, 22, 2048, 64},
                          {"8B q8", 8.5e9, 32, 4096, 126},
                          {"70B q8", 75e9, 80, 8192, 126},
                          {"405B q8", 430e9, 126, 16384, 126}};
  std::printf(
      "| model | network | workers | tensor × stages × replicas | a step | on one worker | tokens/s, one stream each "
      "|\n"
      "|---|---|---|---|---|---|---|\n");
  for (const Model& model : models) {
    for (const auto& [latency, gigabits] : {std::pair{50e-6, 25.0}, std::pair{100e-6, 10.0}, std::pair{500e-6, 1.0}}) {
      for (const std::uint32_t cluster : {10u, 100u, 1000u}) print(model, latency, gigabits, cluster);
    }
  }
  return 0;
}
