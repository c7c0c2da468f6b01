// Pieces of the softmax over the vocabulary, single elements, and recorded work.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/cuda/device.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/random_values.hpp"
#include "tests/support/sanitizers.hpp"

using namespace tessera::test;

namespace {

constexpr int kCases = sanitized ? 40 : 200;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

BOOST_AUTO_TEST_SUITE(device_values)

BOOST_FIXTURE_TEST_CASE(largest_logits_and_sums_of_slices_agree_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const std::uint32_t rows = random.between(1, 4), slice = random.chance(2) ? 1024 : random.between(1, 200);
    const std::uint32_t n = random.chance(6) ? random.between(3000, 9000) : random.between(1, 700);
    const std::size_t ld = round_up(n, 4), slices = (n + slice - 1) / slice;
    std::vector<float> x(rows * ld);
    random.fill(x, random.pick(all_values));
    if (random.chance(3)) {  // zeros of both signs and denormals on top of negative numbers
      for (float& value : x) value = random.chance(3) ? std::bit_cast<float>(random.bits() & 0x80000003u) : -1.0f;
    }
    if (random.chance(2)) {
      for (float& value : x) value *= 50.0f;
    }
    if (n > 1 && random.chance(4)) x[random.between(1, n - 1)] = -kInfinity;
    const DeviceArray<float> on(device, x), maxima(device, rows), sums(device, rows * slices);
    tessera_device_logits_args args{};
    args.x = on.data();
    args.ld = ld;
    args.rows = rows;
    args.n = n;
    args.slice = slice;
    args.maxima = maxima.data();
    args.shifts = maxima.data();
    args.sums = sums.data();
    device.check(device.table().logits(device.queue(), &args));
    std::vector<float> expected_maxima, expected_sums;
    for (std::uint32_t row = 0; row < rows; ++row) {
      const float* const first = x.data() + row * ld;
      expected_maxima.push_back(scalar().max(first, n));
      for (std::uint32_t begin = 0; begin < n; begin += slice)
        expected_sums.push_back(scalar().exp_sum(first + begin, std::min(slice, n - begin), expected_maxima.back()));
    }
    const std::string what = "seed " + std::to_string(seed) + ", n " + std::to_string(n);
    require_same_bits<float>(expected_maxima, maxima.read(), "maxima, " + what);
    require_same_bits<float>(expected_sums, sums.read(), "sums, " + what);
  }
}

