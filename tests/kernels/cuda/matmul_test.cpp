// Matrices of the device against the reference: formats, odd shapes, every way of cutting rows into blocks, and sums of
// units by the canonical tree.
#include <cstdint>
#include <string>
#include <vector>

#include "tests/kernels/cuda/device.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/matmul_cases.hpp"
#include "tests/support/sanitizers.hpp"

using namespace tessera::test;

namespace {

template <typename Case>
constexpr tessera_weight_format format_of = TESSERA_WEIGHTS_F32;
template <>
constexpr tessera_weight_format format_of<Bf16Case> = TESSERA_WEIGHTS_BF16;
template <>
constexpr tessera_weight_format format_of<Q8Case> = TESSERA_WEIGHTS_Q8;
template <>
constexpr tessera_weight_format format_of<Q4Case> = TESSERA_WEIGHTS_Q4;

std::uint32_t padded_k(tessera_weight_format format, std::uint32_t k) {
  const std::uint32_t multiple = format == TESSERA_WEIGHTS_F32 ? 1 : format == TESSERA_WEIGHTS_BF16 ? 2 : 32;
  return static_cast<std::uint32_t>(round_up(k, multiple));
}

/// A matrix and rows of activations on the device.
template <typename Case>
struct OnDevice {
  static constexpr tessera_weight_format format = format_of<Case>;
  const Device& device;
  std::uint32_t rows, k;
  DeviceArray<std::uint8_t> weights;
  DeviceArray<float> x;
  DeviceRows prepared;

  OnDevice(const Device& on, const Case& made, const Shape& shape, std::size_t slack)
      : device(on),
        rows(shape.tokens),
        k(shape.k),
        weights(on, {static_cast<const std::uint8_t*>(made.weights.data()), shape.tiles * made.weights.tile_stride()}),
        x(on, padded_rows(made.x.data(), made.ldx, rows, k)),
        prepared(on, format, rows, k, slack) {
    const tessera_device_prepare_args args{format, x.data(), round_up(k, 4), rows, k, prepared.view()};
    device.check(device.table().prepare(device.queue(), &args));
  }

  tessera_device_matmul_args args(const Case& made, std::uint32_t tiles) const {
    tessera_device_matmul_args args{};
    args.format = format;
    args.weights = weights.data();
    args.tile_stride = made.weights.tile_stride();
    args.unit_stride = tiles * made.weights.tile_stride();
    args.tiles = tiles;
    args.k = padded_k(format, k);
    args.rows = rows;
    args.x = prepared.view();
    return args;
  }
};

/// y of all tiles by the device, [tokens][ldy] with the slack that must stay poisoned.
template <typename Case>
std::vector<float> multiply(const OnDevice<Case>& on, const Case& made, const Shape& shape) {
  DeviceArray<float> y(on.device, shape.tokens * shape.ldy());
  const tessera_tree_node node{0, 1};
  tessera_device_matmul_args args = on.args(made, shape.tiles);
  args.nodes = &node;
  args.node_count = 1;
  args.y = y.data();
  args.ldy = shape.ldy();
  on.device.check(on.device.table().matmul(on.device.queue(), &args));
  return y.read();
}

void require_rows(const GuardedBuffer<float>& expected, const std::vector<float>& actual, const Shape& shape,
                  const std::string& what) {
  const std::size_t n = shape.tiles * std::size_t{TESSERA_LANES};
  const std::vector<float> poison(shape.slack_y, std::bit_cast<float>(0xffffffffu));
  for (std::size_t row = 0; row < shape.tokens; ++row) {
    const std::span<const float> all(actual);
    require_same_bits<float>(std::span<const float>(expected).subspan(row * shape.ldy(), n),
                             all.subspan(row * shape.ldy(), n), what + ", row " + std::to_string(row));
    require_same_bits<float>(poison, all.subspan(row * shape.ldy() + n, shape.slack_y), "slack of " + what);
  }
}

Shape whole(Shape shape) {
  shape.tile_begin = 0;
  shape.tile_end = shape.tiles;
  shape.accumulate = shape.has_next = false;
  return shape;
}

float tree_sum(const std::vector<float>& leaves, std::uint32_t begin, std::uint32_t end) {
  if (end - begin == 1) return leaves[begin];
  const std::uint32_t middle = (begin + end) / 2;
  return tree_sum(leaves, begin, middle) + tree_sum(leaves, middle, end);
}

/// Nodes of the tree over [begin, end) that tile it, none with more than units_max units, cut at random.
void cut_tree(Random& random, std::uint32_t begin, std::uint32_t end, std::uint32_t units_max,
              std::vector<tessera_tree_node>& nodes) {
  if (end - begin == 1 || (end - begin <= units_max && random.chance(2))) {
    nodes.push_back({begin, end});
    return;
  }
  cut_tree(random, begin, (begin + end) / 2, units_max, nodes);
  cut_tree(random, (begin + end) / 2, end, units_max, nodes);
}

constexpr int kCases = sanitized ? 25 : 120;

}  // namespace

