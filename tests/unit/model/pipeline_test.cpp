// Pipeline stages and the way in which partial sums travel: neither changes a bit.
#include <limits>
#include <string>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

namespace {

constexpr std::uint64_t always = 0, never = std::numeric_limits<std::uint64_t>::max();

ModelShape five_layers(bool tied_head) {
  ModelShape shape = awkward_shape();
  shape.layers = 5;
  shape.tied_head = tied_head;
  return shape;
}

const std::vector<std::vector<StageOptions>> layouts = {
    {{2, 2}, {3, 2}},                                // 2 x 2
    {{3, 3}, {2, 3}},                                // 2 x 3
    {{2, 1}, {2, 1}, {1, 1}},                        // 3 x 1
    {{1, 3}, {4, 2, {1.0, 6.0}}},                    // fewer receivers than senders
    {{3, 1}, {1, 4, {5.0, 1.0, 1.0, 1.0}}, {1, 2}},  // more receivers than senders
    {{4, 2, {0.01, 5.0}}, {1, 2, {0.01, 5.0}}},      // the root has no slice of some matrix
    {{1, 1}, {1, 2}, {1, 3}, {1, 2}, {1, 1}},
};

std::string describe(std::size_t layout, const Execution& execution) {
  return "layout " + std::to_string(layout) + ", chunks of " + std::to_string(execution.chunk) +
         (execution.scatter_bytes_min == always ? ", by rows" : "");
}

}  // namespace

BOOST_DATA_TEST_CASE(every_pipeline_gives_the_bits_of_one_shard, data::make(all_dtypes) * data::make({0, 1}), dtype,
                     tied) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, five_layers(tied == 1), dtype);
  const std::vector<TokenId> tokens = random_tokens(40, 1100, 8);
  const std::vector<float> expected = all_logits(checkpoint, {}, tokens);
  const Isa isa = available_isas().back();
  for (std::size_t layout = 0; layout < layouts.size(); ++layout) {
    for (const std::uint32_t chunk : {1u, 17u, 40u}) {
      for (const std::uint64_t scatter : {always, never}) {
        const Execution execution{isa, 1, {}, 1, chunk, layouts[layout], scatter};
        BOOST_TEST(same_bits(all_logits(checkpoint, execution, tokens), expected), describe(layout, execution));
      }
    }
  }
}

BOOST_DATA_TEST_CASE(partial_sums_by_token_rows_give_the_same_bits, data::make(all_dtypes), dtype) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, awkward_shape(), dtype);
  const std::vector<TokenId> tokens = random_tokens(64, 1100, 4);
  const Isa isa = available_isas().back();
  const std::vector<float> expected = all_logits(checkpoint, {isa, 1, {}, 1, 64}, tokens);
  for (std::uint32_t shards = 2; shards <= 6; ++shards) {
    for (const std::uint32_t chunk : {1u, 5u, 64u}) {  // fewer rows than shards, a few, many
      const Execution execution{isa, shards, {}, 1, chunk, {}, always};
      BOOST_TEST(same_bits(all_logits(checkpoint, execution, tokens), expected), describe(shards, execution));
    }
  }
  const Execution uneven{isa, 3, {1.0, 7.0, 2.0}, 6, 40, {}, always};
  BOOST_TEST(same_bits(all_logits(checkpoint, uneven, tokens), expected));
}

BOOST_AUTO_TEST_CASE(stages_that_do_not_hold_every_layer_once_are_refused) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, five_layers(true), DType::f32);
  const auto ops = select_kernels(Isa::scalar);
  BOOST_REQUIRE(ops);
  for (const std::vector<StageOptions>& stages :
       {std::vector<StageOptions>{{2, 1}, {2, 1}}, {{5, 1}, {1, 1}}, {{5, 1}, {0, 1}}, {{0xffffffffu, 1}, {6, 1}}}) {
    ReplicaOptions options;
    options.ops = *ops;
    options.kv_positions = 8;
    options.stages = stages;
    const auto replica = LocalReplica::create(checkpoint, options);
    BOOST_REQUIRE(!replica);
    BOOST_TEST(replica.error().message.find("the 5 layers of the model") != std::string::npos);
  }
}
