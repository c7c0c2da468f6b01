#include "runtime/model/local_stage_link.hpp"

#include <algorithm>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

ExchangeTag tag_of(std::uint64_t step, std::uint32_t stage) { return {step, stage, ExchangeOp::stage_input}; }

/// Hands numbers down the pipeline; every rank checks what it gets. Stage 0 starts with its rank.
bool run_rank(LocalStageLinks& links, const std::vector<std::uint32_t>& shards, std::uint32_t stage,
              std::uint32_t rank) {
  StageLink& link = links.link(stage, ShardRank{rank});
  for (std::uint64_t step = 0; step < 100; ++step) {
    // Where the number comes from: back through the stages, always rank mod the number of ranks before.
    std::uint32_t origin = rank;
    for (std::uint32_t s = stage; s > 0; --s) origin %= shards[s - 1];
    std::vector<float> x(step % 3, static_cast<float>(origin) + static_cast<float>(step));
    if (stage > 0) {
      const std::vector<float> expected = x;
      std::fill(x.begin(), x.end(), -1.0f);
      if (!link.receive(tag_of(step, stage), x) || x != expected) return false;
    }
    if (stage + 1 < shards.size() && !link.send(tag_of(step, stage + 1), x)) return false;
    std::fill(x.begin(), x.end(), -2.0f);  // the receivers are through with it
  }
  return true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_rank_receives_from_its_rank_of_the_stage_before) {
  const std::vector<std::uint32_t> shards{2, 3, 1, 4};
  LocalStageLinks links(shards);
  std::vector<std::thread> threads;
  std::vector<char> good(10, 0);
  std::size_t index = 0;
  for (std::uint32_t stage = 0; stage < shards.size(); ++stage) {
    for (std::uint32_t rank = 0; rank < shards[stage]; ++rank, ++index) {
      threads.emplace_back([&, stage, rank, index] { good[index] = run_rank(links, shards, stage, rank); });
    }
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(std::count(good.begin(), good.end(), 1) == 10);
}

BOOST_AUTO_TEST_CASE(an_abort_wakes_senders_and_receivers) {
  LocalStageLinks links({1, 1, 1});
  std::vector<char> good(2, 0);
  std::vector<float> x(4);
  const auto reason_given = [](const Result<void>& result) {
    return !result && result.error().message.find("out of memory") != std::string::npos;
  };
  std::thread sender([&] { good[0] = reason_given(links.link(0, ShardRank{0}).send(tag_of(0, 1), x)); });
  std::thread receiver([&] {
    std::vector<float> out(4);
    good[1] = reason_given(links.link(2, ShardRank{0}).receive(tag_of(0, 2), out));
  });
  links.abort("out of memory");
  sender.join();
  receiver.join();
  BOOST_TEST(good[0] == 1);
  BOOST_TEST(good[1] == 1);
}
