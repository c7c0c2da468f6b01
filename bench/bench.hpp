// The benchmarks: each takes its samples in turns with the probe of its roofline and adds a row to the report.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/probes.hpp"
#include "bench/samples.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/tensor/dtype.hpp"

namespace tessera::bench {

/// One figure with its roofline from the same run.
struct Row {
  std::string name;
  std::string unit;
  Samples value;
  Samples roofline;  ///< in the same unit
};

struct Settings {
  Isa isa = Isa::scalar;
  const tessera_op_table* ops = nullptr;
  std::uint32_t threads = 1;
  std::uint32_t samples = 21;
  std::string cache_folder;  ///< where synthetic models are kept
  const Clock* clock = nullptr;
};

/// Matrix kernels on weights from memory: GEMV in GB/s against reading, GEMM in GMAC/s against the arithmetic peak.
std::vector<Row> bench_ops(const Settings& settings, std::span<const DType> dtypes);

/// Decode and prefill of a synthetic model in tokens/s; the roofline of decode is read bandwidth over bytes per token,
/// that of prefill the arithmetic peak over multiply-adds per token.
Result<std::vector<Row>> bench_model(const Settings& settings, const std::string& shape, DType dtype);

/// What one layer's exchange costs between `ranks` (at most 8) threads of this process: latency of 8 KB, where more
/// than 100 % of bare TCP is slower, and throughput of 16 MB.
std::vector<Row> bench_exchange(const Settings& settings, std::uint32_t ranks);

}  // namespace tessera::bench
