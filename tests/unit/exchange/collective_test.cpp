// NetworkCollective and NetworkStageLink: the same values as in-process shards get, whatever the sizes.
#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "cluster/exchange/network_collective.hpp"
#include "runtime/model/local_collective.hpp"
#include "tests/unit/exchange/mesh_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// Contributions of all ranks in some exchanges, and what each rank saw.
struct Gathered {
  std::vector<std::vector<float>> all_of_rank;
  std::vector<float> gathered;
  bool operator==(const Gathered&) const = default;
};

constexpr std::uint32_t rounds = 4;

std::vector<std::uint64_t> counts_of(std::uint32_t ranks, std::uint32_t round) {
  std::vector<std::uint64_t> counts;
  // Uneven, some empty, and with round 2 larger than a frame.
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    counts.push_back((rank + round) % 3 == 0 ? 0 : 100 * rank + 7 * round + (round == 2 ? 50'000 : 1));
  return counts;
}

Result<void> gather_all(Collective& collective, Gathered& result) {
  const std::uint32_t rank = collective.rank().value;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const auto counts = counts_of(collective.size(), round);
    const std::size_t total = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
    const std::vector<float> mine = random_floats(counts[rank], 100 * round + rank);
    std::vector<float> all(total);
    TESSERA_CHECK(collective.all_gather({round, 5, ExchangeOp::ffn_down}, mine, counts, all));
    auto& seen = result.all_of_rank[rank];
    seen.insert(seen.end(), all.begin(), all.end());
    std::vector<float> root(rank == 0 ? total : 0);
    TESSERA_CHECK(collective.gather({round, 6, ExchangeOp::logits}, mine, counts, root));
    if (rank == 0) result.gathered.insert(result.gathered.end(), root.begin(), root.end());
  }
  return {};
}

Gathered gather_in_process(std::uint32_t ranks) {
  Gathered result{std::vector<std::vector<float>>(ranks), {}};
  LocalExchange local(ranks);
  const auto results =
      on_threads(ranks, [&](std::uint32_t rank) { return gather_all(local.endpoint(ShardRank{rank}), result); });
  BOOST_TEST(first_error(results) == "");
  return result;
}

Gathered gather_over_the_network(std::uint32_t ranks, const ExchangeOptions& options) {
  Gathered result{std::vector<std::vector<float>>(ranks), {}};
  const Epochs epochs({ranks}, options);
  const auto meshes = epochs.connect();
  const auto results = on_threads(ranks, [&](std::uint32_t rank) {
    NetworkCollective collective(*meshes[rank], epochs.plan, rank);
    return gather_all(collective, result);
  });
  BOOST_TEST(first_error(results) == "");
  return result;
}

}  // namespace

BOOST_TEST_DONT_PRINT_LOG_VALUE(WaitMode)

BOOST_AUTO_TEST_SUITE(network_collective)

BOOST_DATA_TEST_CASE(gathers_the_same_bits_as_threads_do_in_a_process,
                     boost::unit_test::data::make({1, 2, 3, 5, 8}) * boost::unit_test::data::make({true, false}), ranks,
                     encrypted) {
  ExchangeOptions options = exchange_options();
  options.encrypted = encrypted;
  const Gathered expected = gather_in_process(static_cast<std::uint32_t>(ranks));
  BOOST_TEST((gather_over_the_network(static_cast<std::uint32_t>(ranks), options) == expected));
  BOOST_TEST(!expected.gathered.empty());
}

BOOST_DATA_TEST_CASE(works_however_it_waits, boost::unit_test::data::make({WaitMode::spin, WaitMode::block}), mode) {
  ExchangeOptions options = exchange_options();
  options.wait = mode;
  BOOST_TEST((gather_over_the_network(3, options) == gather_in_process(3)));
}

BOOST_AUTO_TEST_CASE(large_payloads_in_both_directions_never_wait_for_each_other) {
  constexpr std::size_t count = (16u << 20) / sizeof(float);
  const Epochs epochs({2}, exchange_options());
  const auto meshes = epochs.connect();
  const std::array<std::vector<float>, 2> mine = {random_floats(count, 1), random_floats(count, 2)};
  std::array<std::vector<float>, 2> all;
  BOOST_TEST(first_error(on_threads(2, [&](std::uint32_t rank) {
               NetworkCollective collective(*meshes[rank], epochs.plan, rank);
               all[rank].resize(2 * count);
               const std::array<std::uint64_t, 2> counts = {count, count};
               return collective.all_gather({1, 0, ExchangeOp::ffn_down}, mine[rank], counts, all[rank]);
             })) == "");
  for (const auto& seen : all) {
    BOOST_TEST(std::equal(mine[0].begin(), mine[0].end(), seen.begin()));
    BOOST_TEST(std::equal(mine[1].begin(), mine[1].end(), seen.begin() + count));
  }
}

