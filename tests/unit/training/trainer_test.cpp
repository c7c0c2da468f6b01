#include "runtime/training/trainer.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/device/isa.hpp"

using namespace tessera;

namespace {

ModelShape tiny_shape() {
  ModelShape shape;
  shape.dim = 32;
  shape.layers = 2;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 8;
  shape.ffn_dim = 64;
  shape.vocab_size = 17;
  shape.context_length = 64;
  shape.tied_head = true;
  return shape;
}

/// A language in which each word says which one comes two later.
TokenCorpus counting_corpus(std::uint32_t length) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < 4000; ++i) {
    tokens.push_back(i < 2 ? static_cast<TokenId>(i)
                           : static_cast<TokenId>((3 * tokens[i - 2] + tokens[i - 1] + 1) % 17));
  }
  auto corpus = TokenCorpus::create(std::move(tokens), length, 17, "counting");
  BOOST_REQUIRE(corpus);
  return *std::move(corpus);
}

TrainingPlan tiny_plan(std::uint64_t steps) {
  TrainingPlan plan;
  plan.shape = tiny_shape();
  plan.micro_batch_sequences = 2;
  plan.micro_batches = 3;
  plan.rate = {3e-3, 0.1, 5, steps};
  return plan;
}

struct Machine {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<TrainingOps> ops;
  explicit Machine(Isa isa = available_isas().back(), std::uint32_t threads = 1) {
    pool = *ThreadPool::create(threads);
    ops = std::make_unique<TrainingOps>(**select_kernels(isa), *pool, false);
  }
};

std::vector<float> trained(const TrainingPlan& plan, const TokenCorpus& corpus, Machine&& machine) {
  Trainer trainer(plan, corpus, *machine.ops);
  trainer.initialise();
  while (trainer.step() < plan.rate.steps) BOOST_REQUIRE(trainer.run_step());
  return trainer.weights();
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_model_learns_what_is_to_be_learnt) {
  const TokenCorpus corpus = counting_corpus(24);
  const TrainingPlan plan = tiny_plan(150);
  Machine machine;
  Trainer trainer(plan, corpus, *machine.ops);
  trainer.initialise();
  const double before = trainer.validation_loss(corpus, 20);
  BOOST_TEST(std::fabs(before - std::log(17.0)) < 0.3);
  while (trainer.step() < plan.rate.steps) BOOST_REQUIRE(trainer.run_step());
  BOOST_TEST(trainer.validation_loss(corpus, 20) < 0.3 * before);
}

BOOST_AUTO_TEST_CASE(threads_and_instruction_sets_train_the_same_weights) {
  const TokenCorpus corpus = counting_corpus(20);
  const TrainingPlan plan = tiny_plan(4);
  const std::vector<float> expected = trained(plan, corpus, Machine(Isa::scalar));
  for (const Isa isa : available_isas()) {
    for (const std::uint32_t threads : {1u, 2u, 3u})
      BOOST_TEST(same(trained(plan, corpus, Machine(isa, threads)), expected));
  }
}

BOOST_AUTO_TEST_CASE(a_resumed_run_trains_the_same_weights) {
  const TokenCorpus corpus = counting_corpus(20);
  const TrainingPlan plan = tiny_plan(9);
  const std::vector<float> expected = trained(plan, corpus, Machine());
  Machine machine;
  Trainer first(plan, corpus, *machine.ops);
  first.initialise();
  for (int i = 0; i < 4; ++i) BOOST_REQUIRE(first.run_step());
  Trainer second(plan, corpus, *machine.ops);
  second.weights() = first.weights();
  second.optimizer().first_moments() = first.optimizer().first_moments();
  second.optimizer().second_moments() = first.optimizer().second_moments();
  second.set_step(first.step());
  while (second.step() < plan.rate.steps) BOOST_REQUIRE(second.run_step());
  BOOST_TEST(same(second.weights(), expected));
}

BOOST_AUTO_TEST_CASE(subtrees_computed_apart_give_the_same_sum) {
  Machine machine;
  constexpr std::size_t size = 1000;
  const auto leaf = [](std::uint32_t index, float* out) {
    for (std::size_t i = 0; i < size; ++i)
      out[i] = std::sin(static_cast<float>(index * size + i)) * std::exp2(static_cast<float>(i % 20));
  };
  GradientTree whole(size, *machine.ops);
  for (const std::uint32_t leaves : {2u, 3u, 5u, 8u, 11u}) {
    const float* const sum = whole.sum(leaves, leaf);
    const std::vector<float> expected(sum, sum + size);
    // Two workers, each with one of the two largest subtrees.
    const std::uint32_t middle = leaves / 2;
    GradientTree left(size, *machine.ops), right(size, *machine.ops);
    const float* const a = left.sum(middle, leaf);
    const float* const b = right.sum(leaves - middle, [&](std::uint32_t i, float* out) { leaf(middle + i, out); });
    std::vector<float> got(size);
    for (std::size_t i = 0; i < size; ++i) got[i] = a[i] + b[i];
    BOOST_TEST(same(got, expected), leaves << " leaves");
  }
}

