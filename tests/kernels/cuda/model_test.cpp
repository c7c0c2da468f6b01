// A whole model by the ops of a device table, on the shim: the logits of the CPU, bit for bit.
#include <algorithm>
#include <string>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "runtime/model/device_model.hpp"
#include "tests/kernels/cuda/device.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

namespace {

/// Logits of every position of one sequence, in steps of `chunk` rows, its pages in an order of their own.
std::vector<float> device_logits(DeviceModel& model, const ModelShape& shape, std::span<const TokenId> tokens,
                                 std::uint32_t chunk) {
  std::vector<PageId> pages;
  for (std::uint32_t page = 0; page * 32 < tokens.size(); ++page) pages.push_back(PageId{page ^ 1u});
  const StepSequence sequence{pages};
  std::vector<float> all;
  for (std::uint32_t begin = 0; begin < tokens.size(); begin += chunk) {
    const auto end = std::min<std::uint32_t>(begin + chunk, static_cast<std::uint32_t>(tokens.size()));
    std::vector<StepRow> rows;
    for (std::uint32_t i = begin; i < end; ++i) rows.push_back({tokens[i], i, 0, true, false});
    std::vector<float> logits(rows.size() * shape.vocab_size);
    const Result<void> ran = model.run({begin, rows, {&sequence, 1}}, logits);
    BOOST_REQUIRE_MESSAGE(ran, ran.error().message);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

std::unique_ptr<DeviceModel> make_model(const Checkpoint& checkpoint, std::uint32_t node_units) {
  DeviceModelOptions options;
  options.kv_pages = 8;
  options.node_units = node_units;
  auto model = DeviceModel::create(device_table(), 0, checkpoint, options);
  BOOST_REQUIRE_MESSAGE(model, model.error().message);
  return std::move(*model);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(device_model)

BOOST_DATA_TEST_CASE(a_model_on_a_device_has_the_logits_of_the_cpu, data::make(all_dtypes), dtype) {
  const FlushDenormals mode;
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, awkward_shape(), dtype);
  const std::vector<TokenId> tokens = random_tokens(sanitized ? 40 : 150, 1100, 3);  // beyond one run of 128
  const std::vector<float> expected = all_logits(checkpoint, {}, tokens);
  for (const std::uint32_t chunk : {64u, 7u}) {
    for (const std::uint32_t node_units : {8u, 1u}) {
      const auto model = make_model(*checkpoint, node_units);
      BOOST_TEST(same_bits(device_logits(*model, awkward_shape(), tokens, chunk), expected),
                 "chunks of " << chunk << ", nodes of " << node_units);
    }
  }
}

BOOST_AUTO_TEST_CASE(decoding_replays_what_was_recorded) {
  const FlushDenormals mode;
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, awkward_shape(), DType::q8);
  const std::vector<TokenId> tokens = random_tokens(12, 1100, 5);
  const auto model = make_model(*checkpoint, 8);
  BOOST_TEST(same_bits(device_logits(*model, awkward_shape(), tokens, 1), all_logits(checkpoint, {}, tokens)));
  BOOST_TEST(model->replays() == 11u);
}

BOOST_AUTO_TEST_CASE(sequences_share_a_step_and_keep_their_bits) {
  const FlushDenormals mode;
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, awkward_shape(), DType::bf16);
  const std::vector<TokenId> one = random_tokens(20, 1100, 6), two = random_tokens(9, 1100, 7);
  const auto model = make_model(*checkpoint, 4);
  const std::vector<PageId> one_pages{PageId{5}}, two_pages{PageId{2}};
  const StepSequence sequences[] = {{one_pages}, {two_pages}};
  std::vector<StepRow> rows;
  for (std::uint32_t i = 0; i < 9; ++i) rows.push_back({two[i], i, 1, i == 8, false});
  for (std::uint32_t i = 0; i < 20; ++i) rows.push_back({one[i], i, 0, i == 19, false});
  std::vector<float> logits(2 * 1100);
  const Result<void> ran = model->run({0, rows, sequences}, logits);
  BOOST_REQUIRE_MESSAGE(ran, ran.error().message);
  const std::vector<float> expected_one = all_logits(checkpoint, {}, one),
                           expected_two = all_logits(checkpoint, {}, two);
  BOOST_TEST(same_bits(std::span<const float>(logits).first(1100), std::span<const float>(expected_two).last(1100)));
  BOOST_TEST(same_bits(std::span<const float>(logits).last(1100), std::span<const float>(expected_one).last(1100)));
}

BOOST_AUTO_TEST_CASE(other_plans_and_steps_beyond_the_options_are_refused) {
  const TemporaryFolder folder;
  const auto experts = make_checkpoint(folder, planned_shape("experts"), DType::f32);
  const auto refused = DeviceModel::create(device_table(), 0, *experts, {});
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::unsupported));
  BOOST_TEST(refused.error().message.find("family experts") != std::string::npos, refused.error().message);

  const auto checkpoint = make_checkpoint(folder, awkward_shape(), DType::f32);
  const auto model = make_model(*checkpoint, 8);
  const std::vector<PageId> pages{PageId{0}, PageId{1}, PageId{2}};
  const StepSequence sequence{pages};
  std::vector<StepRow> rows;
  for (std::uint32_t i = 0; i < 65; ++i) rows.push_back({1, i, 0, false, false});
  const Result<void> ran = model->run({0, rows, {&sequence, 1}}, {});
  BOOST_REQUIRE(!ran);
  BOOST_TEST((ran.error().code == ErrorCode::invalid_argument));
  BOOST_TEST(ran.error().message.find("a step of 65 rows") != std::string::npos, ran.error().message);
}

BOOST_AUTO_TEST_SUITE_END()
