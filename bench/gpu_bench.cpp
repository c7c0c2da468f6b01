// tessera_gpu_bench MODULE [--ceiling GB/s] [--tiny]: matrices and whole decode steps of a GPU module, as time, bytes
// per second and share of a ceiling. Called by bench/gpu.sh on a machine with a GPU; --tiny runs everything on a small
// shape, also on the host shim's module, to see that it runs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <string>
#include <vector>

#include "bench/gpu_step.hpp"
#include "runtime/base/clock.hpp"

namespace {

using namespace tessera;
using namespace tessera::bench;

constexpr GpuShape llama_8b{"Llama-3-8B", 4096, 32, 32, 8, 128, 14336, 128256, 3};
constexpr GpuShape tiny{"tiny", 64, 2, 4, 2, 16, 96, 200, 2};

struct Format {
  const char* name;
  tessera_weight_format format;
};
constexpr Format formats[] = {{"f32", TESSERA_WEIGHTS_F32},
                              {"bf16", TESSERA_WEIGHTS_BF16},
                              {"q8", TESSERA_WEIGHTS_Q8},
                              {"q4", TESSERA_WEIGHTS_Q4}};

const tessera_device_table* open_module(const char* path) {
  void* const library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "gpu_bench: %s\n", ::dlerror());
    return nullptr;
  }
  const auto probe = reinterpret_cast<tessera_device_probe_fn>(::dlsym(library, "tessera_device_probe"));
  const auto get = reinterpret_cast<tessera_device_table_fn>(::dlsym(library, "tessera_device_table_get"));
  tessera_device_probe_result found{};
  if (probe == nullptr || get == nullptr || probe(&found) != TESSERA_DEVICE_OK) {
    std::fprintf(stderr, "gpu_bench: %s: %s\n", path, found.reason[0] != '\0' ? found.reason : "not a GPU module");
    return nullptr;
  }
  return get();
}

struct Bench {
  GpuDevice device;
  SystemClock clock;
  double ceiling = 0;  // bytes per second
  int repetitions = 21;

  /// Seconds of one run of the recorded work: the median of replays that are waited for as a whole.
  double seconds(int inside, const std::function<void()>& launch) {
    const tessera_device_table& table = device.table();
    tessera_device_graph* graph = nullptr;
    device.check(table.record_begin(device.queue()));
    launch();
    device.check(table.record_end(device.queue(), &graph));
    std::vector<double> samples;
    for (int i = 0; i < repetitions + 3; ++i) {
      const TimePoint start = clock.now();
      device.check(table.replay(device.queue(), graph));
      device.check(table.wait(device.queue()));
      if (i >= 3) samples.push_back(seconds_between(start, clock.now()) / inside);  // the first ones warm up
    }
    table.graph_release(device.queue(), graph);
    std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2), samples.end());
    return samples[samples.size() / 2];
  }

  void print(const std::string& name, double seconds, double bytes) const {
    std::printf("%-44s %10.1f us %8.1f GB/s", name.c_str(), seconds * 1e6, bytes / seconds / 1e9);
    if (ceiling > 0) std::printf(" %5.1f %%", bytes / seconds / ceiling * 100);
    std::printf("\n");
    std::fflush(stdout);
  }
};

/// Matrices of a layer alone; copies of the weights are taken in turns, more than any cache holds.
void bench_matrices(Bench& bench, const GpuShape& shape, const Format& format) {
  struct Case {
    const char* name;
    std::uint32_t units, tiles, k;
  };
  const Case cases[] = {
      {"qkv", 1, (shape.heads + 2 * shape.kv_heads) * shape.head_dim / 16, shape.dim},
      {"out", shape.attention_slices(), shape.dim / 16, shape.attention_columns()},
      {"gate and up", 1, 2 * shape.ffn_slices() * shape.ffn_columns() / 16, shape.dim},
      {"down", shape.ffn_slices(), shape.dim / 16, shape.ffn_columns()},
  };
  for (const Case& one : cases) {
    constexpr std::uint32_t copies = 6;
    const GpuMatrix matrix = GpuMatrix::make(bench.device, format.format, one.units, one.tiles, one.k, copies);
    for (const std::uint32_t rows : {1u, 8u, 64u}) {
      const tessera_device_rows x = make_rows(bench.device, format.format, rows, one.units * one.k);
      auto* const y = bench.device.allocate<float>(cut_nodes(one.units).nodes.size() * rows * one.tiles * 16);
      const double seconds = bench.seconds(copies, [&] {
        for (std::uint32_t copy = 0; copy < copies; ++copy) launch_matmul(bench.device, matrix, copy, rows, x, y);
      });
      bench.print(std::string(format.name) + " " + one.name + ", " + std::to_string(rows) + " rows", seconds,
                  static_cast<double>(matrix.bytes));
    }
    bench.device.release_all();
  }
}

void bench_steps(Bench& bench, const GpuShape& shape, const Format& format,
                 const std::vector<std::uint32_t>& contexts) {
  for (const std::uint32_t batch : {1u, 16u, 64u}) {
    for (const std::uint32_t context : contexts) {
      {
        GpuStep step(bench.device, shape, format.format, batch, context);
        const double seconds = bench.seconds(1, [&] { step.launch(); });
        bench.print(std::string(shape.name) + " step, " + format.name + ", batch " + std::to_string(batch) +
                        ", context " + std::to_string(context),
                    seconds, step.bytes());
      }
      bench.device.release_all();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  bool small = false;
  double ceiling = 0;
  for (int i = 2; i < argc; ++i) {
    if (std::strcmp(argv[i], "--tiny") == 0) small = true;
    if (std::strcmp(argv[i], "--ceiling") == 0 && i + 1 < argc) ceiling = std::atof(argv[i + 1]) * 1e9;
  }
  const tessera_device_table* const table = argc > 1 ? open_module(argv[1]) : nullptr;
  if (table == nullptr) {
    std::fprintf(stderr, "usage: tessera_gpu_bench MODULE [--ceiling GB/s] [--tiny]\n");
    return 2;
  }
  Bench bench{GpuDevice(*table, 0), {}, ceiling};
  if (small) bench.repetitions = 1;
  const GpuShape& shape = small ? tiny : llama_8b;
  for (const Format& format : formats) {
    if (small || format.format != TESSERA_WEIGHTS_F32) bench_matrices(bench, shape, format);
  }
  const std::vector<std::uint32_t> contexts =
      small ? std::vector<std::uint32_t>{40} : std::vector<std::uint32_t>{1024, 8192};
  for (const Format& format : formats) {
    if (small || format.format != TESSERA_WEIGHTS_F32) bench_steps(bench, shape, format, contexts);
  }
  return 0;
}
