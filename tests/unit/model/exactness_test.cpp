// The first promise: no way of carrying out a forward pass changes a bit.
#include <algorithm>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

namespace {

/// Random, but valid: odd widths, grouped heads, tails everywhere.
ModelShape random_shape(std::uint32_t seed) {
  const auto pick = [&](std::uint32_t field, std::uint32_t low, std::uint32_t high) {
    return low + philox({seed, 99}, {field, 0, 0, 0})[0] % (high - low + 1);
  };
  ModelShape shape;
  shape.kv_heads = pick(0, 1, 4);
  shape.heads = shape.kv_heads * pick(1, 1, 4);
  shape.head_dim = 2 * pick(2, 1, 24);
  shape.dim = pick(3, 5, 150);
  shape.ffn_dim = pick(4, 3, 300);
  shape.vocab_size = pick(5, 300, 2500);
  shape.layers = pick(6, 1, 3);
  shape.context_length = 512;
  shape.tied_head = pick(7, 0, 1) == 1;
  return shape;
}

std::string describe(const Execution& execution) {
  std::string text = std::string(to_string(execution.isa)) + ", " + std::to_string(execution.shards) + " shards, " +
                     std::to_string(execution.threads) + " threads, chunks of " + std::to_string(execution.chunk);
  return execution.shard_weights.empty() ? text : text + ", uneven";
}

}  // namespace

BOOST_DATA_TEST_CASE(every_isa_shard_count_thread_count_and_chunk_gives_the_same_bits, data::make(all_dtypes), dtype) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, awkward_shape(), dtype);
  const std::vector<TokenId> tokens = random_tokens(150, 1100, 3);         // beyond one softmax run of 128
  const std::vector<float> expected = all_logits(checkpoint, {}, tokens);  // scalar, one by one
  std::vector<Execution> executions;
  for (const Isa isa : tried_isas()) {
    for (const std::uint32_t chunk : {1u, 7u, 64u, 150u}) executions.push_back({isa, 1, {}, 1, chunk});
    for (std::uint32_t shards = 2; shards <= 6; ++shards) executions.push_back({isa, shards, {}, 1, 40});
    for (std::uint32_t threads = 2; threads <= 5; ++threads) executions.push_back({isa, 1, {}, threads, 33});
    executions.push_back({isa, 3, {1.0, 7.0, 2.0}, 6, 50});
    executions.push_back({isa, 2, {0.01, 5.0}, 2, 150});  // rank 0 gets no slice of some matrix
  }
  for (const Execution& execution : executions) {
    BOOST_TEST(same_bits(all_logits(checkpoint, execution, tokens), expected), describe(execution));
  }
}

BOOST_DATA_TEST_CASE(every_block_of_a_plan_gives_the_same_bits_in_every_execution,
                     data::xrange(planned_shapes().size()) * data::make(all_dtypes), which, dtype) {
  const TemporaryFolder folder;
  const ModelShape shape = planned_shapes()[which];
  const auto checkpoint = make_checkpoint(folder, shape, dtype);
  const std::vector<TokenId> tokens = random_tokens(140, 1100, 3);
  const std::vector<float> expected = all_outputs(checkpoint, {}, tokens);
  std::vector<Execution> executions;
  for (const Isa isa : tried_isas()) {
    executions.push_back({isa, 1, {}, 1, 140});
    executions.push_back({isa, 2, {}, 2, 37});
    executions.push_back({isa, 6, {}, 1, 9});
  }
  const Isa fastest = available_isas().back();
  executions.push_back({fastest, 3, {1.0, 7.0, 2.0}, 5, 50, {}, 1});
  executions.push_back({fastest, 2, {0.01, 5.0}, 2, 140});  // rank 0 gets no slice of some matrix
  executions.push_back({fastest, 1, {}, 1, 33, {StageOptions{1, 2, {}}, StageOptions{2, 1, {}}}});
  for (const Execution& execution : executions) {
    BOOST_TEST(same_bits(all_outputs(checkpoint, execution, tokens), expected),
               shape.family << ", " << describe(execution));
  }
}