BOOST_FIXTURE_TEST_CASE(operations_on_elements_agree_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  using Reference = void (*)(const float* a, const float* b, float factor, std::size_t n, float* out);
  struct Operation {
    tessera_device_elementwise op;
    bool binary;
    Reference reference;
  };
  const Operation operations[] = {
      {TESSERA_DEVICE_ADD, true,
       [](const float* a, const float* b, float, std::size_t n, float* out) { scalar().add(a, b, n, out); }},
      {TESSERA_DEVICE_MUL, true,
       [](const float* a, const float* b, float, std::size_t n, float* out) { scalar().mul(a, b, n, out); }},
      {TESSERA_DEVICE_SCALE, false,
       [](const float* a, const float*, float f, std::size_t n, float* out) { scalar().scale(a, n, f, out); }},
      {TESSERA_DEVICE_ADD_SCALED, false,
       [](const float* a, const float*, float f, std::size_t n, float* out) { scalar().add_scaled(a, n, f, out); }},
      {TESSERA_DEVICE_SOFT_CAP, false,
       [](const float* a, const float*, float f, std::size_t n, float* out) { scalar().soft_cap(a, n, f, out); }},
      {TESSERA_DEVICE_GELU_TANH, false,
       [](const float* a, const float*, float, std::size_t n, float* out) { scalar().gelu_tanh(a, n, out); }},
      {TESSERA_DEVICE_GELU_ERF, false,
       [](const float* a, const float*, float, std::size_t n, float* out) { scalar().gelu_erf(a, n, out); }},
      {TESSERA_DEVICE_EXP, false,
       [](const float* a, const float*, float, std::size_t n, float* out) { scalar().exp(a, n, out); }},
  };
  for (const Operation& operation : operations) {
    for (std::uint64_t seed = 0; seed < kCases / 2; ++seed) {
      Random random(seed);
      const std::uint32_t rows = random.between(1, 3), n = random.between(1, 900);
      std::vector<float> a(std::size_t{rows} * n), b(random.chance(2) ? n : a.size()), before(a.size());
      random.fill(a, random.pick(all_values));
      random.fill(b, random.pick(all_values));
      random.fill(before, Values::plain);
      if (random.chance(2)) {
        for (float& value : a) value *= 60.0f;
      }
      if (!operation.binary && operation.op >= TESSERA_DEVICE_GELU_TANH)
        a[0] = random.chance(2) ? kInfinity : -kInfinity;
      const bool one_row = b.size() != a.size();
      const DeviceArray<float> a_on(device, a), b_on(device, b);
      DeviceArray<float> out(device, before);
      tessera_device_elementwise_args args{};
      args.op = operation.op;
      args.a = a_on.data();
      args.b = operation.binary ? b_on.data() : nullptr;
      args.out = out.data();
      args.a_ld = args.out_ld = n;
      args.b_ld = one_row ? 0 : n;
      args.rows = rows;
      args.n = n;
      args.factor = 0.37f;
      device.check(device.table().elementwise(device.queue(), &args));
      for (std::size_t row = 0; row < rows; ++row)
        operation.reference(a.data() + row * n, b.data() + (one_row ? 0 : row * n), 0.37f, n, before.data() + row * n);
      require_same_bits<float>(before, out.read(),
                               "op " + std::to_string(operation.op) + ", seed " + std::to_string(seed));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(exp_agrees_with_the_reference_over_the_whole_range, FlushDenormals) {
  const Device device;
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += sanitized ? 1021 * 64 : 1021 * 8) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (value == value) x.push_back(value);
  }
  for (const float edge : {0.0f, -0.0f, -87.0f, 88.0f, kInfinity, -kInfinity, std::nextafter(-87.0f, -88.0f),
                           std::nextafter(88.0f, 89.0f), std::numeric_limits<float>::denorm_min(), 0.34657359f})
    x.push_back(edge);
  std::vector<float> expected(x.size());
  scalar().exp(x.data(), x.size(), expected.data());
  const DeviceArray<float> on(device, x), out(device, x.size());
  tessera_device_elementwise_args args{};
  args.op = TESSERA_DEVICE_EXP;
  args.a = on.data();
  args.out = out.data();
  args.rows = 1;
  args.n = static_cast<std::uint32_t>(x.size());
  args.a_ld = args.out_ld = x.size();
  device.check(device.table().elementwise(device.queue(), &args));
  require_same_bits<float>(expected, out.read(), "exp");
}

BOOST_AUTO_TEST_CASE(recorded_work_runs_when_it_is_replayed_on_what_its_addresses_hold_then) {
  const Device device;
  const auto& table = device.table();
  DeviceArray<float> a(device, std::vector<float>{1, 2, 3}), out(device, 3);
  tessera_device_elementwise_args args{};
  args.op = TESSERA_DEVICE_SCALE;
  args.a = a.data();
  args.out = out.data();
  args.rows = 1;
  args.n = 3;
  args.a_ld = args.out_ld = 3;
  args.factor = 2.0f;
  device.check(table.record_begin(device.queue()));
  device.check(table.elementwise(device.queue(), &args));
  args.a = out.data();  // and once more, on the result
  device.check(table.elementwise(device.queue(), &args));
  const std::string said = device.refusal(table.wait(device.queue()));
  BOOST_TEST(said == "wait: work is being recorded");
  tessera_device_graph* graph = nullptr;
  device.check(table.record_end(device.queue(), &graph));
  for (const float value : out.read()) BOOST_REQUIRE(std::bit_cast<std::uint32_t>(value) == 0xffffffffu);
  device.check(table.replay(device.queue(), graph));
  BOOST_TEST((out.read() == std::vector<float>{4, 8, 12}));
  a.write(std::vector<float>{10, 20, 30});
  device.check(table.replay(device.queue(), graph));
  BOOST_TEST((out.read() == std::vector<float>{40, 80, 120}));
  table.graph_release(device.queue(), graph);
  BOOST_TEST(device.refusal(table.record_end(device.queue(), &graph)).find("nothing is being recorded") !=
             std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