BOOST_AUTO_TEST_SUITE(device_matmul)

BOOST_FIXTURE_TEST_CASE(matrices_agree_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  for_each_format([&]<typename Case>() {
    for (std::uint64_t seed = 0; seed < kCases; ++seed) {
      Random random(seed);
      const Shape shape = whole(random_shape(random));
      const Case made(random, shape, random.pick(all_values), random.pick(all_values));
      const OnDevice<Case> on(device, made, shape, random.between(0, 2));
      require_rows(made.multiply(scalar(), shape, 0, shape.tokens), multiply(on, made, shape), shape,
                   std::string(Case::name) + ", " + shape.text(seed));
    }
  });
}

BOOST_FIXTURE_TEST_CASE(every_number_of_rows_gives_the_same_bits, FlushDenormals) {
  const Device device;
  for_each_format([&]<typename Case>() {
    Random random(5);
    Shape shape{3, 0, 3, 190, 70, 0, 0};
    const Case made(random, shape, Values::spread, Values::spread);
    const auto expected = made.multiply(scalar(), shape, 0, 70);
    for (const std::uint32_t rows : {1u, 2u, 3u, 7u, 8u, 9u, 15u, 63u, 64u, 65u, 70u}) {
      shape.tokens = rows;
      const OnDevice<Case> on(device, made, shape, 0);
      require_rows(expected, multiply(on, made, shape), shape, std::string(Case::name) + ", " + std::to_string(rows));
    }
  });
}

