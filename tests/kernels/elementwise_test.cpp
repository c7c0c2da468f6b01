// Norm, RoPE, activation, rounding and softmax pieces: every module against the reference, accuracy.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "tests/kernels/guarded_buffer.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/random_values.hpp"
#include "tests/support/sanitizers.hpp"

using namespace tessera::test;

namespace {

constexpr int kCases = 400;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Lengths of a few vectors, tails of all sizes, and now and then a long row.
std::uint32_t random_length(Random& random) {
  return random.chance(10) ? random.between(500, 5000) : random.between(1, 70);
}

GuardedBuffer<float> random_row(Random& random, std::size_t n, float scale = 1.0f) {
  GuardedBuffer<float> x(n);
  random.fill(x, random.pick(all_values));
  for (float& value : x) value *= scale;
  return x;
}

std::string at(std::uint64_t seed, std::size_t n) {
  return "seed " + std::to_string(seed) + ", n " + std::to_string(n);
}

}  // namespace

KERNEL_TEST(rms_norm_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    const float eps = random.chance(2) ? 1e-5f : 1e-6f;
    auto x = random_row(random, n);
    const auto weight = random_row(random, n);
    GuardedBuffer<float> expected(n), actual(n);
    scalar().rms_norm(x.data(), weight.data(), eps, n, expected.data());
    table.rms_norm(x.data(), weight.data(), eps, n, actual.data());
    require_same_bits<float>(expected, actual, at(seed, n));
    table.rms_norm(x.data(), weight.data(), eps, n, x.data());
    require_same_bits<float>(expected, x, "in place, " + at(seed, n));
  }
}

KERNEL_TEST(rope_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t half = random.between(1, 140);
    auto expected = random_row(random, 2 * half);
    auto actual = expected;
    const auto cos = random_row(random, half), sin = random_row(random, half);
    scalar().rope(expected.data(), cos.data(), sin.data(), half);
    table.rope(actual.data(), cos.data(), sin.data(), half);
    require_same_bits<float>(expected, actual, at(seed, half));
  }
}

KERNEL_TEST(rounding_to_bf16_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    GuardedBuffer<float> x(n);
    for (float& value : x) {  // any bits, ties and NaNs included
      value = std::bit_cast<float>(random.chance(4) ? (random.bits() & 0xffff0000u) | 0x8000u : random.bits());
    }
    GuardedBuffer<std::uint16_t> expected(n), actual(n);
    scalar().round_bf16(x.data(), n, expected.data());
    table.round_bf16(x.data(), n, actual.data());
    require_same_bits<std::uint16_t>(expected, actual, at(seed, n));
  }
}

KERNEL_TEST(swiglu_and_addition_agree_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    auto a = random_row(random, n, random.chance(2) ? 1.0f : 60.0f);
    auto b = random_row(random, n);
    GuardedBuffer<float> expected(n), actual(n);
    scalar().swiglu(a.data(), b.data(), n, expected.data());
    table.swiglu(a.data(), b.data(), n, actual.data());
    require_same_bits<float>(expected, actual, "swiglu, " + at(seed, n));
    auto in_place = a;
    table.swiglu(in_place.data(), b.data(), n, in_place.data());
    require_same_bits<float>(expected, in_place, "swiglu over the gate, " + at(seed, n));
    scalar().add(a.data(), b.data(), n, expected.data());
    table.add(a.data(), b.data(), n, actual.data());
    require_same_bits<float>(expected, actual, "add, " + at(seed, n));
    table.add(a.data(), b.data(), n, a.data());
    require_same_bits<float>(expected, a, "add in place, " + at(seed, n));
  }
}

KERNEL_TEST(layer_norm_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    auto x = random_row(random, n);
    if (random.chance(4)) {  // far from zero: the mean is most of it
      for (float& value : x) value += 100.0f;
    }
    const auto weight = random_row(random, n), bias = random_row(random, n);
    GuardedBuffer<float> expected(n), actual(n);
    scalar().layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, n, expected.data());
    table.layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, n, actual.data());
    require_same_bits<float>(expected, actual, at(seed, n));
    table.layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, n, x.data());
    require_same_bits<float>(expected, x, "in place, " + at(seed, n));
  }
}