BOOST_AUTO_TEST_CASE(a_run_that_diverges_says_so_and_keeps_its_weights) {
  const TokenCorpus corpus = counting_corpus(20);
  const TrainingPlan plan = tiny_plan(3);
  Machine machine;
  Trainer trainer(plan, corpus, *machine.ops);
  trainer.initialise();
  trainer.weights()[3] = std::numeric_limits<float>::infinity();
  const std::vector<float> before = trainer.weights();
  const auto report = trainer.run_step();
  BOOST_REQUIRE(!report);
  BOOST_TEST(report.error().message.find("diverged at step 1") != std::string::npos);
  BOOST_TEST(same(trainer.weights(), before));
  BOOST_TEST(trainer.step() == 0u);
}

BOOST_AUTO_TEST_CASE(the_learning_rate_rises_and_falls) {
  const LearningRate rate{2.0, 0.1, 10, 110};
  BOOST_TEST(rate.at(1) == 0.2);
  BOOST_TEST(rate.at(10) == 2.0);
  BOOST_TEST(std::fabs(rate.at(60) - 1.1) < 1e-12);
  BOOST_TEST(std::fabs(rate.at(110) - 0.2) < 1e-12);
  BOOST_TEST(std::fabs(rate.at(200) - 0.2) < 1e-12);
}

BOOST_AUTO_TEST_CASE(a_corpus_that_cannot_be_learnt_from_is_refused) {
  const auto tiny = TokenCorpus::create({1, 2, 3}, 3, 17, "valid.txt");
  BOOST_REQUIRE(!tiny);
  BOOST_TEST(tiny.error().message.find("valid.txt: has 3 tokens") != std::string::npos);
  BOOST_TEST(!TokenCorpus::create({1, 17, 3, 4}, 3, 17, "x"));
  BOOST_TEST(!TokenCorpus::create({1, -1, 3, 4}, 3, 17, "x"));
  const auto least = TokenCorpus::create({1, 2, 3, 4}, 3, 17, "x");
  BOOST_REQUIRE(least);
  const OwnedMicroBatch batch = least->random(1, 1, 0, 2, 3);
  BOOST_TEST(batch.inputs == (std::vector<TokenId>{1, 2, 3, 1, 2, 3}), boost::test_tools::per_element());
  BOOST_TEST(batch.targets == (std::vector<TokenId>{2, 3, 4, 2, 3, 4}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(windows_begin_where_documents_do) {
  std::vector<TokenId> tokens(40);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i);
  // Nothing of length 8 + 1 fits behind 32; what begins there is never drawn.
  const auto corpus = TokenCorpus::create(tokens, 8, 40, "x", {0, 7, 19, 31, 32, 38});
  BOOST_REQUIRE(corpus);
  BOOST_TEST(corpus->windows() == 4u);
  const OwnedMicroBatch all = corpus->in_order(0, 4);
  std::set<TokenId> begins;
  for (std::size_t i = 0; i < 4; ++i) begins.insert(all.inputs[i * 8]);
  BOOST_TEST(begins == (std::set<TokenId>{0, 7, 19, 31}), boost::test_tools::per_element());
  std::set<TokenId> drawn;
  for (std::uint64_t step = 1; step < 30; ++step) {
    const OwnedMicroBatch batch = corpus->random(5, step, 0, 4, 5);
    BOOST_TEST(batch.view.length == 5u);
    BOOST_TEST(batch.view.rows() == batch.inputs.size());
    for (std::size_t i = 0; i < 4; ++i) {
      drawn.insert(batch.inputs[i * 5]);
      BOOST_TEST(batch.targets[i * 5 + 4] == batch.inputs[i * 5] + 5);
    }
  }
  BOOST_TEST(drawn == begins, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(sequences_of_several_lengths_train_the_same_weights_everywhere) {
  const TokenCorpus corpus = counting_corpus(24);
  TrainingPlan plan = tiny_plan(4);
  const std::vector<float> of_one_length = trained(plan, corpus, Machine(Isa::scalar));
  plan.lengths = {24, 12, 6};
  const std::vector<float> expected = trained(plan, corpus, Machine(Isa::scalar));
  BOOST_TEST(!same(expected, of_one_length));
  for (const Isa isa : available_isas())
    for (const std::uint32_t threads : {1u, 3u})
      BOOST_TEST(same(trained(plan, corpus, Machine(isa, threads)), expected));
  plan.lengths = {24};
  BOOST_TEST(same(trained(plan, corpus, Machine()), of_one_length));
}