BOOST_FIXTURE_TEST_CASE(units_are_added_by_the_canonical_tree_in_any_cut_of_it, FlushDenormals) {
  const Device device;
  for_each_format([&]<typename Case>() {
    for (std::uint64_t seed = 0; seed < kCases / 3; ++seed) {
      Random random(seed + 77);
      const std::uint32_t units = random.between(1, 23), tiles = random.between(1, 4),
                          unit_k = 32 * random.between(1, 5);
      const std::uint32_t rows = random.chance(4) ? random.between(9, 20) : random.between(1, 8);
      // The units of a matrix lie one after the other, as more tiles would.
      const Shape stacked{tiles * units, 0, tiles * units, unit_k, rows, 0, 0};
      const Case made(random, stacked, Values::spread, Values::plain);
      std::vector<float> x(rows * std::size_t{units} * unit_k);
      random.fill(x, random.pick(all_values));

      // What the reference makes of every unit with its columns.
      const std::size_t n = tiles * std::size_t{TESSERA_LANES};
      std::vector<std::vector<float>> partials;  // [unit][rows * n]
      for (std::uint32_t unit = 0; unit < units; ++unit) {
        Case part = made;
        for (std::size_t row = 0; row < rows; ++row)
          std::memcpy(part.x.data() + row * part.ldx, x.data() + (row * units + unit) * unit_k, unit_k * sizeof(float));
        Shape one = stacked;
        one.tile_begin = unit * tiles;
        one.tile_end = one.tile_begin + tiles;
        const auto y = part.multiply(scalar(), one, 0, rows);
        partials.emplace_back(y.data(), y.data() + rows * n);
      }

      std::vector<tessera_tree_node> nodes;
      cut_tree(random, 0, units, TESSERA_DEVICE_NODE_UNITS_MAX, nodes);
      // A shard holds the units from some node on.
      const std::size_t skipped = random.between(0, static_cast<std::uint32_t>(nodes.size() - 1));
      const std::uint32_t first = nodes[skipped].begin;
      nodes.erase(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(skipped));

      const std::uint32_t own_k = (units - first) * unit_k;
      std::vector<float> own_x;
      for (std::size_t row = 0; row < rows; ++row)
        own_x.insert(own_x.end(), x.begin() + static_cast<std::ptrdiff_t>((row * units + first) * unit_k),
                     x.begin() + static_cast<std::ptrdiff_t>((row + 1) * units * unit_k));
      const DeviceArray<std::uint8_t> weights(device,
                                              {static_cast<const std::uint8_t*>(made.weights.tile(first * tiles)),
                                               (units - first) * tiles * made.weights.tile_stride()});
      const DeviceArray<float> x_on(device, own_x);
      const DeviceRows prepared(device, format_of<Case>, rows, own_k);
      const tessera_device_prepare_args prepare{format_of<Case>, x_on.data(), own_k, rows, own_k, prepared.view()};
      device.check(device.table().prepare(device.queue(), &prepare));
      const std::size_t ldy = n + random.between(0, 2), node_stride = rows * ldy + random.between(0, 3);
      DeviceArray<float> y(device, nodes.size() * node_stride);
      tessera_device_matmul_args args{};
      args.format = format_of<Case>;
      args.weights = weights.data();
      args.tile_stride = made.weights.tile_stride();
      args.unit_stride = tiles * args.tile_stride;
      args.unit_first = first;
      args.tiles = tiles;
      args.k = unit_k;
      args.nodes = nodes.data();
      args.node_count = static_cast<std::uint32_t>(nodes.size());
      args.rows = rows;
      args.x = prepared.view();
      args.y = y.data();
      args.ldy = ldy;
      args.node_stride = node_stride;
      device.check(device.table().matmul(device.queue(), &args));
      const std::vector<float> actual = y.read();

      std::vector<float> leaves(units);
      for (std::size_t node = 0; node < nodes.size(); ++node) {
        for (std::size_t row = 0; row < rows; ++row) {
          std::vector<float> expected(n);
          for (std::size_t i = 0; i < n; ++i) {
            for (std::uint32_t unit = 0; unit < units; ++unit) leaves[unit] = partials[unit][row * n + i];
            expected[i] = tree_sum(leaves, nodes[node].begin, nodes[node].end);
          }
          require_same_bits<float>(expected, std::span<const float>(actual).subspan(node * node_stride + row * ldy, n),
                                   std::string(Case::name) + ", seed " + std::to_string(seed) + ", units " +
                                       std::to_string(units) + ", node " + std::to_string(node) + " of " +
                                       std::to_string(nodes.size()));
        }
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(what_breaks_the_contract_is_refused_by_name_and_nothing_is_written) {
  const Device device;
  Random random(3);
  const Shape shape{2, 0, 2, 64, 3, 0, 0};
  const Bf16Case made(random, shape, Values::plain, Values::plain);
  const OnDevice<Bf16Case> on(device, made, shape, 0);
  DeviceArray<float> y(device, 3 * 32);
  const tessera_tree_node node{0, 1}, empty{1, 1}, large{0, TESSERA_DEVICE_NODE_UNITS_MAX + 1};
  const auto refused = [&](auto change, const std::string& words) {
    tessera_device_matmul_args args = on.args(made, 2);
    args.nodes = &node;
    args.node_count = 1;
    args.y = y.data();
    args.ldy = 32;
    change(args);
    const std::string said = device.refusal(device.table().matmul(device.queue(), &args));
    BOOST_TEST(said.find(words) != std::string::npos, said);
  };
  refused([](auto& a) { a.node_count = 0; }, "0 nodes");
  refused([](auto& a) { a.node_count = TESSERA_DEVICE_NODES_MAX + 1; }, "nodes; 1 to");
  refused([&](auto& a) { a.nodes = &empty; }, "node 0 is [1, 1)");
  refused([&](auto& a) { a.nodes = &large; }, "1 to 8 units");
  refused([](auto& a) { a.k = 63; }, "63 columns");
  refused([](auto& a) { a.x.ld = 60; }, "aligned");
  refused([](auto& a) { a.weights = static_cast<const char*>(a.weights) + 4; }, "aligned");
  refused([](auto& a) { a.ldy = 31; }, "rows of y are 31 floats, 32 needed");
  refused([](auto& a) { a.format = TESSERA_WEIGHTS_Q8, a.x.scales = nullptr; }, "need scales");
  for (const float value : y.read()) BOOST_REQUIRE(std::bit_cast<std::uint32_t>(value) == 0xffffffffu);
}

BOOST_AUTO_TEST_SUITE_END()