KERNEL_TEST(gelu_and_soft_caps_agree_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    auto x = random_row(random, n, random.chance(2) ? 1.0f : 60.0f);
    if (random.chance(3)) {
      for (float& value : x) value += random.chance(2) ? 3.9f : -0.6f;  // around the places where something changes
    }
    x[random.between(0, n - 1)] = random.chance(2) ? kInfinity : -kInfinity;
    const auto check = [&](const char* name, const auto& op) {
      GuardedBuffer<float> expected(n), actual(n);
      op(scalar(), x.data(), expected.data());
      op(table, x.data(), actual.data());
      require_same_bits<float>(expected, actual, name + (", " + at(seed, n)));
      auto in_place = x;
      op(table, in_place.data(), in_place.data());
      require_same_bits<float>(expected, in_place, name + (" in place, " + at(seed, n)));
    };
    check("gelu_tanh", [n](const tessera_op_table& ops, const float* in, float* out) { ops.gelu_tanh(in, n, out); });
    check("gelu_erf", [n](const tessera_op_table& ops, const float* in, float* out) { ops.gelu_erf(in, n, out); });
    for (float& value : x) value = std::isinf(value) ? 1.0f : value;
    check("soft_cap",
          [n](const tessera_op_table& ops, const float* in, float* out) { ops.soft_cap(in, n, 2.5f, out); });
    check("scale", [n](const tessera_op_table& ops, const float* in, float* out) { ops.scale(in, n, -0.3f, out); });
  }
}

KERNEL_TEST(products_and_scaled_sums_agree_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    auto a = random_row(random, n);
    const auto b = random_row(random, n);
    GuardedBuffer<float> expected(n), actual(n);
    scalar().mul(a.data(), b.data(), n, expected.data());
    table.mul(a.data(), b.data(), n, actual.data());
    require_same_bits<float>(expected, actual, "mul, " + at(seed, n));
    auto expected_sum = b, sum = b;
    scalar().add_scaled(a.data(), n, 0.37f, expected_sum.data());
    table.add_scaled(a.data(), n, 0.37f, sum.data());
    require_same_bits<float>(expected_sum, sum, "add_scaled, " + at(seed, n));
  }
}

BOOST_FIXTURE_TEST_CASE(reference_layer_norm_gelu_and_soft_caps_are_accurate, FlushDenormals) {
  for (int i = -200000; i <= 200000; i += sanitized ? 20 : 1) {
    const float x = static_cast<float>(i) * 6e-5f;
    float tanh_kind = 0.0f, erf_kind = 0.0f, capped = 0.0f;
    scalar().gelu_tanh(&x, 1, &tanh_kind);
    scalar().gelu_erf(&x, 1, &erf_kind);
    scalar().soft_cap(&x, 1, 3.0f, &capped);
    const double u = std::sqrt(2.0 / std::acos(-1.0)) * (double{x} + 0.044715 * std::pow(double{x}, 3));
    const double size = std::max(1.0, std::abs(double{x}));
    BOOST_REQUIRE_SMALL(double{tanh_kind} - 0.5 * double{x} * (1 + std::tanh(u)), 4e-7 * size);
    BOOST_REQUIRE_SMALL(double{erf_kind} - 0.5 * double{x} * (1 + std::erf(double{x} / std::sqrt(2.0))), 4e-7 * size);
    BOOST_REQUIRE_SMALL(double{capped} - 3 * std::tanh(double{x} / 3), 4e-7 * std::abs(double{capped}));
  }
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    const std::uint32_t n = random.between(2, 3000);
    GuardedBuffer<float> x(n), w(n), b(n), y(n);
    random.fill(x, Values::plain);
    random.fill(w, Values::plain);
    random.fill(b, Values::plain);
    for (float& value : x) value += 0.5f;
    scalar().layer_norm(x.data(), w.data(), b.data(), 1e-5f, n, y.data());
    double mean = 0.0, variance = 0.0;
    for (const float value : std::span<const float>(x)) mean += double{value} / n;
    for (const float value : std::span<const float>(x)) variance += std::pow(double{value} - mean, 2) / n;
    for (std::size_t i = 0; i < n; ++i) {
      const double exact = (double{x[i]} - mean) / std::sqrt(variance + double{1e-5f}) * double{w[i]} + double{b[i]};
      BOOST_REQUIRE_SMALL(double{y[i]} - exact, 3e-5);
    }
  }
  const float far[] = {kInfinity, -1e30f, 1e30f};
  float result[3];
  scalar().gelu_erf(far, 3, result);
  BOOST_TEST(result[1] == 0.0f);
  BOOST_TEST(result[2] == 1e30f);
  const float low = -1000.0f;
  scalar().gelu_tanh(&low, 1, result);
  BOOST_REQUIRE_SMALL(result[0], 1e-30f);
}

KERNEL_TEST(the_largest_value_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    auto x = random_row(random, n);
    if (random.chance(3)) {  // zeros of both signs and denormals on top of negative numbers
      for (float& value : x) value = random.chance(3) ? std::bit_cast<float>(random.bits() & 0x80000003u) : -1.0f;
    }
    if (random.chance(5)) x[random.between(0, n - 1)] = -kInfinity;
    const float expected = scalar().max(x.data(), n), actual = table.max(x.data(), n);
    require_same_bits<float>({&expected, 1}, {&actual, 1}, at(seed, n));
  }
}

