#include "runtime/model/partial_sums.hpp"

#include <cstdint>
#include <optional>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

/// Notes what an exchange by token rows would spare; exchanges nothing.
class AskedCollective final : public Collective {
 public:
  AskedCollective(std::uint32_t rank, std::uint32_t size) : rank_{rank}, size_(size) {}
  ShardRank rank() const override { return rank_; }
  std::uint32_t size() const override { return size_; }
  Result<void> all_gather(ExchangeTag, std::span<const float>, std::span<const std::uint64_t>,
                          std::span<float>) override {
    return {};
  }
  Result<void> gather(ExchangeTag, std::span<const float>, std::span<const std::uint64_t>, std::span<float>) override {
    return {};
  }
  Result<void> all_to_all(ExchangeTag, std::span<const Segments>, std::span<const std::span<float>>) override {
    return {};
  }
  bool prefer_scatter(std::uint64_t spared) const override {
    asked = spared;
    return false;
  }

  mutable std::optional<std::uint64_t> asked;

 private:
  ShardRank rank_;
  std::uint32_t size_;
};

constexpr std::uint32_t stride = 16, slices = 64;
constexpr std::uint64_t row = stride * sizeof(float);

/// What each rank says to `rows` rows of a matrix of 64 slices on `ranks` even shards; every rank the same.
std::uint64_t spared(std::uint32_t ranks, std::uint32_t rows) {
  ModelShape shape;
  shape.dim = 64;
  shape.layers = 1;
  shape.heads = shape.kv_heads = 64;
  shape.head_dim = 32;
  shape.ffn_dim = slices * 32;
  shape.vocab_size = 1024;
  shape.context_length = 64;
  const auto plan = ShardPlan::even(SliceGeometry::of(shape), ranks);
  BOOST_REQUIRE(plan);
  std::optional<std::uint64_t> first;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    AskedCollective collective(rank, ranks);
    PartialSums sums(*plan, slices, &ShardSlices::ffn, collective);
    AlignedBuffer<float> memory;
    sums.begin(rows, stride, memory);
    BOOST_REQUIRE(collective.asked.has_value());
    if (!first) first = collective.asked;
    BOOST_TEST(*collective.asked == *first);
  }
  return *first;
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_row_spares_nothing_by_rows) {
  for (const std::uint32_t ranks : {2u, 3u, 4u, 5u, 8u}) BOOST_TEST(spared(ranks, 1) == 0u);
}

BOOST_AUTO_TEST_CASE(two_aligned_shards_spare_nothing_by_rows) { BOOST_TEST(spared(2, 512) == 0u); }

BOOST_AUTO_TEST_CASE(four_aligned_shards_receive_half_by_rows) {
  // Three nodes of 8 rows, or three of 2 rows and 6 finished ones.
  BOOST_TEST(spared(4, 8) == (3 * 8 - 3 * 2 - 6) * row);
}

BOOST_AUTO_TEST_CASE(unaligned_shards_have_more_nodes_to_spare) {
  BOOST_TEST(spared(5, 8) > spared(4, 8));
  BOOST_TEST(spared(3, 9) > 3 * 9 * row);
}
