#include "cluster/control/placement.hpp"

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "tests/unit/control/fake_cluster.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(placement)

namespace {

/// The small model takes 480 bytes of weights, 16 a page of KV, 5 of buffers a shard.
constexpr std::uint64_t plenty = 1'000'000;

std::vector<PlacementWorker> workers_with(const std::vector<std::pair<double, std::uint64_t>>& speed_and_memory) {
  std::vector<PlacementWorker> workers;
  for (const auto& [speed, memory] : speed_and_memory) {
    const NodeId node{static_cast<std::uint32_t>(workers.size() + 1)};
    workers.push_back({node, "w" + std::to_string(node.value), speed, memory, memory, 1});
  }
  return workers;
}

PlacementRequest request_for(std::uint32_t workers, std::uint32_t stages = 0, std::uint32_t kv_pages = 10) {
  return {"chat", workers, stages, kv_pages};
}

Result<Placement> place_small(const PlacementRequest& request, const std::vector<PlacementWorker>& workers) {
  return place(small_model(), request, workers, small_memory);
}

/// Every slice once, every layer once, every worker at most once, nobody above its memory.
void check(const Placement& placement, const ModelFacts& facts, const std::vector<PlacementWorker>& workers,
           std::uint32_t kv_pages, const MemoryModel& memory) {
  EpochPlan plan;
  plan.epoch.value = 1;
  plan.kv_pages = kv_pages;
  plan.stages = placement.stages;
  for (const NodeId node : placement.nodes) plan.participants.push_back({node, "", {}});
  const auto valid = validate(plan, facts.shape, facts.geometry);
  BOOST_REQUIRE_MESSAGE(bool(valid), valid.error().message);
  BOOST_REQUIRE_EQUAL(plan.ranks(), placement.nodes.size());
  for (std::uint32_t rank = 0; rank < plan.ranks(); ++rank) {
    const auto place = plan.place_of(rank);
    const StagePlan& stage = plan.stages[place.stage];
    auto shards = ShardPlan::from(facts.geometry, stage.shards);
    BOOST_REQUIRE(bool(shards));
    const PlacementWorker& worker = workers.at(placement.nodes[rank].value - 1);
    ShardMemoryOptions options;
    options.kv_pages = kv_pages;
    options.page_positions = kv_page_positions;
    options.rows_max = limits::step_rows_max;
    options.threads = worker.threads;
    BOOST_TEST(memory(facts, {stage.layers, *shards, ShardRank{place.rank}}, options).total() <= worker.memory_left);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(equal_workers_get_equal_shares) {
  const auto workers = workers_with({{1, plenty}, {1, plenty}, {1, plenty}, {1, plenty}});
  const auto placement = place_small(request_for(0), workers);
  BOOST_REQUIRE(bool(placement));
  check(*placement, small_model(), workers, 10, small_memory);
  BOOST_REQUIRE_EQUAL(placement->nodes.size(), 4u);
  for (const ShardSlices& shard : placement->stages.at(0).shards) BOOST_TEST(shard.ffn.count() == 2u);
}

BOOST_AUTO_TEST_CASE(a_slow_worker_gets_less) {
  const auto workers = workers_with({{3, plenty}, {1, plenty}});
  const auto placement = place_small(request_for(0), workers);
  BOOST_REQUIRE(bool(placement));
  BOOST_TEST(placement->stages[0].shards[0].ffn.count() == 6u);
  BOOST_TEST(placement->stages[0].shards[1].ffn.count() == 2u);
}

BOOST_AUTO_TEST_CASE(wanted_workers_are_taken_from_the_front_and_all_means_up_to_the_slice_count) {
  auto workers = workers_with(std::vector<std::pair<double, std::uint64_t>>(10, {1, plenty}));
  const auto two = place_small(request_for(2), workers);
  BOOST_REQUIRE(bool(two));
  BOOST_TEST((two->nodes == std::vector<NodeId>{NodeId{1}, NodeId{2}}));
  const auto all = place_small(request_for(0), workers);
  BOOST_REQUIRE(bool(all));
  BOOST_TEST(all->nodes.size() == 8u);
}

BOOST_AUTO_TEST_CASE(shares_shift_to_where_memory_is) {
  // Together 160 of KV, 480 of weights and two buffers; the first can hold about a third.
  const auto workers = workers_with({{1, 230}, {1, plenty}});
  const auto placement = place_small(request_for(2), workers);
  BOOST_REQUIRE(bool(placement));
  check(*placement, small_model(), workers, 10, small_memory);
  BOOST_TEST(placement->stages[0].shards[0].ffn.count() < 4u);
  BOOST_TEST(placement->nodes.size() == 2u);
}

BOOST_AUTO_TEST_CASE(more_workers_are_used_than_wanted_when_memory_demands_it) {
  const auto workers = workers_with({{1, 300}, {1, 300}, {1, 300}, {1, 300}});
  const auto placement = place_small(request_for(1), workers);
  BOOST_REQUIRE(bool(placement));
  check(*placement, small_model(), workers, 10, small_memory);
  BOOST_TEST(placement->nodes.size() > 1u);
}

BOOST_AUTO_TEST_CASE(the_roomiest_workers_are_tried_before_more_workers) {
  const auto workers = workers_with({{2, 50}, {1, plenty}});
  const auto placement = place_small(request_for(1), workers);
  BOOST_REQUIRE(bool(placement));
  BOOST_TEST((placement->nodes == std::vector<NodeId>{NodeId{2}}));
}

BOOST_AUTO_TEST_CASE(workers_without_memory_are_left_out) {
  const auto workers = workers_with({{1, 3}, {1, plenty}, {1, 12}});
  const auto placement = place_small(request_for(0), workers);
  BOOST_REQUIRE(bool(placement));
  BOOST_TEST((placement->nodes == std::vector<NodeId>{NodeId{2}}));
}

BOOST_AUTO_TEST_CASE(stages_are_used_when_slices_alone_do_not_suffice) {
  // One layer's share of fixed costs makes eight shards too large; stages divide the layers too.
  const MemoryModel memory = [](const ModelFacts& facts, const ShardAssignment& assignment,
                                const ShardMemoryOptions& options) {
    ShardMemory bytes = small_memory(facts, assignment, options);
    bytes.buffer_bytes += 100 * assignment.layers.count();
    return bytes;
  };
  const auto workers = workers_with(std::vector<std::pair<double, std::uint64_t>>(8, {1, 350}));
  const auto placement = place(small_model(), request_for(2), workers, memory);
  BOOST_REQUIRE_MESSAGE(bool(placement), placement.error().message);
  check(*placement, small_model(), workers, 10, memory);
  BOOST_TEST(placement->stages.size() > 1u);
}

BOOST_AUTO_TEST_CASE(fewer_workers_are_used_than_there_are_when_memory_demands_it) {
  // Two that could hold a slice, and together not one layer, would be the first stage.
  const auto workers = workers_with({{1, 60}, {1, 60}, {1, plenty}, {1, plenty}});
  const auto placement = place_small(request_for(0, 2), workers);
  BOOST_REQUIRE(bool(placement));
  check(*placement, small_model(), workers, 10, small_memory);
  BOOST_TEST(placement->stages.size() == 2u);
  BOOST_TEST((std::find(placement->nodes.begin(), placement->nodes.end(), NodeId{3}) != placement->nodes.end()));
  BOOST_TEST((std::find(placement->nodes.begin(), placement->nodes.end(), NodeId{4}) != placement->nodes.end()));
}

BOOST_AUTO_TEST_CASE(where_the_network_is_known_no_more_workers_are_used_than_pay) {
  const auto workers = workers_with({{1, plenty}, {1, plenty}, {1, plenty}, {1, plenty}});
  PlacementRequest request = request_for(0);
  request.read_bytes_per_second = 480e3;  // a step of one worker takes a millisecond
  request.network = NetworkFacts{1e-3, 1e9, 0, 0};
  BOOST_TEST(place_small(request, workers)->nodes.size() == 1u);  // 8 exchanges of a millisecond each
  request.network = NetworkFacts{1e-6, 1e9, 0, 0};
  BOOST_TEST(place_small(request, workers)->nodes.size() == 4u);
  // Who asks for a number gets it, and memory comes first.
  request.network = NetworkFacts{1e-3, 1e9, 0, 0};
  request.workers = 3;
  BOOST_TEST(place_small(request, workers)->nodes.size() == 3u);
  request.workers = 0;
  const auto tight = workers_with({{1, 400}, {1, 400}, {1, 400}, {1, 400}});
  BOOST_TEST(place_small(request, tight)->nodes.size() == 2u);
}

BOOST_AUTO_TEST_CASE(stages_get_layers_in_proportion_to_their_speed) {
  const auto workers = workers_with({{3, plenty}, {1, plenty}});
  const auto placement = place_small(request_for(2, 2), workers);
  BOOST_REQUIRE(bool(placement));
  check(*placement, small_model(), workers, 10, small_memory);
  BOOST_TEST((placement->stages[0].layers == SliceRange{0, 3}));
  BOOST_TEST((placement->stages[1].layers == SliceRange{3, 4}));
}

BOOST_AUTO_TEST_CASE(what_fits_nowhere_is_refused_with_the_arithmetic) {
  const auto workers = workers_with({{1, 100}, {1, 200}});
  const auto placement = place_small(request_for(0), workers);
  BOOST_REQUIRE(!placement);
  BOOST_TEST((placement.error().code == ErrorCode::exhausted));
  for (const char* part : {"weights", "320 KV positions", "buffers", "w1 has", "w2 has", "together"}) {
    BOOST_TEST(placement.error().message.find(part) != std::string::npos, part);
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_cut_so_is_refused_and_missing_workers_are_said_so) {
  const auto workers = workers_with({{1, plenty}});
  for (const PlacementRequest& request : {request_for(9), request_for(0, 5), request_for(1, 2)}) {
    const auto refused = place_small(request, workers);
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == ErrorCode::invalid_argument));
  }
  const auto missing = place_small(request_for(2, 2), workers);
  BOOST_REQUIRE(!missing);
  BOOST_TEST((missing.error().code == ErrorCode::unavailable));
}

BOOST_AUTO_TEST_CASE(many_mixed_workers_never_exceed_their_memory_with_the_runtimes_arithmetic) {
  ModelFacts facts;
  facts.shape.dim = 768;
  facts.shape.layers = 12;
  facts.shape.heads = 12;
  facts.shape.kv_heads = 12;
  facts.shape.head_dim = 64;
  facts.shape.ffn_dim = 2048;
  facts.shape.vocab_size = 32000;
  facts.shape.context_length = 1024;
  facts.types = DType::q8;
  facts.geometry = SliceGeometry::of(facts.shape);
  const MemoryModel memory = runtime_memory_model();
  std::uint64_t state = 7;
  const auto next = [&state](std::uint64_t below) { return (state = state * 6364136223846793005ull + 1) % below; };
  int placed = 0;
  for (int round = 0; round < 60; ++round) {
    std::vector<std::pair<double, std::uint64_t>> mix;
    for (std::uint64_t i = 1 + (next(1u << 20) >> 17); i > 0; --i) {
      mix.emplace_back(1.0 + static_cast<double>(next(1u << 20) >> 16), (next(1u << 20) >> 12) << 20);
    }
    const auto workers = workers_with(mix);
    const auto placement = place(facts, request_for(0, 0, 256), workers, memory);
    if (!placement) continue;
    ++placed;
    check(*placement, facts, workers, 256, memory);
  }
  BOOST_TEST(placed > 15);
  BOOST_TEST(placed < 60);
}

BOOST_AUTO_TEST_SUITE_END()
