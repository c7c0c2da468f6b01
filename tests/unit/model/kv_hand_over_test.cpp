// A sequence goes on under another plan, with the pages that the old plan's shards computed, as if nothing had
// happened.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "runtime/model/generation.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

namespace {

constexpr std::uint32_t vocab = 1100, before = 40, after = 20;

ModelShape four_layers() {
  ModelShape shape = awkward_shape();
  shape.layers = 4;
  return shape;
}

/// Runs positions [begin, end) one by one; returns the logits of all.
std::vector<float> decode(LocalReplica& replica, std::span<const TokenId> tokens, std::span<const PageId> pages,
                          std::uint32_t begin, std::uint32_t end) {
  const StepSequence sequence{pages};
  std::vector<float> logits(std::size_t{end - begin} * vocab);
  for (std::uint32_t position = begin; position < end; ++position) {
    const StepRow row{tokens[position], position, 0, true};
    const std::span<float> out(logits.data() + std::size_t{position - begin} * vocab, vocab);
    BOOST_REQUIRE(replica.forward({position, {&row, 1}, {&sequence, 1}}, out));
  }
  return logits;
}

using Stays = std::function<bool(std::uint32_t shard, std::uint32_t layer, std::uint32_t head)>;

/// From the first shard that holds a (layer, head) to all of the new plan that do, as bytes, except where it stays.
std::size_t send_pages(LocalReplica& from, LocalReplica& to, std::span<const PageId> pages, const Stays& stays) {
  std::size_t sent = 0;
  for (std::uint32_t layer = 0; layer < 4; ++layer) {
    for (std::uint32_t head = 0; head < 3; ++head) {
      std::uint32_t donor = 0;
      while (!from.shard(donor).kv().shape().holds(layer, head)) ++donor;
      const KvCache& source = from.shard(donor).kv();
      std::vector<std::byte> bytes(source.export_bytes(pages.size()));
      source.export_pages(layer, head, pages, bytes);
      for (std::uint32_t i = 0; i < to.shards(); ++i) {
        if (!to.shard(i).kv().shape().holds(layer, head) || stays(i, layer, head)) continue;
        BOOST_REQUIRE(to.shard(i).kv().import_pages(layer, head, pages, bytes));
        sent += bytes.size();
      }
    }
  }
  return sent;
}

/// As nodes do it of which each has one shard of either plan: what a node holds stays there, the rest is sent.
std::size_t keep_and_send_pages(LocalReplica& from, LocalReplica& to, std::span<const PageId> pages) {
  std::size_t bytes = 0;
  const auto stays = [&](std::uint32_t shard, std::uint32_t layer, std::uint32_t head) {
    return shard < from.shards() && from.shard(shard).kv().has(layer, head);
  };
  bytes += send_pages(from, to, pages, stays);
  for (std::uint32_t i = 0; i < std::min(from.shards(), to.shards()); ++i)
    bytes += take_over_pages(from.shard(i).kv(), to.shard(i).kv(), pages);
  return bytes;
}

std::size_t send_all_pages(LocalReplica& from, LocalReplica& to, std::span<const PageId> pages) {
  return send_pages(from, to, pages, [](auto...) { return false; });
}

using HandOver = std::function<std::size_t(LocalReplica&, LocalReplica&, std::span<const PageId>)>;

}  // namespace

BOOST_DATA_TEST_CASE(a_sequence_goes_on_under_another_plan_with_equal_bits, data::make(all_dtypes), dtype) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, four_layers(), dtype);
  const Isa isa = available_isas().back();
  const std::vector<TokenId> tokens = random_tokens(before + after, vocab, 21);
  const std::vector<float> undisturbed = all_logits(checkpoint, {isa, 1, {}, 1, 1}, tokens);
  const std::span<const float> expected(undisturbed.data() + std::size_t{before} * vocab, std::size_t{after} * vocab);
  const std::vector<Execution> plans = {
      {isa, 1, {}, 1, 1},
      {isa, 3, {}, 1, 1},
      {isa, 1, {}, 1, 1, {{1, 2}, {3, 3}}},
      {isa, 1, {}, 1, 1, {{3, 2, {1.0, 4.0}}, {1, 1}}},
  };
  for (const Execution& old_plan : plans) {
    for (const Execution& new_plan : plans) {
      const auto from = make_replica(checkpoint, old_plan, before + after);
      std::vector<PageId> pages;
      BOOST_REQUIRE(from->pages().grow(pages, before + after));
      decode(*from, tokens, pages, 0, before);
      for (const HandOver& hand_over : {HandOver(send_all_pages), HandOver(keep_and_send_pages)}) {
        const auto to = make_replica(checkpoint, new_plan, before + after);
        const std::size_t bytes = hand_over(*from, *to, std::span(pages).first(pages_for(before)));
        BOOST_TEST(bytes > 0u);
        BOOST_TEST(same_bits(decode(*to, tokens, pages, before, before + after), expected));
      }
    }
  }
  // The comparison above can fail: without its pages the sequence goes elsewhere.
  const auto empty = make_replica(checkpoint, plans[0], before + after);
  std::vector<PageId> pages;
  BOOST_REQUIRE(empty->pages().grow(pages, before + after));
  BOOST_TEST(!same_bits(decode(*empty, tokens, pages, before, before + after), expected));
}