KERNEL_TEST(sums_of_exponentials_agree_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    auto x = random_row(random, n, random.chance(2) ? 1.0f : 50.0f);
    if (random.chance(3)) x[random.between(0, n - 1)] = -kInfinity;
    const float shift = scalar().max(x.data(), n) == -kInfinity ? 0.0f : scalar().max(x.data(), n);
    const float expected = scalar().exp_sum(x.data(), n, shift), actual = table.exp_sum(x.data(), n, shift);
    require_same_bits<float>({&expected, 1}, {&actual, 1}, at(seed, n));
  }
}

KERNEL_TEST(exp_agrees_with_the_reference_over_the_whole_range) {
  // Every 1,021st bit pattern that is a number, and the places where something changes.
  GuardedBuffer<float> x(4096 + 7), expected(x.size()), actual(x.size());
  std::uint32_t bits = 0;
  const auto next = [&bits] {
    bits += 1021 * 256;
    const float value = std::bit_cast<float>(bits);
    return std::isnan(value) ? 1.0f : value;
  };
  for (int round = 0; round < 24; ++round) {
    for (float& value : x) value = next();
    const float edges[] = {0.0f,
                           -0.0f,
                           -87.0f,
                           88.0f,
                           kInfinity,
                           -kInfinity,
                           std::nextafter(-87.0f, -88.0f),
                           std::nextafter(88.0f, 89.0f),
                           std::numeric_limits<float>::denorm_min(),
                           0.34657359f};
    for (std::size_t i = 0; i < std::size(edges); ++i) x[i * 5 + static_cast<std::size_t>(round)] = edges[i];
    scalar().exp(x.data(), x.size(), expected.data());
    table.exp(x.data(), x.size(), actual.data());
    require_same_bits<float>(expected, actual, "round " + std::to_string(round));
    for (std::size_t n = 0; n < 40; ++n) {
      GuardedBuffer<float> head(n), result(n);
      for (std::size_t i = 0; i < n; ++i) head[i] = x[i];
      table.exp(head.data(), n, result.data());
      require_same_bits<float>(std::span<const float>(expected).first(n), result, "n " + std::to_string(n));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(reference_exp_is_within_two_units_in_the_last_place, FlushDenormals) {
  Random random(1);
  for (int i = 0; i < 200000; ++i) {
    const float x =
        static_cast<float>(random.between(0, 1750000)) * 1e-4f - 87.0f + random.value(Values::plain) * 1e-4f;
    if (x < -87.0f || x > 88.0f) continue;
    float y = 0.0f;
    scalar().exp(&x, 1, &y);
    BOOST_REQUIRE_SMALL(double{y} / std::exp(double{x}) - 1.0, 2 * 0x1p-23);
  }
  const float special[] = {0.0f, -0.0f, -kInfinity, -87.1f};
  float result[4];
  scalar().exp(special, 4, result);
  BOOST_TEST(result[0] == 1.0f);
  BOOST_TEST(result[1] == 1.0f);
  BOOST_TEST(result[2] == 0.0f);
  BOOST_TEST(result[3] == 0.0f);
}

BOOST_FIXTURE_TEST_CASE(reference_norm_rope_swiglu_and_exp_sum_are_accurate, FlushDenormals) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    const std::uint32_t n = random_length(random);
    GuardedBuffer<float> x(n), w(n), y(n);
    random.fill(x, Values::plain);
    random.fill(w, Values::plain);

    scalar().rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
    double squares = 0.0, exponentials = 0.0;
    for (const float value : std::span<const float>(x)) {
      squares += double{value} * double{value};
      exponentials += std::exp(double{value} - 0.5);
    }
    const double r = 1.0 / std::sqrt(squares / n + double{1e-5f});
    const double sum_rounding = 0x1p-24 * (n / 16.0 + 8);
    for (std::size_t i = 0; i < n; ++i) {
      const double exact = double{x[i]} * r * double{w[i]};
      BOOST_REQUIRE_SMALL(double{y[i]} - exact, sum_rounding * std::abs(exact) + 1e-30);
    }
    BOOST_REQUIRE_SMALL(double{scalar().exp_sum(x.data(), n, 0.5f)} / exponentials - 1.0, sum_rounding + 0x1p-22);

    scalar().swiglu(x.data(), w.data(), n, y.data());
    for (std::size_t i = 0; i < n; ++i) {
      const double exact = double{x[i]} / (1.0 + std::exp(-double{x[i]})) * double{w[i]};
      BOOST_REQUIRE_SMALL(double{y[i]} - exact, 8 * 0x1p-24 * std::abs(exact) + 1e-30);
    }

    const double angle = double{random.value(Values::plain)} * 3.0;
    float pair[2] = {x[0], w[0]};
    const float c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
    scalar().rope(pair, &c, &s, 1);
    BOOST_REQUIRE_SMALL(double{pair[0]} - (double{x[0]} * std::cos(angle) - double{w[0]} * std::sin(angle)),
                        4 * 0x1p-24);
    BOOST_REQUIRE_SMALL(double{pair[1]} - (double{w[0]} * std::cos(angle) + double{x[0]} * std::sin(angle)),
                        4 * 0x1p-24);
  }
}
