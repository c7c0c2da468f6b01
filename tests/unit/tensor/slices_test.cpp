#include "runtime/tensor/slices.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

ModelShape shape_of(std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim, std::uint32_t ffn,
                    std::uint32_t vocab) {
  ModelShape shape;
  shape.dim = heads * head_dim;
  shape.layers = 1;
  shape.heads = heads;
  shape.kv_heads = kv_heads;
  shape.head_dim = head_dim;
  shape.ffn_dim = ffn;
  shape.vocab_size = vocab;
  shape.context_length = 64;
  return shape;
}

void expect_counts(const ModelShape& shape, std::uint32_t attention, std::uint32_t ffn, std::uint32_t vocab) {
  const SliceGeometry geometry = SliceGeometry::of(shape);
  BOOST_TEST(geometry.attention_slices == attention);
  BOOST_TEST(geometry.ffn_slices == ffn);
  BOOST_TEST(geometry.vocab_slices == vocab);
}

}  // namespace

BOOST_AUTO_TEST_CASE(slice_counts_of_known_models) {
  expect_counts(shape_of(8, 4, 8, 172, 512), 2, 6, 1);           // stories260K
  expect_counts(shape_of(12, 12, 64, 2048, 32000), 12, 64, 32);  // llama-134m
  expect_counts(shape_of(32, 4, 64, 5632, 32000), 32, 44, 32);   // llama-1.1b
  expect_counts(shape_of(6, 3, 12, 172, 300), 1, 6, 1);          // no number of heads is a multiple of 32
  BOOST_TEST(SliceGeometry::of(shape_of(32, 8, 128, 14336, 128256)).ffn_columns == 256u);
}

BOOST_AUTO_TEST_CASE(every_plan_deals_every_slice_once_in_order) {
  const ModelShape shape = shape_of(9, 3, 8, 172, 1100);
  const SliceGeometry geometry = SliceGeometry::of(shape);
  for (std::uint32_t shards = 1; shards <= geometry.slice_count(); ++shards) {
    std::vector<double> weights;
    for (std::uint32_t rank = 0; rank < shards; ++rank) weights.push_back(1.0 + rank * rank);
    for (const Result<ShardPlan>& plan : {ShardPlan::even(geometry, shards), ShardPlan::weighted(geometry, weights)}) {
      BOOST_REQUIRE(plan);
      ShardSlices next;
      for (std::uint32_t rank = 0; rank < shards; ++rank) {
        const ShardSlices& slices = plan->of(ShardRank{rank});
        BOOST_TEST(slices.attention.begin == next.attention.end);
        BOOST_TEST(slices.ffn.begin == next.ffn.end);
        BOOST_TEST(slices.vocab.begin == next.vocab.end);
        next = slices;
      }
      BOOST_TEST(next.attention.end == geometry.attention_slices);
      BOOST_TEST(next.ffn.end == geometry.ffn_slices);
      BOOST_TEST(next.vocab.end == geometry.vocab_slices);
    }
  }
}

BOOST_AUTO_TEST_CASE(dense_layers_among_experts_are_dealt_once_in_order_whatever_their_width) {
  for (const std::uint32_t width : {1u, 40u, 150u, 172u, 300u, 6144u}) {
    ModelShape shape = shape_of(9, 3, 8, 172, 1100);
    BOOST_TEST((ShardSlices{{0, 1}, {0, 6}, {0, 1}}.dense_ffn(shape, SliceGeometry::of(shape)) == SliceRange{}));
    shape.plan.dense_layers = "10";
    shape.plan.dense_ffn_dim = width;
    const SliceGeometry geometry = SliceGeometry::of(shape);
    const FfnSlices dense = FfnSlices::of(width);
    BOOST_TEST(std::uint64_t{dense.count} * dense.columns >= width);
    for (std::uint32_t shards = 1; shards <= geometry.slice_count(); ++shards) {
      const auto plan = ShardPlan::even(geometry, shards);
      BOOST_REQUIRE(plan);
      const ShardPlan of_dense = plan->with_ffn(geometry.ffn_slices, dense.count);
      std::uint32_t next = 0;
      for (std::uint32_t rank = 0; rank < shards; ++rank) {
        const SliceRange run = plan->of(ShardRank{rank}).dense_ffn(shape, geometry);
        BOOST_TEST((of_dense.of(ShardRank{rank}).ffn == run));
        BOOST_TEST(run.begin == next);
        next = run.end;
      }
      BOOST_TEST(next == dense.count);
    }
  }
}

