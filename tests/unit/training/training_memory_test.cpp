#include "runtime/training/training_memory.hpp"

#include <memory>

#include <boost/test/unit_test.hpp>

#include "runtime/base/machine_memory.hpp"

using namespace tessera;

namespace {

TrainingPlan plan_of(std::uint32_t dim) {
  TrainingPlan plan;
  plan.shape.dim = dim;
  plan.shape.layers = 2;
  plan.shape.heads = plan.shape.kv_heads = 4;
  plan.shape.head_dim = dim / 4;
  plan.shape.ffn_dim = 2 * dim;
  plan.shape.vocab_size = 100;
  plan.shape.context_length = 64;
  return plan;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(training_memory_estimate)

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_with_the_arithmetic) {
  const TrainingMemory memory = training_memory(plan_of(64), 32, 2);
  BOOST_TEST(memory.moments == 2 * memory.weights);
  BOOST_TEST(memory.weights >= sizeof(float) * (2 * 100 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 128)));
  BOOST_TEST(bool(check_memory(memory, memory.total())));
  BOOST_TEST(bool(check_memory(memory, 0)));
  const auto refused = check_memory(memory, memory.total() - 1);
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::exhausted));
  for (const char* word : {"weights", "moments", "gradients", "activations", "micro_batch_sequences"}) {
    BOOST_TEST(refused.error().message.find(word) != std::string::npos, word);
  }
}

BOOST_AUTO_TEST_CASE(longer_sequences_need_activations_and_nothing_else) {
  const TrainingMemory shorter = training_memory(plan_of(64), 32, 2), longer = training_memory(plan_of(64), 64, 2);
  BOOST_TEST(longer.activations > shorter.activations);
  BOOST_TEST(longer.weights == shorter.weights);
  BOOST_TEST(longer.gradients == shorter.gradients);
}

BOOST_AUTO_TEST_CASE(this_machine_has_memory_for_a_test) { BOOST_TEST(available_memory() > 1u << 20); }

BOOST_AUTO_TEST_SUITE_END()
