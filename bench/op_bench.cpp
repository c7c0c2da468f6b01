#include <algorithm>

#include "bench/bench.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera::bench {

namespace {

constexpr std::uint32_t k = 2048, tiles = 128;               // one matrix of 2048 x 2048
constexpr std::size_t matrices = 24, lanes = TESSERA_LANES;  // together far beyond the caches
constexpr std::uint32_t gemm_tokens = 512;
constexpr std::uint32_t blocks = k / TESSERA_BLOCK;
constexpr std::size_t q8_tile = blocks * 32 + blocks * 512;
constexpr std::size_t f32_tile = k * lanes * sizeof(float);

struct Data {
  AlignedBuffer<std::uint8_t> weights;
  AlignedBuffer<float> x{gemm_tokens * k}, y{gemm_tokens * tiles * lanes};
  AlignedBuffer<std::int8_t> values{gemm_tokens * k};
  AlignedBuffer<float> scales{gemm_tokens * blocks};
  AlignedBuffer<std::int32_t> corrections{gemm_tokens * blocks};

  explicit Data(std::size_t tile_bytes) : weights(matrices * tiles * tile_bytes) {
    // Any bytes do, but as f32 or f16 they must stay small and finite: exponents of both types lie in the high byte of
    // a half.
    for (std::size_t i = 0; i < weights.size(); ++i)
      weights[i] = static_cast<std::uint8_t>((i * 2654435761u >> 13) & 0x3b);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) * 0.1f - 0.8f;
  }
};

void multiply(const Settings& settings, ThreadPool& pool, Data& data, DType dtype, std::size_t matrix,
              std::uint32_t tokens) {
  const std::size_t tile_bytes = dtype == DType::f32 ? f32_tile : q8_tile;
  const std::uint8_t* const weights = data.weights.data() + matrix * tiles * tile_bytes;
  const std::uint32_t tasks = pool.threads() == 1 ? 1 : pool.threads() * 4;
  pool.run(tasks, [&](std::uint32_t task, std::uint32_t) {
    const std::uint32_t begin = tiles * task / tasks, end = tiles * (task + 1) / tasks;
    float* const y = data.y.data() + begin * lanes;
    if (dtype == DType::f32) {
      const tessera_matmul_f32_args args{weights, tile_bytes,    begin, end, k,
                                         tokens,  data.x.data(), k,     y,   tiles * lanes};
      settings.ops->matmul_f32(&args);
    } else {
      const tessera_q8_rows rows{data.values.data(), data.scales.data(), data.corrections.data(), k, blocks};
      const tessera_matmul_q8_args args{weights, tile_bytes, begin, end, blocks, tokens, rows, y, tiles * lanes};
      settings.ops->matmul_q8(&args);
    }
  });
}

}  // namespace

std::vector<Row> bench_ops(const Settings& settings) {
  auto pool = ThreadPool::create(settings.threads);
  TESSERA_ENSURE(pool);
  const ReadProbe reader(512u << 20);
  std::vector<Row> rows;
  for (const DType dtype : {DType::f32, DType::q8}) {
    const std::size_t tile_bytes = dtype == DType::f32 ? f32_tile : q8_tile;
    Data data(tile_bytes);
    const tessera_q8_rows quantised{data.values.data(), data.scales.data(), data.corrections.data(), k, blocks};
    settings.ops->quantize_rows(data.x.data(), k, gemm_tokens, k, &quantised);
    Row gemv{std::string("GEMV ") + to_string(dtype) + ", weights from memory", "GB/s", {}, {}};
    Row gemm{std::string("GEMM ") + to_string(dtype) + ", 512 tokens", "GMAC/s", {}, {}};
    for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
      gemv.roofline.add(reader.measure(settings.isa, **pool, *settings.clock));
      TimePoint start = settings.clock->now();
      for (std::size_t matrix = 0; matrix < matrices; ++matrix) multiply(settings, **pool, data, dtype, matrix, 1);
      gemv.value.add(static_cast<double>(data.weights.size()) / seconds_between(start, settings.clock->now()) / 1e9);
      gemm.roofline.add(dtype == DType::f32 ? measure_f32_peak(settings.isa, **pool, *settings.clock)
                                            : measure_int8_peak(settings.isa, **pool, *settings.clock));
      start = settings.clock->now();
      multiply(settings, **pool, data, dtype, sample % matrices, gemm_tokens);
      const double work = static_cast<double>(gemm_tokens) * tiles * lanes * k;
      gemm.value.add(work / seconds_between(start, settings.clock->now()) / 1e9);
    }
    rows.push_back(gemv);
    rows.push_back(gemm);
  }
  return rows;
}

}  // namespace tessera::bench
