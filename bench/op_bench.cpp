#include <algorithm>

#include "bench/bench.hpp"
#include "bench/huge_buffer.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/tensor/packed_layout.hpp"

namespace tessera::bench {

namespace {

constexpr std::uint32_t k = 2048, tiles = 128;               // one matrix of 2048 x 2048
constexpr std::size_t matrices = 24, lanes = TESSERA_LANES;  // together far beyond the caches
constexpr std::uint32_t gemm_tokens = 512;
constexpr std::uint32_t blocks = k / TESSERA_BLOCK;

std::size_t tile_bytes_of(DType dtype) { return PackedLayout{dtype, SplitAxis::rows, lanes, k, lanes}.tile_bytes(); }

struct Data {
  HugeBuffer weights;
  AlignedBuffer<float> x{gemm_tokens * k}, y{gemm_tokens * tiles * lanes};
  AlignedBuffer<float> rounded{gemm_tokens * k};
  // Whole groups of rows.
  static constexpr std::size_t entries = (gemm_tokens + TESSERA_ROW_GROUP - 1) * blocks;
  AlignedBuffer<std::int8_t> values{entries * TESSERA_BLOCK};
  AlignedBuffer<float> scales{entries};
  AlignedBuffer<std::int32_t> corrections{entries};

  explicit Data(std::size_t tile_bytes) : weights(matrices * tiles * tile_bytes) {
    // Any bytes do, but as floats they must stay small and finite: exponents of f32, bf16 and f16 lie in the high byte
    // of a half.
    for (std::size_t i = 0; i < weights.size(); ++i)
      weights[i] = static_cast<std::uint8_t>((i * 2654435761u >> 13) & 0x3b);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) * 0.1f - 0.8f;
  }
  tessera_bf16_rows bf16() { return {rounded.data(), k}; }
  tessera_q8_rows q8(std::uint32_t tokens) {
    const std::size_t group = std::min<std::size_t>(tokens, TESSERA_ROW_GROUP);
    return {values.data(), scales.data(), corrections.data(), group, group * blocks};
  }

  void prepare(const tessera_op_table& ops, std::uint32_t tokens) {
    const tessera_bf16_rows bf16_rows = bf16();
    const tessera_q8_rows q8_rows = q8(tokens);
    ops.bf16_rows(x.data(), k, tokens, k, &bf16_rows);
    ops.quantize_rows(x.data(), k, tokens, k, &q8_rows);
  }
};

/// Tiles begin .. end-1 of one matrix.
void multiply_tiles(const tessera_op_table& ops, Data& data, DType dtype, const std::uint8_t* weights,
                    std::uint32_t begin, std::uint32_t end, std::uint32_t tokens) {
  const std::size_t stride = tile_bytes_of(dtype), ldy = tiles * lanes;
  float* const y = data.y.data() + begin * lanes;
  switch (dtype) {
    case DType::f32: {
      const tessera_matmul_f32_args args{weights, stride, begin, end, k, tokens, data.x.data(), k, y, ldy, 0, nullptr};
      return ops.matmul_f32(&args);
    }
    case DType::bf16: {
      const tessera_matmul_bf16_args args{weights, stride, begin, end, k, tokens, data.bf16(), y, ldy, 0, nullptr};
      return ops.matmul_bf16(&args);
    }
    case DType::q8:
    case DType::q4: {
      const tessera_matmul_q8_args args{weights,         stride, begin, end, blocks, tokens,
                                        data.q8(tokens), y,      ldy,   0,   nullptr};
      return dtype == DType::q8 ? ops.matmul_q8(&args) : ops.matmul_q4(&args);
    }
  }
}

void multiply(const Settings& settings, ThreadPool& pool, Data& data, DType dtype, std::size_t matrix,
              std::uint32_t tokens) {
  const std::uint8_t* const weights = data.weights.data() + matrix * tiles * tile_bytes_of(dtype);
  const std::uint32_t tasks = pool.threads() == 1 ? 1 : pool.threads() * 4;
  pool.run(tasks, [&](std::uint32_t task, std::uint32_t) {
    multiply_tiles(*settings.ops, data, dtype, weights, tiles * task / tasks, tiles * (task + 1) / tasks, tokens);
  });
}

}  // namespace

std::vector<Row> bench_ops(const Settings& settings, std::span<const DType> dtypes) {
  auto pool = ThreadPool::create(settings.threads);
  TESSERA_ENSURE(pool);
  const ReadProbe reader(512u << 20);
  std::vector<Row> rows;
  for (const DType dtype : dtypes) {
    Data data(tile_bytes_of(dtype));
    Row gemv{std::string("GEMV ") + to_string(dtype) + ", weights from memory", "GB/s", {}, {}};
    Row gemm{std::string("GEMM ") + to_string(dtype) + ", 512 tokens", "GMAC/s", {}, {}};
    for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
      gemv.roofline.add(reader.measure(settings.isa, **pool, *settings.clock));
      data.prepare(*settings.ops, 1);
      TimePoint start = settings.clock->now();
      for (std::size_t matrix = 0; matrix < matrices; ++matrix) multiply(settings, **pool, data, dtype, matrix, 1);
      gemv.value.add(static_cast<double>(data.weights.size()) / seconds_between(start, settings.clock->now()) / 1e9);
      gemm.roofline.add(measure_peak(dtype, settings.isa, **pool, *settings.clock));
      data.prepare(*settings.ops, gemm_tokens);
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