BOOST_AUTO_TEST_CASE(token_rows_are_scattered_and_the_finished_rows_gathered_in_place) {
  // Partial sums [node][row][4], two nodes per rank; rank r finishes rows 2 r and 2 r + 1 by adding all nodes up.
  constexpr std::uint32_t ranks = 3, nodes = 2, rows = 6, width = 4, own = 2;
  const Epochs epochs({ranks}, exchange_options());
  const auto meshes = epochs.connect();
  std::array<std::vector<float>, ranks> finished;
  const auto partial = [](std::uint32_t rank, std::uint32_t i) { return static_cast<float>(rank * 1000 + i); };
  const auto body = [&](std::uint32_t rank) -> Result<void> {
    NetworkCollective collective(*meshes[rank], epochs.plan, rank);
    std::vector<float> partials(nodes * rows * width);
    for (std::uint32_t i = 0; i < partials.size(); ++i) partials[i] = partial(rank, i);
    std::vector<std::vector<std::span<const float>>> segments(ranks);
    std::vector<Segments> send;
    for (std::uint32_t to = 0; to < ranks; ++to) {
      for (std::uint32_t node = 0; node < nodes; ++node)
        segments[to].push_back(std::span(partials).subspan((node * rows + to * own) * width, own * width));
      send.push_back(segments[to]);
    }
    std::vector<std::vector<float>> received(ranks, std::vector<float>(nodes * own * width));
    const std::vector<std::span<float>> receive(received.begin(), received.end());
    TESSERA_CHECK(collective.all_to_all({1, 2, ExchangeOp::ffn_down}, send, receive));
    std::vector<float>& x = finished[rank];
    x.assign(rows * width, 0.0f);
    const std::span<float> mine = std::span(x).subspan(rank * own * width, own * width);
    for (const auto& from : received) {
      for (std::uint32_t node = 0; node < nodes; ++node) {
        for (std::uint32_t i = 0; i < own * width; ++i) mine[i] += from[node * own * width + i];
      }
    }
    const std::vector<std::uint64_t> counts(ranks, own * width);
    return collective.all_gather({1, 2, ExchangeOp::ffn_down_rows}, mine, counts, x);
  };
  BOOST_TEST(first_error(on_threads(ranks, body)) == "");
  std::vector<float> expected(rows * width);
  for (std::uint32_t i = 0; i < expected.size(); ++i) {
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      expected[i] += partial(rank, i) + partial(rank, rows * width + i);
  }
  for (const auto& x : finished) BOOST_TEST(x == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(all_ranks_agree_when_scattering_pays) {
  const Epochs epochs({3}, exchange_options());
  const auto meshes = epochs.connect();
  for (std::uint32_t rank = 0; rank < 3; ++rank) {
    const NetworkCollective collective(*meshes[rank], epochs.plan, rank);
    BOOST_TEST(!collective.prefer_scatter(scatter_bytes_min - 1));
    BOOST_TEST(collective.prefer_scatter(scatter_bytes_min));
  }
}

BOOST_AUTO_TEST_CASE(a_stage_hands_the_residual_stream_to_the_next) {
  // 2 ranks, 3 ranks, 1 rank; x travels through all, and every rank adds its stage's number.
  const Epochs epochs({2, 3, 1}, exchange_options());
  const auto meshes = epochs.connect();
  std::vector<float> result;
  const std::vector<float> start = random_floats(70'000, 4);
  BOOST_TEST(first_error(on_threads(6, [&](std::uint32_t rank) -> Result<void> {
               NetworkStageLink link(*meshes[rank], epochs.plan, rank);
               const std::uint32_t stage = epochs.plan.place_of(rank).stage;
               for (std::uint64_t step = 0; step < 3; ++step) {
                 std::vector<float> x = start;
                 if (stage > 0) {
                   std::fill(x.begin(), x.end(), 0.0f);
                   TESSERA_CHECK(link.receive({step, 2 * stage, ExchangeOp::stage_input}, x));
                 }
                 for (float& value : x) value += static_cast<float>(stage + 1);
                 if (stage < 2) TESSERA_CHECK(link.send({step, 2 * stage + 2, ExchangeOp::stage_input}, x));
                 if (stage == 2) result = x;
               }
               return {};
             })) == "");
  std::vector<float> expected = start;
  for (float& value : expected) value = ((value + 1) + 2) + 3;
  BOOST_TEST((result == expected));
}

BOOST_AUTO_TEST_CASE(the_mesh_counts_bytes_and_waiting) {
  const Epochs epochs({2}, exchange_options());
  const auto meshes = epochs.connect();
  const std::array<std::uint64_t, 2> counts = {1000, 10};
  BOOST_TEST(first_error(on_threads(2, [&](std::uint32_t rank) {
               NetworkCollective collective(*meshes[rank], epochs.plan, rank);
               std::vector<float> mine(counts[rank]), all(1010);
               return collective.all_gather({}, mine, counts, all);
             })) == "");
  BOOST_TEST(meshes[0]->counters().bytes_sent == 4000u);
  BOOST_TEST(meshes[0]->counters().bytes_received == 40u);
  BOOST_TEST(meshes[1]->counters().frames_received == 1u);
  BOOST_TEST(meshes[0]->counters().wait_seconds + meshes[1]->counters().wait_seconds > 0);
}

BOOST_AUTO_TEST_SUITE_END()