BOOST_AUTO_TEST_CASE(more_shards_than_slices_are_refused_with_the_count) {
  const SliceGeometry geometry = SliceGeometry::of(shape_of(8, 4, 8, 172, 512));
  const auto plan = ShardPlan::even(geometry, 7);
  BOOST_REQUIRE(!plan);
  BOOST_TEST(plan.error().message.find("slice count is 6") != std::string::npos);
  BOOST_TEST(!ShardPlan::even(geometry, 0));
}

BOOST_AUTO_TEST_CASE(a_split_group_shares_its_kv_head) {
  const ModelShape shape = shape_of(9, 3, 8, 172, 1100);  // slices of 4, 4, 1 heads; groups of 3
  const SliceGeometry geometry = SliceGeometry::of(shape);
  const auto heads = [&](SliceRange attention) { return ShardSlices{attention, {}, {}}.kv_heads(shape, geometry); };
  BOOST_TEST((heads({0, 1}) == SliceRange{0, 2}));
  BOOST_TEST((heads({1, 2}) == SliceRange{1, 3}));
  BOOST_TEST((heads({2, 3}) == SliceRange{2, 3}));
  BOOST_TEST(heads({1, 1}).empty());
}

BOOST_AUTO_TEST_CASE(a_plan_from_outside_is_taken_when_it_tiles_the_slices) {
  const SliceGeometry geometry = SliceGeometry::of(shape_of(9, 3, 8, 172, 1100));  // 3, 6 and 2 slices
  const auto plan = ShardPlan::from(geometry, {{{0, 3}, {0, 1}, {0, 0}}, {{3, 3}, {1, 6}, {0, 2}}});
  BOOST_REQUIRE(plan);
  BOOST_TEST(plan->shards() == 2u);
  BOOST_TEST((plan->of(ShardRank{1}).ffn == SliceRange{1, 6}));
  const auto refused = [&](std::vector<ShardSlices> shards, const char* why) {
    const auto result = ShardPlan::from(geometry, std::move(shards));
    return !result && result.error().message.find(why) != std::string::npos;
  };
  BOOST_TEST(refused({}, "into 0 shards"));
  BOOST_TEST(refused({{{0, 3}, {0, 6}, {0, 1}}}, "only 1 of the model's 2 vocabulary slices"));
  BOOST_TEST(refused({{{0, 3}, {0, 7}, {0, 2}}}, "FFN slices 0 to 7"));
  BOOST_TEST(refused({{{0, 2}, {0, 6}, {0, 2}}, {{1, 3}, {6, 6}, {2, 2}}}, "shard 1 has the attention slices 1 to 3"));
  BOOST_TEST(refused({{{0, 3}, {0, 6}, {0, 2}}, {{3, 1}, {6, 6}, {2, 2}}}, "shard 1 has the attention slices 3 to 1"));
}

BOOST_AUTO_TEST_CASE(runs_overlap_where_both_hold_a_slice) {
  BOOST_TEST((overlap({0, 4}, {2, 9}) == SliceRange{2, 4}));
  BOOST_TEST((overlap({2, 9}, {0, 4}) == SliceRange{2, 4}));
  BOOST_TEST((overlap({2, 4}, {0, 9}) == SliceRange{2, 4}));
  BOOST_TEST(overlap({0, 4}, {4, 9}).empty());
  BOOST_TEST(overlap({5, 9}, {0, 4}).empty());
}