BOOST_AUTO_TEST_CASE(a_cache_of_the_same_capacity_takes_the_memory_over_and_the_other_has_it_no_more) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, four_layers(), DType::q8);
  const auto from = make_replica(checkpoint, {}, 200);
  const auto to = make_replica(checkpoint, {}, 200);
  std::vector<PageId> pages;
  BOOST_REQUIRE(from->pages().grow(pages, 70));  // three pages
  KvCache& cache = from->shard(0).kv();
  const std::byte* const memory = cache.k(3, 2);
  BOOST_TEST(cache.bytes_of(3) == 4u * 3 * 2 * 3 * (kv_page_positions * 8 * 2));
  BOOST_TEST(take_over_pages(cache, to->shard(0).kv(), pages) == cache.bytes_of(3));
  BOOST_TEST((to->shard(0).kv().k(3, 2) == memory));
  BOOST_TEST((to->shard(0).kv().has(3, 2) && !cache.has(3, 2)));
  BOOST_TEST(take_over_pages(cache, to->shard(0).kv(), pages) == 0u);
  BOOST_TEST((to->shard(0).kv().k(3, 2) == memory));
  BOOST_TEST(cache.bytes_of(cache.shape().pages) == cache.bytes());
}

BOOST_AUTO_TEST_CASE(caches_of_different_capacity_copy_what_both_hold) {
  auto from = KvCache::create({{0, 2}, {0, 2}, 8, KvDType::f32, 5}),
       to = KvCache::create({{1, 3}, {1, 2}, 8, KvDType::f32, 3});
  BOOST_REQUIRE((from && to));
  const std::vector<PageId> pages{{2}};
  const std::size_t bytes = from->page_bytes();
  from->k(1, 1)[2 * bytes] = std::byte{5};
  from->v(1, 1)[3 * bytes - 1] = std::byte{6};
  from->k(1, 1)[0] = std::byte{7};
  BOOST_TEST(take_over_pages(*from, *to, pages) == 2 * bytes);
  BOOST_TEST((to->k(1, 1)[2 * bytes] == std::byte{5}));
  BOOST_TEST((to->v(1, 1)[3 * bytes - 1] == std::byte{6}));
  BOOST_TEST((to->k(1, 1)[0] == std::byte{0}));  // page 0 was not among them
  BOOST_TEST(from->has(1, 1));
}

BOOST_AUTO_TEST_CASE(pages_that_do_not_fit_are_refused_and_change_nothing) {
  auto cache = KvCache::create({{2, 4}, {1, 3}, 8, KvDType::f32, 5});
  BOOST_REQUIRE(cache);
  const std::vector<PageId> pages{{0}, {4}}, beyond{{0}, {5}};
  const std::vector<std::byte> bytes(cache->export_bytes(2), std::byte{7});
  const auto refused = [&](std::uint32_t layer, std::uint32_t head, std::span<const PageId> which,
                           std::span<const std::byte> in) {
    const auto result = cache->import_pages(layer, head, which, in);
    return !result && result.error().code == ErrorCode::corrupt;
  };
  BOOST_TEST(refused(1, 1, pages, bytes));
  BOOST_TEST(refused(4, 1, pages, bytes));
  BOOST_TEST(refused(2, 3, pages, bytes));
  BOOST_TEST(refused(2, 1, beyond, bytes));
  BOOST_TEST(refused(2, 1, pages, std::span(bytes).first(bytes.size() - 1)));
  BOOST_TEST((cache->k(2, 1)[0] == std::byte{0}));
  BOOST_REQUIRE(cache->import_pages(3, 2, pages, bytes));
  BOOST_TEST((cache->v(3, 2)[5 * cache->page_bytes() - 1] == std::byte{7}));
  BOOST_TEST((cache->v(3, 2)[cache->page_bytes()] == std::byte{0}));  // page 1 was not among them
}
