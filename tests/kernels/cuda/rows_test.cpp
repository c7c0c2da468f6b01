// Forms of activations, residual and norm, SwiGLU, embedding: the device against the reference.
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/tensor/canonical_tree.hpp"
#include "tests/kernels/cuda/device.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/matmul_cases.hpp"
#include "tests/support/sanitizers.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr tessera_weight_format all_formats[] = {TESSERA_WEIGHTS_F32, TESSERA_WEIGHTS_BF16, TESSERA_WEIGHTS_Q8,
                                                 TESSERA_WEIGHTS_Q4};
constexpr int kCases = sanitized ? 40 : 200;

std::uint32_t random_length(Random& random) {
  return random.chance(8) ? random.between(1000, 9000) : random.between(1, 300);
}

std::vector<float> random_values(Random& random, std::size_t n, Values kind) {
  std::vector<float> values(n);
  random.fill(values, kind);
  return values;
}

std::string at(std::uint64_t seed, int format, std::uint32_t rows, std::uint32_t n) {
  return "seed " + std::to_string(seed) + ", format " + std::to_string(format) + ", " + std::to_string(rows) +
         " rows of " + std::to_string(n);
}

/// Rows on the device are what the reference makes of `rows` [rows][n], padding of pairs and blocks included.
void require_form(const DeviceRows& actual, tessera_weight_format format, const std::vector<float>& rows,
                  std::uint32_t count, std::uint32_t n, const std::string& what) {
  const std::vector<std::uint8_t> bytes = actual.values();
  const std::size_t row_bytes = actual.ld() * value_bytes(format);
  const std::span<const std::uint8_t> all(bytes);
  for (std::uint32_t row = 0; row < count; ++row) {
    const float* const x = rows.data() + std::size_t{row} * n;
    const auto own = all.subspan(row * row_bytes, row_bytes);
    if (format == TESSERA_WEIGHTS_F32) {
      require_same_bits<std::uint8_t>({reinterpret_cast<const std::uint8_t*>(x), n * sizeof(float)},
                                      own.first(n * sizeof(float)), what);
    } else if (format == TESSERA_WEIGHTS_BF16) {
      std::vector<std::uint16_t> expected(round_up(n, 2), 0);
      scalar().round_bf16(x, n, expected.data());
      require_same_bits<std::uint8_t>({reinterpret_cast<const std::uint8_t*>(expected.data()), expected.size() * 2},
                                      own.first(expected.size() * 2), what);
    } else {
      QuantizedRows expected(1, n);
      const tessera_q8_rows view = expected.view();
      scalar().quantize_rows(x, n, 1, n, &view);
      require_same_bits<std::uint8_t>(
          {reinterpret_cast<const std::uint8_t*>(expected.values().data()), expected.values().size()},
          own.first(expected.values().size()), what);
      const std::vector<float> scales = actual.scales();
      require_same_bits<float>(
          expected.scales(), std::span<const float>(scales).subspan(row * (actual.ld() / 32), expected.scales().size()),
          "scales, " + what);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(device_rows)

BOOST_FIXTURE_TEST_CASE(forms_of_activations_agree_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  for (const tessera_weight_format format : all_formats) {
    for (std::uint64_t seed = 0; seed < kCases; ++seed) {
      Random random(seed);
      const std::uint32_t rows = random.between(1, 5), n = random_length(random);
      auto x = random_values(random, std::size_t{rows} * n, random.pick(all_values));
      if (random.chance(3)) {  // exact halves: rounding goes to the even number
        for (float& value : x) value = static_cast<float>(static_cast<int>(random.between(0, 254)) - 127) * 0.5f;
        x[0] = 127.0f;
      }
      const DeviceArray<float> on(device, padded_rows(x.data(), n, rows, n));
      const DeviceRows out(device, format, rows, n, random.between(0, 1));
      const tessera_device_prepare_args args{format, on.data(), round_up(n, 4), rows, n, out.view()};
      device.check(device.table().prepare(device.queue(), &args));
      require_form(out, format, x, rows, n, at(seed, format, rows, n));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(norms_agree_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  for (const tessera_weight_format format : all_formats) {
    for (std::uint64_t seed = 0; seed < kCases; ++seed) {
      Random random(seed + 500);
      const std::uint32_t rows = random.between(1, 4), n = random_length(random);
      const auto x = random_values(random, std::size_t{rows} * n, random.pick(all_values));
      const auto weight = random_values(random, n, Values::plain), bias = random_values(random, n, Values::plain);
      const bool layer_norm = random.chance(3);
      std::vector<float> expected(x.size());
      for (std::uint32_t row = 0; row < rows; ++row) {
        const std::size_t first = std::size_t{row} * n;
        if (layer_norm) {
          scalar().layer_norm(x.data() + first, weight.data(), bias.data(), 1e-5f, n, expected.data() + first);
        } else {
          scalar().rms_norm(x.data() + first, weight.data(), 1e-5f, n, expected.data() + first);
        }
      }
      const auto padded = padded_rows(x.data(), n, rows, n);
      DeviceArray<float> on(device, padded);
      const DeviceArray<float> weight_on(device, weight), bias_on(device, bias);
      const DeviceRows out(device, format, rows, n);
      tessera_device_finish_norm_args args{};
      args.x = on.data();
      args.ldx = round_up(n, 4);
      args.rows = rows;
      args.n = n;
      args.weight = weight_on.data();
      args.bias = layer_norm ? bias_on.data() : nullptr;
      args.eps = 1e-5f;
      args.format = format;
      args.out = out.view();
      device.check(device.table().finish_norm(device.queue(), &args));
      require_form(out, format, expected, rows, n, at(seed, format, rows, n) + (layer_norm ? ", LayerNorm" : ""));
      require_same_bits<float>(padded, on.read(), "x stays, " + at(seed, format, rows, n));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(nodes_are_finished_by_the_canonical_tree_and_added_before_the_norm, FlushDenormals) {
  const Device device;
  for (std::uint64_t seed = 0; seed < kCases / 2; ++seed) {
    Random random(seed + 900);
    const std::uint32_t slices = random.chance(10) ? 224 : random.between(1, 20);
    const std::uint32_t rows = random.between(1, 3), n = random.between(1, slices > 100 ? 40 : 1500);
    // Nodes as shards of random runs of slices make them.
    std::vector<SliceRange> nodes;
    for (std::uint32_t begin = 0; begin < slices;) {
      const std::uint32_t end = std::min(slices, begin + random.between(1, 9));
      for (const SliceRange& node : schedule_run(slices, {begin, end}).results) nodes.push_back(node);
      begin = end;
    }
    const TreeSchedule schedule = schedule_finish(slices, nodes);
    const auto x = random_values(random, std::size_t{rows} * n, Values::spread);
    const auto sums = random_values(random, nodes.size() * rows * n, random.pick(all_values));
    const auto weight = random_values(random, n, Values::plain);

    std::vector<float> expected_x(x), expected(x.size());
    for (std::uint32_t row = 0; row < rows; ++row) {
      for (std::uint32_t i = 0; i < n; ++i) {
        std::vector<float> stack;
        for (std::size_t node = 0; node < nodes.size(); ++node) {
          stack.push_back(sums[(node * rows + row) * n + i]);
          for (int merges = schedule.merges_after[node]; merges > 0; --merges) {
            const float right = stack.back();
            stack.pop_back();
            stack.back() = stack.back() + right;
          }
        }
        BOOST_REQUIRE(stack.size() == 1);
        float& value = expected_x[std::size_t{row} * n + i];
        value = value + stack[0];
      }
      scalar().rms_norm(expected_x.data() + std::size_t{row} * n, weight.data(), 1e-6f, n,
                        expected.data() + std::size_t{row} * n);
    }
    const std::size_t ld = round_up(n, 4), node_ld = ld + 4 * random.between(0, 1);
    std::vector<float> padded_sums(nodes.size() * rows * node_ld, 0.5f);
    for (std::size_t row = 0; row < nodes.size() * rows; ++row)
      std::memcpy(padded_sums.data() + row * node_ld, sums.data() + row * n, n * sizeof(float));
    const DeviceArray<float> on(device, padded_rows(x.data(), n, rows, n)), sums_on(device, padded_sums),
        weight_on(device, weight);
    const DeviceRows out(device, TESSERA_WEIGHTS_F32, rows, n);
    tessera_device_finish_norm_args args{};
    args.x = on.data();
    args.ldx = ld;
    args.rows = rows;
    args.n = n;
    args.nodes = sums_on.data();
    args.node_stride = rows * node_ld;
    args.node_ld = node_ld;
    args.merges_after = schedule.merges_after.data();
    args.node_count = static_cast<std::uint32_t>(nodes.size());
    args.weight = weight_on.data();
    args.eps = 1e-6f;
    args.out = out.view();
    device.check(device.table().finish_norm(device.queue(), &args));
    const std::string what = "seed " + std::to_string(seed) + ", slices " + std::to_string(slices);
    const std::vector<float> actual_x = on.read();
    for (std::uint32_t row = 0; row < rows; ++row)
      require_same_bits<float>(std::span<const float>(expected_x).subspan(std::size_t{row} * n, n),
                               std::span<const float>(actual_x).subspan(row * ld, n), "x, " + what);
    require_form(out, TESSERA_WEIGHTS_F32, expected, rows, n, what);
  }
}

BOOST_FIXTURE_TEST_CASE(swiglu_agrees_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  for (const tessera_weight_format format : all_formats) {
    for (std::uint64_t seed = 0; seed < kCases; ++seed) {
      Random random(seed + 1300);
      const std::uint32_t rows = random.between(1, 4), n = random_length(random);
      auto gate = random_values(random, std::size_t{rows} * n, random.pick(all_values));
      const auto up = random_values(random, gate.size(), random.pick(all_values));
      if (random.chance(2)) {
        for (float& value : gate) value *= 60.0f;
      }
      std::vector<float> expected(gate.size());
      scalar().swiglu(gate.data(), up.data(), gate.size(), expected.data());
      const DeviceArray<float> gate_on(device, padded_rows(gate.data(), n, rows, n)),
          up_on(device, padded_rows(up.data(), n, rows, n));
      const DeviceRows out(device, format, rows, n);
      const tessera_device_swiglu_args args{gate_on.data(), up_on.data(), round_up(n, 4), rows, n, format, out.view()};
      device.check(device.table().swiglu(device.queue(), &args));
      require_form(out, format, expected, rows, n, at(seed, format, rows, n));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(rows_of_the_embedding_agree_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  const auto check = [&]<typename Case>(tessera_weight_format format) {
    for (std::uint64_t seed = 0; seed < kCases / 2; ++seed) {
      Random random(seed);
      const std::uint32_t k = random.between(1, 600), tiles = random.between(1, 4), rows = random.between(1, 6);
      const Case made(random, Shape{tiles, 0, tiles, k, 1, 0, 0}, Values::extremes, Values::plain);
      const DeviceArray<std::uint8_t> weights(
          device, {static_cast<const std::uint8_t*>(made.weights.data()), tiles * made.weights.tile_stride()});
      std::vector<std::uint32_t> tokens(rows);
      for (std::uint32_t& token : tokens) token = random.between(0, tiles * 16 - 1);
      const DeviceArray<std::uint32_t> tokens_on(device, tokens);
      const std::size_t ld = k + random.between(0, 3);
      const DeviceArray<float> out(device, rows * ld);
      const tessera_device_embedding_args args{
          format, weights.data(), made.weights.tile_stride(), k, tokens_on.data(), tiles * 16, rows, out.data(), ld};
      device.check(device.table().embedding(device.queue(), &args));
      const std::vector<float> actual = out.read();
      for (std::uint32_t row = 0; row < rows; ++row) {
        std::vector<float> expected(k);
        Case::unpack(scalar())(made.weights.tile(tokens[row] / 16), tokens[row] % 16, k, expected.data());
        require_same_bits<float>(expected, std::span<const float>(actual).subspan(row * ld, k),
                                 std::string(Case::name) + ", seed " + std::to_string(seed));
      }
    }
  };
  check.template operator()<F32Case>(TESSERA_WEIGHTS_F32);
  check.template operator()<Bf16Case>(TESSERA_WEIGHTS_BF16);
  check.template operator()<Q8Case>(TESSERA_WEIGHTS_Q8);
  check.template operator()<Q4Case>(TESSERA_WEIGHTS_Q4);
}

BOOST_AUTO_TEST_CASE(a_token_beyond_the_vocabulary_gives_nan_and_reads_nothing) {
  const Device device;
  const DeviceArray<float> weights(device, std::vector<float>(16 * 8, 1.0f)), out(device, 16);
  const DeviceArray<std::uint32_t> tokens(device, std::vector<std::uint32_t>{3, 0xfffffff0u});
  const tessera_device_embedding_args args{
      TESSERA_WEIGHTS_F32, weights.data(), 16 * 8 * 4, 8, tokens.data(), 16, 2, out.data(), 8};
  device.check(device.table().embedding(device.queue(), &args));
  const std::vector<float> values = out.read();
  for (std::size_t i = 0; i < 8; ++i) {
    BOOST_TEST(values[i] == 1.0f);
    BOOST_TEST(values[8 + i] != values[8 + i]);
  }
}

BOOST_AUTO_TEST_CASE(sums_that_do_not_end_in_one_root_are_refused) {
  const Device device;
  const DeviceArray<float> x(device, 8), nodes(device, 16);
  const auto refusal = [&](std::vector<std::uint8_t> merges) {
    tessera_device_finish_norm_args args{};
    args.x = x.data();
    args.ldx = args.n = args.node_ld = args.node_stride = 8;
    args.rows = 1;
    args.nodes = nodes.data();
    args.node_count = static_cast<std::uint32_t>(merges.size());
    args.merges_after = merges.data();
    return device.refusal(device.table().finish_norm(device.queue(), &args));
  };
  BOOST_TEST(refusal({0, 0}).find("1 sums are left beside the root") != std::string::npos);
  BOOST_TEST(refusal({1, 0}).find("node 0 is merged with nothing") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
