#include "runtime/model/local_collective.hpp"

#include <algorithm>
#include <future>
#include <memory>
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

BOOST_AUTO_TEST_CASE(a_contribution_may_already_be_in_its_place) {
  LocalExchange exchange(3);
  BOOST_TEST(on_all_ranks(exchange, 3, [](std::uint32_t rank, Collective& collective) {
    const std::vector<std::uint64_t> counts{2, 0, 1};
    const std::vector<float> expected{10, 10, 12};
    std::vector<float> all(3, -1.0f);
    const std::size_t place = rank == 0 ? 0 : 2;
    const std::span<float> mine(all.data() + place, counts[rank]);
    std::fill(mine.begin(), mine.end(), 10.0f + static_cast<float>(rank));
    return bool(collective.all_gather({0, 0, ExchangeOp::ffn_down_rows}, mine, counts, all)) && all == expected;
  }));
}

BOOST_AUTO_TEST_CASE(all_to_all_gives_each_rank_what_each_other_has_for_it) {
  constexpr std::uint32_t ranks = 4;
  LocalExchange exchange(ranks);
  // Rank a sends b two segments of a and b floats, all of value 10 a + b.
  BOOST_TEST(on_all_ranks(exchange, ranks, [](std::uint32_t rank, Collective& collective) {
    for (std::uint64_t round = 0; round < 100; ++round) {
      std::vector<std::vector<float>> values, received;
      std::vector<std::vector<std::span<const float>>> pieces;
      std::vector<Segments> send;
      std::vector<std::span<float>> receive;
      for (std::uint32_t peer = 0; peer < ranks; ++peer) {
        values.emplace_back(rank + peer, static_cast<float>(10 * rank + peer));
        received.emplace_back(rank + peer, -1.0f);
        const std::span<const float> all(values.back());
        pieces.push_back({all.first(rank), all.subspan(rank)});
      }
      for (std::uint32_t peer = 0; peer < ranks; ++peer) {
        send.push_back(pieces[peer]);
        receive.push_back(received[peer]);
      }
      if (!collective.all_to_all({round, 3, ExchangeOp::attention_out}, send, receive)) return false;
      for (std::uint32_t peer = 0; peer < ranks; ++peer) {
        if (received[peer] != std::vector<float>(rank + peer, static_cast<float>(10 * peer + rank))) return false;
      }
    }
    return true;
  }));
}

BOOST_AUTO_TEST_CASE(large_sums_are_exchanged_by_rows) {
  LocalExchange exchange(2, 1000);
  BOOST_TEST(!exchange.endpoint(ShardRank{0}).prefer_scatter(999));
  BOOST_TEST(exchange.endpoint(ShardRank{1}).prefer_scatter(1000));
}

BOOST_AUTO_TEST_CASE(whoever_is_aborted_may_free_its_memory_at_once) {
  // Run under the address sanitizer: rank 0 ends the exchange while others are anywhere inside of it, and every rank
  // frees what it offered as soon as its call returns.
  for (std::uint32_t round = 0; round < 200; ++round) {
    LocalExchange exchange(3);
    BOOST_TEST(on_all_ranks(exchange, 3, [&](std::uint32_t rank, Collective& collective) {
      for (std::uint64_t step = 0;; ++step) {
        if (rank == 0 && step == round % 7) exchange.abort("enough");
        const auto mine = std::make_unique<std::vector<float>>(20000, static_cast<float>(rank));
        std::vector<float> all(60000);
        const std::vector<std::uint64_t> counts(3, 20000);
        if (!collective.all_gather({step, 0, ExchangeOp::ffn_down}, *mine, counts, all)) return true;
        if (all[0] != 0 || all[59999] != 2) return false;
      }
    }));
  }
}

BOOST_AUTO_TEST_CASE(an_exchange_ends_while_a_rank_is_blocked_in_it) {
  auto exchange = std::make_unique<LocalExchange>(2);
  std::promise<void> about_to_block;
  bool failed = false;
  std::thread blocked([&, &collective = exchange->endpoint(ShardRank{1})] {
    const std::vector<std::uint64_t> counts(2, 0);
    about_to_block.set_value();
    failed = !collective.all_gather({}, {}, counts, {});
  });
  about_to_block.get_future().wait();
  exchange->abort("the shard is taken away");
  blocked.join();
  exchange.reset();
  BOOST_TEST(failed);
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
