// Logits come in blocks of bounded size, so that a step may want them for all of its rows.
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/model/generation.hpp"
#include "runtime/tensor/shard_memory.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr std::uint32_t vocab = 1100;

class Collector final : public StepSink {
 public:
  void take_logits(std::uint32_t first, std::span<const float> logits) override {
    in_order = in_order && first * std::size_t{vocab} == all.size();
    largest = std::max(largest, logits.size() / vocab);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  std::vector<float> all;
  std::size_t largest = 0;
  bool in_order = true;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_full_step_gives_its_logits_in_blocks_with_the_same_bits) {
  const TemporaryFolder folder;
  ModelShape shape = awkward_shape();
  shape.context_length = limits::step_rows_max;
  const auto checkpoint = make_checkpoint(folder, shape, DType::q8);
  const Isa isa = available_isas().back();
  const std::vector<TokenId> tokens = random_tokens(limits::step_rows_max, vocab, 77);
  const std::vector<float> expected = all_logits(checkpoint, {isa, 1, {}, 1, 30}, tokens);
  const std::vector<StageOptions> pipeline{{1, 1}, {1, 3}};
  for (const Execution& execution : {Execution{isa}, Execution{isa, 1, {}, 2, 0, pipeline}}) {
    const auto replica = make_replica(checkpoint, execution, limits::step_rows_max);
    std::vector<PageId> pages;
    BOOST_REQUIRE(replica->pages().grow(pages, limits::step_rows_max));
    const StepSequence sequence{pages};
    std::vector<StepRow> rows = sequence_rows(tokens, 0, limits::step_rows_max);
    for (StepRow& row : rows) row.wants_logits = true;
    Collector collector;
    BOOST_REQUIRE(replica->forward({0, rows, {&sequence, 1}}, collector));
    BOOST_TEST(collector.in_order);
    BOOST_TEST(collector.largest == logits_rows_per_block);
    BOOST_TEST(same_bits(collector.all, expected));
  }
}
