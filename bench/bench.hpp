// The benchmarks: each takes its samples in turns with the probe of its roofline and adds a row to the report.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/peer.hpp"
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
  Samples roofline;   ///< in the same unit; none: the row has no ceiling
  Samples peer = {};  ///< llama.cpp's figure, where it was measured
};

struct Settings {
  Isa isa = Isa::scalar;
  const tessera_op_table* ops = nullptr;
  std::uint32_t threads = 1;
  std::uint32_t samples = 21;
  std::string cache_folder;  ///< where synthetic models are kept
  const Clock* clock = nullptr;
  const Peer* peer = nullptr;  ///< measured in turns with ours; none: not at all
  std::string tessera;         ///< the program, for what is measured from outside
};

/// Matrix kernels on weights from memory: GEMV in GB/s against reading, GEMM in GMAC/s against the arithmetic peak.
std::vector<Row> bench_ops(const Settings& settings, std::span<const DType> dtypes);

/// Decode and prefill of a synthetic model in tokens/s; the roofline of decode is read bandwidth over bytes per token,
/// that of prefill the arithmetic peak over multiply-adds per token.
Result<std::vector<Row>> bench_model(const Settings& settings, const std::string& shape, DType dtype);

/// Decode of several sequences together, tokens/s of all; the roofline is the lower one of reading the weights once for
/// all and of the arithmetic peak.
Result<std::vector<Row>> bench_batches(const Settings& settings, const std::string& shape, DType dtype);

/// Prefill of a whole context and decode at its end, against the rooflines of bench_model: attention's own work counts
/// as loss.
Result<std::vector<Row>> bench_long_context(const Settings& settings, const std::string& shape, DType dtype);

/// `tessera run` from its start to its first token: a prompt of 16 tokens, the file in the page cache.
Result<std::vector<Row>> bench_start(const Settings& settings, const std::string& shape, DType dtype);

/// Decode while a foreign process keeps one of the cores busy, beside decode without it times the share of the cores
/// that is left when both get half of that one. Nothing where fewer threads than cores compute.
Result<std::vector<Row>> bench_busy_core(const Settings& settings, const std::string& shape, DType dtype);

/// What the order of exactness costs: row-parallel matrices in slices and by the tree; where others have a roofline,
/// the same matrices in one piece.
std::vector<Row> bench_order(const Settings& settings, std::span<const DType> dtypes);

/// What one layer's exchange costs between `ranks` (at most 8) threads of this process: latency of 8 KB, where more
/// than 100 % of bare TCP is slower, and throughput of 16 MB.
std::vector<Row> bench_exchange(const Settings& settings, std::uint32_t ranks);

}  // namespace tessera::bench
