#include "runtime/training/llama_gradient.hpp"

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/device/isa.hpp"
#include "tests/unit/training/float64_loss.hpp"

using namespace tessera;

namespace {

ModelShape small_shape(bool tied) {
  ModelShape shape;
  shape.dim = 24;
  shape.layers = 2;
  shape.heads = 6;
  shape.kv_heads = 2;
  shape.head_dim = 8;
  shape.ffn_dim = 40;
  shape.vocab_size = 50;
  shape.context_length = 128;
  shape.tied_head = tied;
  return shape;
}

std::uint32_t random_bits(std::uint64_t seed, std::size_t index) {
  return philox(philox_key(seed), {static_cast<std::uint32_t>(index), 0, 0, 0})[0];
}

std::vector<float> random_weights(const ParameterLayout& layout) {
  std::vector<float> weights(layout.size());
  for (const Parameter& parameter : layout.all()) {
    for (std::size_t i = 0; i < parameter.count(); ++i) {
      const float unit = static_cast<float>(static_cast<std::int32_t>(random_bits(5, parameter.offset + i))) * 0x1p-31f;
      weights[parameter.offset + i] = parameter.is_matrix ? 0.3f * unit : 1 + 0.2f * unit;
    }
  }
  return weights;
}

struct Batch {
  std::vector<TokenId> inputs, targets;
  MicroBatch view;
  Batch(std::uint32_t sequences, std::uint32_t length, std::uint32_t vocabulary) {
    for (std::size_t i = 0; i < std::size_t{sequences} * length; ++i) {
      inputs.push_back(static_cast<TokenId>(random_bits(6, i) % vocabulary));
      targets.push_back(i % 7 == 3 ? -1 : static_cast<TokenId>(random_bits(7, i) % vocabulary));
    }
    view = {sequences, length, inputs, targets};
  }
};

struct LossAndGradient {
  double loss;
  std::vector<float> gradient;
};

LossAndGradient gradient_of(const ModelShape& shape, const std::vector<float>& weights, const MicroBatch& batch,
                            Isa isa, std::uint32_t threads, bool bf16 = false) {
  const auto table = select_kernels(isa);
  const auto pool = ThreadPool::create(threads);
  BOOST_REQUIRE(table && pool);
  TrainingOps ops(**table, **pool, bf16);
  LlamaGradient model(shape, ops);
  LossAndGradient result{0, std::vector<float>(model.parameters().size(), 7.0f)};
  result.loss = model.gradient(weights.data(), batch, 0.5f, result.gradient.data());
  BOOST_TEST(model.loss(weights.data(), batch) == result.loss);
  return result;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(gradients_agree_with_finite_differences_of_the_float64_loss) {
  for (const bool tied : {false, true}) {
    const ModelShape shape = small_shape(tied);
    const ParameterLayout layout(shape);
    const std::vector<float> weights = random_weights(layout);
    const Batch batch(2, 11, shape.vocab_size);
    const LossAndGradient got = gradient_of(shape, weights, batch.view, Isa::scalar, 1);
    std::vector<double> exact(weights.begin(), weights.end());
    BOOST_TEST(std::fabs(got.loss / test::float64_loss(shape, exact, batch.view) - 1) < 1e-5);
    double squares = 0;
    for (const float g : got.gradient) squares += static_cast<double>(g) * static_cast<double>(g);
    const double typical = std::sqrt(squares / static_cast<double>(layout.weights()));
    for (const Parameter& parameter : layout.all()) {
      for (std::size_t sample = 0; sample < 20; ++sample) {
        const std::size_t place = parameter.offset + random_bits(8, parameter.offset + sample) % parameter.count();
        const double before = exact[place], step = 1e-4;
        exact[place] = before + step;
        const double above = test::float64_loss(shape, exact, batch.view);
        exact[place] = before - step;
        const double below = test::float64_loss(shape, exact, batch.view);
        exact[place] = before;
        const double expected = 0.5 * (above - below) / (2 * step);
        const double error = std::fabs(static_cast<double>(got.gradient[place]) - expected);
        BOOST_TEST(error <= 2e-5 * (std::fabs(expected) + typical), parameter.name << " at " << place - parameter.offset
                                                                                   << ": " << got.gradient[place]
                                                                                   << ", expected " << expected);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(instruction_sets_and_threads_give_the_same_gradient) {
  const ModelShape shape = small_shape(false);
  const std::vector<float> weights = random_weights(ParameterLayout(shape));
  const Batch batch(3, 83, shape.vocab_size);  // more queries than a block, more rows than a block of the head
  for (const bool bf16 : {false, true}) {
    const LossAndGradient expected = gradient_of(shape, weights, batch.view, Isa::scalar, 1, bf16);
    for (const Isa isa : available_isas()) {
      for (const std::uint32_t threads : {1u, 2u, 3u}) {
        const LossAndGradient got = gradient_of(shape, weights, batch.view, isa, threads, bf16);
        BOOST_TEST(got.loss == expected.loss);
        BOOST_TEST(same(got.gradient, expected.gradient), to_string(isa) << ", " << threads << " threads");
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(what_nobody_predicts_gives_no_gradient) {
  const ModelShape shape = small_shape(true);
  const std::vector<float> weights = random_weights(ParameterLayout(shape));
  Batch batch(1, 9, shape.vocab_size);
  batch.targets.assign(batch.targets.size(), -1);
  batch.view.targets = batch.targets;
  const LossAndGradient got = gradient_of(shape, weights, batch.view, Isa::scalar, 1);
  BOOST_TEST(got.loss == 0);
  for (const float g : got.gradient) BOOST_TEST((g == 0));
}
