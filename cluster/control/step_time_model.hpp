// StepTimeModel: how long one decode step takes, on paper, for a model cut into tensor-parallel shards and pipeline
// stages; and so where more workers stop paying. docs/scaling.md derives it and compares it with measurements.
//
//   step(p, s) =  weights / (p · read rate)                       every worker reads its part of its stage's weights
//              +  layers · 2 · exchange(p, dim)                   partial sums after attention and after the FFN
//              +  (s - 1) · hand-on + 2 · (latency + message)     between stages; the step's command and its result
//
//   exchange(p, bytes) = latency + (p - 1) · (message + bytes / rate of the wire + bytes / rate of the software)
//
// 0 for one worker; of a payload of many pieces the slower of the two rates counts, as they overlap.
//
// The first term falls with p, the second rises: there is a best p, and beyond it a worker makes every token later.
// Stages follow each other within a step, so they add memory and no speed; replicas add throughput and no speed.
// Pure; seconds, bytes and bytes per second throughout.
#pragma once

#include <cstdint>
#include <optional>

namespace tessera {

/// Between any two workers of the cluster.
struct NetworkFacts {
  double latency = 0;           ///< one way, of the wire alone
  double bytes_per_second = 0;  ///< of a worker's link; 0: not a limit
  /// What sealing, sending, receiving and opening one message costs a worker, and what a byte of it costs on top:
  /// as measured on the machine of docs/scaling.md.
  double message = 10e-6;
  double software_bytes_per_second = 0.5e9;
  bool operator==(const NetworkFacts&) const = default;
};

/// One model on workers of one kind.
struct StepModel {
  double weight_bytes = 0;  ///< that a decode step reads
  std::uint32_t layers = 1;
  std::uint32_t dim = 1;
  double read_bytes_per_second = 1;  ///< of one worker (NodeInfo::speed)
  NetworkFacts network;
};

struct StepTime {
  double compute = 0, exchange = 0, stages = 0;
  double total() const { return compute + exchange + stages; }
};

/// A gather of `bytes` from everyone to everyone, or, where that spares much, by rows in two rounds (collective.hpp).
double exchange_seconds(const NetworkFacts& network, std::uint32_t ranks, double bytes);

/// `workers` in each of `stages`; `rows` token rows, few enough that reading the weights is what computing costs.
StepTime step_time(const StepModel& model, std::uint32_t workers, std::uint32_t stages, std::uint32_t rows = 1);

/// Workers in each stage, at most `most`: the fewest whose step takes at most `pays_factor` times that of the best
/// number. A worker more than that costs its memory and its failures, and brings next to nothing.
inline constexpr double pays_factor = 1.05;
std::uint32_t workers_that_pay(const StepModel& model, std::uint32_t stages, std::uint32_t most);

/// A whole cluster for one model: tensor parallel × stages × replicas.
struct Layout {
  std::uint32_t workers = 1, stages = 1, replicas = 1;
  StepTime step;
  /// Of all replicas, `rows` streams in each.
  double tokens_per_second(std::uint32_t rows) const { return replicas * rows / step.total(); }
};
/// Stages as few as memory allows with `slices` workers in each at most, workers in each as many as pay; the rest of
/// the cluster holds replicas. Nothing where the weights do not fit the whole cluster.
std::optional<Layout> fastest_layout(const StepModel& model, std::uint32_t cluster, double worker_bytes,
                                     std::uint32_t slices);

}  // namespace tessera
