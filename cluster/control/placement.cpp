#include "cluster/control/placement.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "cluster/control/placement_shares.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

namespace {

constexpr int layer_rounds_max = 24;
constexpr std::size_t workers_listed_max = 8;

using Workers = std::vector<PlacementWorker>;

std::string mebibytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
  return text;
}

/// Runs of layers in proportion to weights, at least one layer each.
std::vector<SliceRange> split_layers(std::uint32_t layers, std::span<const double> weights) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const auto stages = static_cast<std::uint32_t>(weights.size());
  std::vector<SliceRange> runs;
  double sum = 0;
  std::uint32_t begin = 0;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    sum += weights[stage];
    const auto ideal = static_cast<std::uint32_t>(sum / total * layers + 0.5);
    const std::uint32_t later = stages - stage - 1;
    const std::uint32_t end = later == 0 ? layers : std::clamp(ideal, begin + 1, layers - later);
    runs.push_back({begin, end});
    begin = end;
  }
  return runs;
}

/// Consecutive groups, as equal in number as possible.
std::vector<std::span<const PlacementWorker>> group_workers(const Workers& workers, std::uint32_t stages) {
  std::vector<std::span<const PlacementWorker>> groups;
  std::size_t begin = 0;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    const std::size_t count = workers.size() / stages + (stage < workers.size() % stages ? 1 : 0);
    groups.push_back(std::span(workers).subspan(begin, count));
    begin += count;
  }
  return groups;
}

double speed_of(std::span<const PlacementWorker> group) {
  double speed = 0;
  for (const PlacementWorker& worker : group) speed += worker.speed;
  return speed;
}

/// One try with exactly these workers, or, where some cannot hold a slice, without those.
std::optional<Placement> try_workers(const PlacementTask& task, Workers workers, std::uint32_t stages) {
  while (workers.size() >= stages && !workers.empty()) {
    const auto groups = group_workers(workers, stages);
    std::vector<double> weights;
    for (const auto& group : groups) weights.push_back(speed_of(group));
    std::vector<NodeId> useless;
    for (int round = 0; round < layer_rounds_max; ++round) {
      const auto runs = split_layers(task.facts.shape.layers, weights);
      Placement placement;
      std::uint32_t failed = 0;
      useless.clear();
      for (std::uint32_t stage = 0; stage < stages; ++stage) {
        StageDeal deal = deal_stage(task, runs[stage], groups[stage]);
        for (const std::size_t i : deal.useless) useless.push_back(groups[stage][i].node);
        if (!deal.fits) {
          ++failed;
          weights[stage] *= 0.8;
        }
        placement.stages.push_back({runs[stage], std::move(deal.shards)});
      }
      if (failed == 0) {
        for (const PlacementWorker& worker : workers) placement.nodes.push_back(worker.node);
        return placement;
      }
      if (failed == stages) break;
    }
    if (useless.empty()) return std::nullopt;
    std::erase_if(workers, [&](const PlacementWorker& worker) {
      return std::find(useless.begin(), useless.end(), worker.node) != useless.end();
    });
  }
  return std::nullopt;
}

/// The `count` workers with the most memory, in the given order.
Workers roomiest(std::span<const PlacementWorker> workers, std::size_t count) {
  std::vector<std::size_t> order(workers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return workers[a].memory_left > workers[b].memory_left; });
  order.resize(count);
  std::sort(order.begin(), order.end());
  Workers chosen;
  for (const std::size_t i : order) chosen.push_back(workers[i]);
  return chosen;
}

/// Where nobody said how many.
std::size_t workers_worth_using(const PlacementTask& task, std::size_t most, std::uint32_t stages) {
  if (!task.request.network) return most;
  const auto per_stage = static_cast<std::uint32_t>(std::max<std::size_t>(1, most / stages));
  const StepModel model = step_model_of(task.facts, task.request, task.memory);
  return std::size_t{stages} * workers_that_pay(model, stages, per_stage);
}

/// With as many workers as wanted, or more, or, where that does not fit either, fewer: those with the most memory.
/// (Some that have little can spoil a stage that the others would have room for.)
std::optional<Placement> place_in_stages(const PlacementTask& task, std::span<const PlacementWorker> workers,
                                         std::uint32_t stages) {
  const std::size_t most =
      std::min<std::size_t>(workers.size(), std::size_t{task.facts.geometry.slice_count()} * stages);
  const std::size_t asked_for =
      task.request.workers != 0 ? task.request.workers : workers_worth_using(task, most, stages);
  const std::size_t wanted = std::max<std::size_t>(std::min(asked_for, most), stages);
  for (std::size_t count = wanted; count <= most; ++count) {
    auto placement =
        try_workers(task, Workers(workers.begin(), workers.begin() + static_cast<std::ptrdiff_t>(count)), stages);
    if (!placement && count < workers.size()) placement = try_workers(task, roomiest(workers, count), stages);
    if (placement) return placement;
  }
  for (std::size_t count = wanted; count > stages;) {
    count = std::max<std::size_t>(stages, count - std::max<std::size_t>(1, count / 8));
    if (auto placement = try_workers(task, roomiest(workers, count), stages)) return placement;
  }
  return std::nullopt;
}

