#include "runtime/tensor/shard_memory.hpp"

#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

/// Llama-3-8B.
ModelShape big_shape() {
  ModelShape shape;
  shape.dim = 4096;
  shape.layers = 32;
  shape.heads = 32;
  shape.kv_heads = 8;
  shape.head_dim = 128;
  shape.ffn_dim = 14336;
  shape.vocab_size = 128256;
  shape.context_length = 8192;
  return shape;
}

ShardAssignment whole(const ModelShape& shape, const SliceGeometry& geometry) {
  return {{0, shape.layers}, *ShardPlan::even(geometry, 1), ShardRank{0}};
}

constexpr ShardMemoryOptions options{100, 32, 512, 4};

}  // namespace

BOOST_AUTO_TEST_CASE(one_shard_takes_the_whole_model) {
  for (const bool tied : {false, true}) {
    ModelShape shape = big_shape();
    shape.tied_head = tied;
    const SliceGeometry geometry = SliceGeometry::of(shape);
    std::uint64_t all = 0;
    for (const TensorSpec& spec : model_tensors(shape, geometry, DType::q8)) all += layout_bytes(spec.layout);
    const ShardMemory memory = shard_memory(shape, geometry, DType::q8, whole(shape, geometry), options);
    BOOST_TEST(memory.weight_bytes == all);
    BOOST_TEST(memory.kv_bytes == 100ull * 32 * 8 * 128 * 2 * 2 * 32);
    BOOST_TEST(memory.total() == memory.weight_bytes + memory.kv_bytes + memory.buffer_bytes);
  }
}

BOOST_AUTO_TEST_CASE(weights_and_keys_take_what_their_dtype_says) {
  const ModelShape shape = big_shape();
  const SliceGeometry geometry = SliceGeometry::of(shape);
  const auto memory = [&](DType dtype) {
    return shard_memory(shape, geometry, dtype, whole(shape, geometry), options);
  };
  // Norms aside, which are f32 always: bits per weight of f32, bf16, q8 (8.5) and q4 (4.5).
  const std::uint64_t norms = (2 * shape.layers + 1) * std::uint64_t{shape.dim} * sizeof(float);
  const std::uint64_t weights = (memory(DType::f32).weight_bytes - norms) / 4;
  BOOST_TEST(memory(DType::bf16).weight_bytes - norms == weights * 2);
  BOOST_TEST(memory(DType::q8).weight_bytes - norms == weights / 32 * 34);
  BOOST_TEST(memory(DType::q4).weight_bytes - norms == weights / 32 * 18);
  for (const DType dtype : {DType::bf16, DType::q8, DType::q4}) {
    BOOST_TEST(memory(dtype).kv_bytes * 2 == memory(DType::f32).kv_bytes);
  }
}

BOOST_AUTO_TEST_CASE(the_shards_of_a_pipeline_take_the_model_once_but_for_what_each_needs_whole) {
  const ModelShape shape = big_shape();
  const SliceGeometry geometry = SliceGeometry::of(shape);
  const std::uint64_t norm = shape.dim * sizeof(float),
                      embedding = vocabulary_layout(shape, geometry, DType::q8).bytes();
  const ShardPlan two = *ShardPlan::even(geometry, 2), three = *ShardPlan::even(geometry, 3);
  std::uint64_t weights = 0;
  const auto take = [&](SliceRange layers, const ShardPlan& plan) {
    for (std::uint32_t rank = 0; rank < plan.shards(); ++rank) {
      weights += shard_memory(shape, geometry, DType::q8, {layers, plan, ShardRank{rank}}, options).weight_bytes;
    }
  };
  take({0, 10}, two);
  take({10, 32}, three);
  // Twice the embedding in the first stage; layer norms on every shard; the final norm on three; two groups of heads
  // that three shards split, whose K and V both sides keep.
  const std::uint64_t kv_head = std::uint64_t{128} * 4096 * 34 / 32;
  const std::uint64_t extra = embedding + norm * 2 * (10 * 1 + 22 * 2) + norm * 2 + 22 * 2 * 2 * kv_head;
  BOOST_TEST(weights == shard_memory(shape, geometry, DType::q8, whole(shape, geometry), options).weight_bytes + extra);
}

BOOST_AUTO_TEST_CASE(buffers_grow_with_rows_and_only_the_root_keeps_whole_logits) {
  const ModelShape shape = big_shape();
  const SliceGeometry geometry = SliceGeometry::of(shape);
  const ShardPlan four = *ShardPlan::even(geometry, 4);
  const auto buffers = [&](SliceRange layers, std::uint32_t rank, std::uint32_t rows) {
    const ShardMemoryOptions of_rows{100, 32, rows, 1};
    return shard_memory(shape, geometry, DType::q8, {layers, four, ShardRank{rank}}, of_rows).buffer_bytes;
  };
  BOOST_TEST(buffers({0, 8}, 0, 512) > 8 * buffers({0, 8}, 0, 32));
  BOOST_TEST(buffers({0, 8}, 0, 300) == buffers({0, 8}, 0, 512));  // reserved in powers of two
  BOOST_TEST(buffers({0, 8}, 0, 1u << 31) == buffers({0, 8}, 0, 512));
  const std::uint64_t whole_logits = std::uint64_t{logits_rows_per_block} * shape.vocab_size * sizeof(float);
  BOOST_TEST(buffers({8, 32}, 0, 512) > buffers({8, 32}, 1, 512) + whole_logits);
}

BOOST_AUTO_TEST_CASE(impossible_sizes_do_not_wrap_around) {
  ModelShape shape = big_shape();
  shape.layers = shape.kv_heads = shape.heads = shape.head_dim = 1024;
  const SliceGeometry geometry = SliceGeometry::of(shape);
  const ShardMemoryOptions endless{std::numeric_limits<std::uint32_t>::max(), 1u << 20, 512, 1};
  BOOST_TEST(shard_memory(shape, geometry, DType::f32, whole(shape, geometry), endless).kv_bytes ==
             std::numeric_limits<std::uint64_t>::max());
}

BOOST_AUTO_TEST_CASE(an_assignment_to_layers_or_ranks_that_do_not_exist_is_refused) {
  const ModelShape shape = big_shape();
  const ShardPlan two = *ShardPlan::even(SliceGeometry::of(shape), 2);
  BOOST_TEST(bool(validate(ShardAssignment{{31, 32}, two, ShardRank{1}}, shape)));
  BOOST_TEST(!validate(ShardAssignment{{31, 33}, two, ShardRank{1}}, shape));
  BOOST_TEST(!validate(ShardAssignment{{8, 8}, two, ShardRank{1}}, shape));
  BOOST_TEST(!validate(ShardAssignment{{9, 8}, two, ShardRank{1}}, shape));
  BOOST_TEST(!validate(ShardAssignment{{0, 8}, two, ShardRank{2}}, shape));
  BOOST_TEST(!validate(ShardAssignment{{0, 8}, {}, ShardRank{0}}, shape));
}