BOOST_DATA_TEST_CASE(random_shapes_agree_to_the_bit, data::xrange(12) * data::make(all_dtypes), seed, dtype) {
  const TemporaryFolder folder;
  const auto shape_seed = static_cast<std::uint32_t>(seed);
  const ModelShape shape = random_shape(shape_seed);
  const auto checkpoint = make_checkpoint(folder, shape, dtype, shape_seed);
  const std::vector<TokenId> tokens = random_tokens(40, shape.vocab_size, shape_seed);
  const std::vector<float> expected = all_logits(checkpoint, {}, tokens);
  const std::uint32_t slices = checkpoint->manifest().geometry.slice_count();
  for (const Isa isa : tried_isas()) {
    for (std::uint32_t trial = 0; trial < 4; ++trial) {
      const PhiloxCounter random = philox({shape_seed, static_cast<std::uint32_t>(isa)}, {trial, 0, 0, 0});
      const Execution execution{isa, 1 + random[0] % std::min(slices, 8u), {}, 1 + random[1] % 4, 1 + random[2] % 40};
      BOOST_TEST(same_bits(all_logits(checkpoint, execution, tokens), expected), describe(execution));
    }
  }
}

BOOST_DATA_TEST_CASE(a_sequence_does_not_feel_the_batch_around_it, data::make(all_dtypes), dtype) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, awkward_shape(), dtype);
  const std::uint32_t vocab = 1100, sequences = 64, length = 24;
  std::vector<std::vector<TokenId>> tokens;
  std::vector<std::vector<float>> expected;
  const Isa isa = available_isas().back();
  for (std::uint32_t i = 0; i < sequences; ++i) {
    tokens.push_back(random_tokens(length, vocab, 100 + i));
    expected.push_back(all_logits(checkpoint, {isa, 1, {}, 1, 1}, tokens[i]));
  }
  for (const Execution& execution : {Execution{isa, 1, {}, 2, 0}, Execution{isa, 3, {}, 3, 0}}) {
    const auto replica = make_replica(checkpoint, execution, sequences * length, sequences);
    std::vector<std::vector<PageId>> pages(sequences);
    std::vector<std::uint32_t> done(sequences, 0);
    std::uint64_t step_number = 0;
    // Each step takes 1 to 64 sequences, each with a chunk of 1 to 5 tokens, until all are through.
    while (std::any_of(done.begin(), done.end(), [](std::uint32_t d) { return d < length; })) {
      const std::uint32_t wanted =
          1 + philox({5, 5}, {static_cast<std::uint32_t>(step_number), 0, 0, 0})[0] % sequences;
      std::vector<StepRow> rows;
      std::vector<StepSequence> step_sequences;
      std::vector<std::uint32_t> members;
      for (std::uint32_t i = 0; i < sequences && members.size() < wanted; ++i) {
        const std::uint32_t who = (i * 29 + static_cast<std::uint32_t>(step_number)) % sequences;
        if (done[who] == length) continue;
        const std::uint32_t chunk = std::min(length - done[who], 1 + philox({6, who}, {done[who], 0, 0, 0})[0] % 5);
        BOOST_REQUIRE(replica->pages().grow(pages[who], done[who] + chunk));
        for (std::uint32_t c = 0; c < chunk; ++c) {
          rows.push_back(
              {tokens[who][done[who] + c], done[who] + c, static_cast<std::uint32_t>(members.size()), c + 1 == chunk});
        }
        members.push_back(who);
        step_sequences.push_back({pages[who]});
        done[who] += chunk;
      }
      std::vector<float> logits(members.size() * vocab);
      BOOST_REQUIRE(replica->forward({step_number++, rows, step_sequences}, logits));
      for (std::size_t m = 0; m < members.size(); ++m) {
        const std::span<const float> got(logits.data() + m * vocab, vocab);
        const std::span<const float> want(expected[members[m]].data() + std::size_t{done[members[m]] - 1} * vocab,
                                          vocab);
        BOOST_REQUIRE(same_bits(got, want));
      }
    }
  }
}
