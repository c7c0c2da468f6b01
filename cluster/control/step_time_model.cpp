#include "cluster/control/step_time_model.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// As NetworkCollective::prefer_scatter (cluster/exchange): bytes that the second round must spare.
constexpr double scatter_bytes_min = 64 << 10;

/// What the software has sealed or opened while the rest is on the wire.
constexpr double piece_bytes = 64 << 10;

/// A link and the software at its ends work on a payload in pieces, one behind the other: the slower one counts, and
/// the other one for a piece.
double message_seconds(const NetworkFacts& network, double bytes) {
  const double software = network.software_bytes_per_second > 0 ? 1 / network.software_bytes_per_second : 0;
  const double wire = network.bytes_per_second > 0 ? 1 / network.bytes_per_second : 0;
  return network.message + bytes * std::max(software, wire) + std::min(bytes, piece_bytes) * std::min(software, wire);
}

double round_seconds(const NetworkFacts& network, std::uint32_t ranks, double bytes) {
  return network.latency + (ranks - 1) * message_seconds(network, bytes);
}

}  // namespace

double exchange_seconds(const NetworkFacts& network, std::uint32_t ranks, double bytes) {
  TESSERA_ENSURE(ranks > 0);
  if (ranks == 1) return 0;
  const double peers = ranks - 1, received = peers * bytes;
  const double by_rows = 2 * peers * bytes / ranks;
  if (received - by_rows < scatter_bytes_min) return round_seconds(network, ranks, bytes);
  return 2 * round_seconds(network, ranks, bytes / ranks);
}

StepTime step_time(const StepModel& model, std::uint32_t workers, std::uint32_t stages, std::uint32_t rows) {
  TESSERA_ENSURE(workers > 0 && stages > 0);
  const double bytes = 4.0 * model.dim * rows;
  StepTime time;
  time.compute = model.weight_bytes / (workers * model.read_bytes_per_second);
  time.exchange = 2.0 * model.layers * exchange_seconds(model.network, workers, bytes);
  time.stages = (stages - 1) * (model.network.latency + message_seconds(model.network, bytes));
  if (workers * stages > 1) time.stages += 2 * (model.network.latency + message_seconds(model.network, 0));
  return time;
}

std::uint32_t workers_that_pay(const StepModel& model, std::uint32_t stages, std::uint32_t most) {
  TESSERA_ENSURE(most > 0);
  double best = step_time(model, 1, stages).total();
  for (std::uint32_t workers = 2; workers <= most; ++workers)
    best = std::min(best, step_time(model, workers, stages).total());
  std::uint32_t fewest = 1;
  while (step_time(model, fewest, stages).total() > pays_factor * best) ++fewest;
  return fewest;
}

std::optional<Layout> fastest_layout(const StepModel& model, std::uint32_t cluster, double worker_bytes,
                                     std::uint32_t slices) {
  TESSERA_ENSURE(cluster > 0 && slices > 0 && worker_bytes > 0);
  const auto needed = static_cast<std::uint32_t>(std::max(1.0, std::ceil(model.weight_bytes / worker_bytes)));
  if (needed > cluster) return std::nullopt;
  const std::uint32_t most = std::min(cluster, slices);
  Layout layout;
  layout.stages = std::min({(needed + most - 1) / most, model.layers, cluster});
  const std::uint32_t per_stage = std::min(most, std::max(1u, cluster / layout.stages));
  const std::uint32_t least = std::min(per_stage, (needed + layout.stages - 1) / layout.stages);
  layout.workers = std::max(least, workers_that_pay(model, layout.stages, per_stage));
  layout.replicas = std::max(1u, cluster / (layout.workers * layout.stages));
  layout.step = step_time(model, layout.workers, layout.stages);
  return layout;
}

}  // namespace tessera
