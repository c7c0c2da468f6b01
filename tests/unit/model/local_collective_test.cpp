#include "runtime/model/local_collective.hpp"

#include <algorithm>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

/// Runs body(rank, endpoint) on a thread per rank; Boost's checks are not for threads, so bodies return whether all was
/// well.
template <typename Body>
bool on_all_ranks(LocalExchange& exchange, std::uint32_t ranks, const Body& body) {
  std::vector<std::thread> threads;
  std::vector<char> good(ranks, 0);
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] { good[rank] = body(rank, exchange.endpoint(ShardRank{rank})); });
  }
  for (std::thread& thread : threads) thread.join();
  return std::count(good.begin(), good.end(), 1) == static_cast<std::ptrdiff_t>(ranks);
}

}  // namespace

BOOST_AUTO_TEST_CASE(everyone_receives_all_contributions_in_rank_order) {
  constexpr std::uint32_t ranks = 5;
  LocalExchange exchange(ranks);
  BOOST_TEST(on_all_ranks(exchange, ranks, [](std::uint32_t rank, Collective& collective) {
    for (std::uint64_t round = 0; round < 200; ++round) {
      std::vector<std::uint64_t> counts;
      std::vector<float> expected;
      for (std::uint32_t r = 0; r < ranks; ++r) {
        counts.push_back((r + round) % 4);  // some contribute nothing
        for (std::uint64_t i = 0; i < counts[r]; ++i) expected.push_back(static_cast<float>(r * 1000 + round));
      }
      const std::vector<float> mine(counts[rank], static_cast<float>(rank * 1000 + round));
      std::vector<float> all(expected.size());
      if (!collective.all_gather({round, 0, ExchangeOp::ffn_down}, mine, counts, all) || all != expected) return false;
      std::vector<float> root(rank == 0 ? expected.size() : 0);
      if (!collective.gather({round, 0, ExchangeOp::logits}, mine, counts, root)) return false;
      if (rank == 0 && root != expected) return false;
    }
    return true;
  }));
}

BOOST_AUTO_TEST_CASE(an_abort_wakes_everyone_with_the_reason) {
  LocalExchange exchange(3);
  BOOST_TEST(on_all_ranks(exchange, 3, [&](std::uint32_t rank, Collective& collective) {
    if (rank == 2) {
      exchange.abort("the disk is gone");
      return true;
    }
    const std::vector<std::uint64_t> counts(3, 0);
    const Result<void> result = collective.all_gather({}, {}, counts, {});
    return !result && result.error().message.find("the disk is gone") != std::string::npos;
  }));
}