Error does_not_fit(const PlacementTask& task, std::span<const PlacementWorker> workers) {
  const SliceRange layers{0, task.facts.shape.layers};
  const ShardMemory whole = whole_shard_memory(task, layers, workers.empty() ? 1 : workers.front().threads);
  std::string text = "'" + task.request.deployment + "' does not fit: on one worker it takes " +
                     mebibytes(whole.weight_bytes) + " of weights + " + mebibytes(whole.kv_bytes) + " for " +
                     std::to_string(task.request.kv_pages * kv_page_positions) + " KV positions + " +
                     mebibytes(whole.buffer_bytes) + " of buffers = " + mebibytes(whole.total());
  std::uint64_t together = 0;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    together += workers[i].memory_left;
    if (i >= workers_listed_max) continue;
    text += (i == 0 ? "; " : ", ") + workers[i].name + " has " + mebibytes(workers[i].memory_left) + " left of " +
            mebibytes(workers[i].memory_bytes);
  }
  if (workers.size() > workers_listed_max) {
    text += " and " + std::to_string(workers.size() - workers_listed_max) + " more";
  }
  text += workers.empty() ? "; there is no worker" : "; together " + mebibytes(together);
  if (task.request.stages != 0) text += ", in " + std::to_string(task.request.stages) + " stages";
  return {ErrorCode::exhausted, text + ". Add workers or memory, undeploy something, or ask for fewer KV positions"};
}

}  // namespace

MemoryModel runtime_memory_model() {
  return [](const ModelFacts& facts, const ShardAssignment& assignment, const ShardMemoryOptions& options) {
    return shard_memory(facts.shape, facts.geometry, facts.types, assignment, options);
  };
}

StepModel step_model_of(const ModelFacts& facts, const PlacementRequest& request, const MemoryModel& memory) {
  StepModel model;
  const SliceRange layers{0, facts.shape.layers};
  model.weight_bytes = static_cast<double>(whole_shard_memory({facts, request, memory}, layers, 1).weight_bytes);
  model.layers = facts.shape.layers;
  model.dim = facts.shape.dim;
  model.read_bytes_per_second = request.read_bytes_per_second;
  model.network = request.network.value_or(NetworkFacts{});
  return model;
}

Result<void> check_request(const ModelFacts& facts, const PlacementRequest& request) {
  const std::uint32_t slices = facts.geometry.slice_count();
  if (request.stages > facts.shape.layers) {
    return Error{ErrorCode::invalid_argument, "cannot cut '" + request.deployment + "' into " +
                                                  std::to_string(request.stages) + " stages: the model has " +
                                                  std::to_string(facts.shape.layers) + " layers"};
  }
  const std::uint64_t workers_max = std::uint64_t{slices} * std::max(1u, request.stages);
  if (request.workers > workers_max) {
    return Error{ErrorCode::invalid_argument,
                 "cannot cut '" + request.deployment + "' into " + std::to_string(request.workers) +
                     " shards: its slice count is " + std::to_string(slices) + ", so use 1 to " +
                     std::to_string(workers_max) + " workers" + (request.stages > 1 ? " with these stages" : "")};
  }
  if (request.workers != 0 && request.workers < request.stages) {
    return Error{ErrorCode::invalid_argument,
                 "'" + request.deployment + "' asks for " + std::to_string(request.stages) + " stages on " +
                     std::to_string(request.workers) + " workers; a stage needs at least one worker"};
  }
  return {};
}

Result<Placement> place(const ModelFacts& facts, const PlacementRequest& request,
                        std::span<const PlacementWorker> workers, const MemoryModel& memory) {
  TESSERA_CHECK(check_request(facts, request));
  const PlacementTask task{facts, request, memory};
  const std::size_t stages_min = std::max(1u, request.stages);
  if (workers.size() < stages_min) {
    return Error{ErrorCode::unavailable, "'" + request.deployment + "' waits for workers: it needs at least " +
                                             std::to_string(stages_min) + ", and there are " +
                                             std::to_string(workers.size()) + " that can be used"};
  }
  const std::size_t stages_max =
      request.stages != 0 ? stages_min : std::min<std::size_t>(facts.shape.layers, workers.size());
  for (std::size_t stages = stages_min; stages <= stages_max && stages <= workers.size(); ++stages) {
    auto placement = place_in_stages(task, workers, static_cast<std::uint32_t>(stages));
    if (!placement) continue;
    std::map<NodeId, double> speed_of_node;
    for (const PlacementWorker& worker : workers) speed_of_node[worker.node] = worker.speed;
    std::vector<double> speeds;
    for (const NodeId node : placement->nodes) speeds.push_back(speed_of_node.at(node));
    placement->cost = placement_cost(facts, placement->stages, speeds);
    return std::move(*placement);
  }
  return does_not_fit(task, workers);
}

double placement_cost(const ModelFacts& facts, std::span<const StagePlan> stages, std::span<const double> speeds) {
  const auto part = [](std::uint32_t slices, std::uint32_t all) { return all == 0 ? 0.0 : double(slices) / all; };
  double cost = 0;
  std::size_t rank = 0;
  for (const StagePlan& stage : stages) {
    double slowest = 0;
    for (const ShardSlices& shard : stage.shards) {
      // About a third of a layer's weights are attention, two thirds FFN.
      const double share = (part(shard.attention.count(), facts.geometry.attention_slices) +
                            2 * part(shard.ffn.count(), facts.geometry.ffn_slices)) /
                           3;
      slowest = std::max(slowest, share / speeds[rank++]);
    }
    cost += slowest * stage.layers.count() / facts.shape.layers;
  }
  return cost;
}

}  // namespace tessera
