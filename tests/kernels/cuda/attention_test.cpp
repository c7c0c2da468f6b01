// RoPE, the write into KV pages and attention over them: batches of sequences on the device against the reference, one
// head at a time.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/cuda/device.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/random_values.hpp"
#include "tests/support/sanitizers.hpp"

using namespace tessera::test;

namespace {

constexpr std::uint32_t kHeadDims[] = {2, 6, 8, 12, 16, 24, 40, 64, 80, 96, 128, 256};
constexpr std::uint32_t kPageSizes[] = {16, 32, 64, 128};

/// Rows of several sequences in one paged cache of several heads, and where heads lie in their rows.
struct Batch {
  std::uint32_t head_dim, kv_heads, group, page_positions, slice_heads;
  bool bf16;
  std::vector<std::uint32_t> lengths;     // of each sequence
  std::vector<std::uint32_t> sequences;   // of each row
  std::vector<std::uint32_t> positions;   // of each row
  std::vector<std::uint32_t> page_table;  // [sequences][pages_max]
  std::size_t pages_max = 0, pages = 0;

  std::uint32_t heads() const { return kv_heads * group; }
  std::uint32_t rows() const { return static_cast<std::uint32_t>(sequences.size()); }
  std::size_t element() const { return bf16 ? 2 : 4; }
  std::size_t page_stride() const { return page_positions * head_dim * element() + 32; }
  std::size_t head_stride() const { return pages * page_stride() + 64; }
  std::size_t slice_stride() const { return std::size_t{slice_heads} * head_dim + 16; }
  std::size_t ld(std::uint32_t count) const { return (count + slice_heads - 1) / slice_heads * slice_stride() + 4; }
  std::size_t place(std::uint32_t row, std::uint32_t count, std::uint32_t head) const {
    return row * ld(count) + head / slice_heads * slice_stride() + std::size_t{head} % slice_heads * head_dim;
  }
  std::size_t cache_place(std::uint32_t head, std::uint32_t sequence, std::uint32_t position) const {
    return head * head_stride() + page_table[sequence * pages_max + position / page_positions] * page_stride() +
           position % page_positions * head_dim * element();
  }
  std::string text(std::uint64_t seed) const {
    return "seed " + std::to_string(seed) + ", head_dim " + std::to_string(head_dim) + ", " + std::to_string(kv_heads) +
           " KV heads, group " + std::to_string(group) + ", rows " + std::to_string(rows()) + ", pages of " +
           std::to_string(page_positions) + (bf16 ? ", bf16" : ", f32");
  }
};

Batch random_batch(Random& random, std::uint32_t positions_max) {
  Batch batch{};
  batch.head_dim = random.pick(kHeadDims);
  batch.kv_heads = random.between(1, 3);
  batch.group = random.chance(6) ? random.between(9, 18) : random.between(1, 8);
  batch.page_positions = random.pick(kPageSizes);
  batch.slice_heads = random.between(1, batch.heads());
  batch.bf16 = random.chance(2);
  const std::uint32_t sequences = random.between(1, 3);
  for (std::uint32_t i = 0; i < sequences; ++i) {
    batch.lengths.push_back(random.between(1, positions_max));
    batch.pages_max =
        std::max<std::size_t>(batch.pages_max, (batch.lengths[i] + batch.page_positions - 1) / batch.page_positions);
  }
  for (std::uint32_t i = 0; i < sequences; ++i)
    for (std::size_t page = 0; page < batch.pages_max; ++page)
      batch.page_table.push_back(
          page * batch.page_positions < batch.lengths[i] ? static_cast<std::uint32_t>(batch.pages++) : 0xffffffffu);
  std::vector<std::uint32_t> order(batch.pages);
  for (std::uint32_t i = 0; i < batch.pages; ++i) order[i] = i;
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[random.between(0, static_cast<std::uint32_t>(i) - 1)]);
  for (std::uint32_t& page : batch.page_table) page = page == 0xffffffffu ? page : order[page];
  // Some rows of each sequence, its last one among them.
  for (std::uint32_t i = 0; i < sequences; ++i) {
    const std::uint32_t count = std::min(batch.lengths[i], random.between(1, 3));
    for (std::uint32_t row = 0; row < count; ++row) {
      batch.sequences.push_back(i);
      batch.positions.push_back(batch.lengths[i] - count + row);
    }
  }
  return batch;
}

/// K and V of every head and position; NaN where nothing was written.
struct Cache {
  std::vector<std::uint8_t> k, v;

  Cache(const Batch& batch, Random& random, Values kind)
      : k(batch.kv_heads * batch.head_stride(), 0xff), v(k.size(), 0xff) {
    for (std::uint32_t head = 0; head < batch.kv_heads; ++head)
      for (std::uint32_t sequence = 0; sequence < batch.lengths.size(); ++sequence)
        for (std::uint32_t position = 0; position < batch.lengths[sequence]; ++position)
          for (auto* const bytes : {&k, &v})
            put(batch, bytes->data() + batch.cache_place(head, sequence, position), random, kind);
  }
  static void put(const Batch& batch, std::uint8_t* to, Random& random, Values kind) {
    std::vector<float> values(batch.head_dim);
    random.fill(values, kind);
    store(batch, values.data(), to);
  }
  static void store(const Batch& batch, const float* values, std::uint8_t* to) {
    if (batch.bf16) {
      scalar().round_bf16(values, batch.head_dim, reinterpret_cast<std::uint16_t*>(to));
    } else {
      std::memcpy(to, values, batch.head_dim * sizeof(float));
    }
  }
};

/// What lies on the device of a batch.
struct OnDevice {
  DeviceArray<std::uint32_t> sequences, positions, page_table;
  DeviceArray<std::uint8_t> k, v;

  OnDevice(const Device& device, const Batch& batch, const Cache& cache)
      : sequences(device, batch.sequences),
        positions(device, batch.positions),
        page_table(device, batch.page_table),
        k(device, cache.k),
        v(device, cache.v) {}
  tessera_device_batch batch(const Batch& of) const {
    return {of.rows(), sequences.data(), positions.data(), page_table.data(), of.pages_max};
  }
  tessera_device_kv kv(const Batch& of) const {
    return {of.bf16, k.data(), v.data(), of.head_stride(), of.page_stride(), of.page_positions, of.head_dim};
  }
};

tessera_device_heads heads_at(const DeviceArray<float>& values, const Batch& batch, std::uint32_t count) {
  return {values.data(), batch.ld(count), count, batch.slice_heads, batch.slice_stride()};
}

struct AttentionOptions {
  std::uint32_t window = 0;
  float soft_cap = 0;
  bool bidirectional = false;
  std::uint32_t head_first = 0, head_count = 0;  // of a shard
};

std::uint32_t length_of(const Batch& batch, const AttentionOptions& options, std::uint32_t row) {
  return options.bidirectional ? batch.lengths[batch.sequences[row]] : batch.positions[row] + 1;
}

/// One row and head by the reference.
std::vector<float> reference(const Batch& batch, const Cache& cache, const AttentionOptions& options, const float* q,
                             std::uint32_t row, std::uint32_t kv_head) {
  std::vector<float> out(batch.head_dim), scratch(TESSERA_ATTENTION_SCRATCH(batch.head_dim));
  const std::uint32_t length = length_of(batch, options, row);
  const std::uint32_t start = options.window != 0 ? length - std::min(length, options.window) : 0;
  float* const out_row = out.data();
  tessera_attention_args args{};
  args.kv_type = batch.bf16 ? TESSERA_KV_BF16 : TESSERA_KV_F32;
  args.k_base = cache.k.data() + kv_head * batch.head_stride();
  args.v_base = cache.v.data() + kv_head * batch.head_stride();
  args.page_stride = batch.page_stride();
  args.page_ids = batch.page_table.data() + batch.sequences[row] * batch.pages_max;
  args.page_positions = batch.page_positions;
  args.head_dim = batch.head_dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(batch.head_dim));
  args.queries = 1;
  args.q = &q;
  args.out = &out_row;
  args.lengths = &length;
  args.starts = &start;
  args.soft_cap = options.soft_cap;
  args.scratch = scratch.data();
  scalar().attention(&args);
  return out;
}

void check_attention(const Device& device, Random& random, const Batch& batch, const AttentionOptions& options,
                     const std::string& what) {
  const Values kind = random.chance(3) ? Values::extremes : Values::plain;
  const Cache cache(batch, random, kind);
  const std::uint32_t heads = options.head_count != 0 ? options.head_count : batch.heads();
  std::vector<float> q(batch.rows() * batch.ld(heads));
  random.fill(q, kind);
  if (random.chance(4)) {  // sharp: exponentials that vanish
    for (float& value : q) value *= 200.0f;
  }
  const OnDevice on(device, batch, cache);
  const DeviceArray<float> q_on(device, q), out(device, q.size());
  std::vector<std::uint32_t> lengths;
  for (std::uint32_t row = 0; row < batch.rows(); ++row) lengths.push_back(length_of(batch, options, row));
  const DeviceArray<std::uint32_t> lengths_on(device, lengths);
  const std::uint32_t longest = *std::max_element(lengths.begin(), lengths.end());
  const DeviceArray<float> scratch(device,
                                   TESSERA_DEVICE_ATTENTION_SCRATCH(batch.rows(), heads, batch.head_dim, longest));
  const std::uint32_t kv_first = options.head_first / batch.group;
  tessera_device_attention_args args{};
  args.batch = on.batch(batch);
  args.kv = on.kv(batch);
  args.kv.k = on.k.data() + kv_first * batch.head_stride();
  args.kv.v = on.v.data() + kv_first * batch.head_stride();
  args.q = heads_at(q_on, batch, heads);
  args.out = heads_at(out, batch, heads);
  args.head_first = options.head_first;
  args.kv_head_first = kv_first;
  args.kv_heads = (options.head_first + heads + batch.group - 1) / batch.group - kv_first;
  args.group = batch.group;
  args.lengths = options.bidirectional ? lengths_on.data() : nullptr;
  args.length_max = longest;
  args.window = options.window;
  args.scale = 1.0f / std::sqrt(static_cast<float>(batch.head_dim));
  args.soft_cap = options.soft_cap;
  args.scratch = scratch.data();
  device.check(device.table().attention(device.queue(), &args));
  const std::vector<float> actual = out.read();
  std::vector<bool> written(actual.size(), false);
  for (std::uint32_t row = 0; row < batch.rows(); ++row) {
    for (std::uint32_t head = 0; head < heads; ++head) {
      const std::size_t place = batch.place(row, heads, head);
      const auto expected =
          reference(batch, cache, options, q.data() + place, row, (options.head_first + head) / batch.group);
      require_same_bits<float>(expected, std::span<const float>(actual).subspan(place, batch.head_dim),
                               what + ", row " + std::to_string(row) + ", head " + std::to_string(head));
      std::fill_n(written.begin() + static_cast<std::ptrdiff_t>(place), batch.head_dim, true);
    }
  }
  for (std::size_t i = 0; i < actual.size(); ++i)
    BOOST_REQUIRE(written[i] || std::bit_cast<std::uint32_t>(actual[i]) == 0xffffffffu);
}

constexpr int kCases = sanitized ? 12 : 80;

}  // namespace

BOOST_AUTO_TEST_SUITE(device_attention)

BOOST_FIXTURE_TEST_CASE(attention_agrees_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed);
    const Batch batch = random_batch(random, random.chance(3) ? 420 : 140);
    check_attention(device, random, batch, {}, batch.text(seed));
  }
}

BOOST_FIXTURE_TEST_CASE(windows_caps_and_whole_texts_agree_with_the_reference_to_the_bit, FlushDenormals) {
  const Device device;
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed + 1000);
    const Batch batch = random_batch(random, random.chance(3) ? 600 : 140);
    AttentionOptions options;
    options.window = random.chance(3) ? 0 : random.between(1, 300);
    options.soft_cap = random.chance(2) ? 1.5f : 0.0f;
    options.bidirectional = random.chance(3);
    check_attention(device, random, batch, options, batch.text(seed) + ", window " + std::to_string(options.window));
  }
}

BOOST_FIXTURE_TEST_CASE(a_shard_with_a_part_of_the_heads_has_the_bits_of_the_whole, FlushDenormals) {
  const Device device;
  for (std::uint64_t seed = 0; seed < kCases / 2; ++seed) {
    Random random(seed + 2000);
    const Batch batch = random_batch(random, 140);
    AttentionOptions options;
    options.head_first = random.between(0, batch.heads() - 1);
    options.head_count = random.between(1, batch.heads() - options.head_first);
    check_attention(device, random, batch, options,
                    batch.text(seed) + ", heads from " + std::to_string(options.head_first));
  }
}

BOOST_FIXTURE_TEST_CASE(every_length_around_a_run_agrees, FlushDenormals) {
  const Device device;
  Random random(7);
  for (const std::uint32_t length :
       {1u, 2u, 15u, 16u, 17u, 31u, 32u, 33u, 126u, 127u, 128u, 129u, 130u, 143u, 144u, 145u, 255u, 256u, 257u, 260u}) {
    Batch batch{};
    batch.head_dim = 40;
    batch.kv_heads = 1;
    batch.group = batch.slice_heads = 2;
    batch.page_positions = 32;
    batch.bf16 = length % 2 == 0;
    batch.lengths = {length};
    batch.pages = batch.pages_max = (length + 31) / 32;
    for (std::uint32_t i = 0; i < batch.pages; ++i) batch.page_table.push_back(i);
    batch.sequences = {0};
    batch.positions = {length - 1};
    check_attention(device, random, batch, {}, "length " + std::to_string(length));
  }
}

BOOST_FIXTURE_TEST_CASE(rotated_keys_and_values_reach_their_pages_and_nothing_else_changes, FlushDenormals) {
  const Device device;
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    Random random(seed + 3000);
    const Batch batch = random_batch(random, 200);
    Cache cache(batch, random, Values::plain);
    const OnDevice on(device, batch, cache);
    const std::uint32_t half = random.chance(4) ? 0 : random.between(1, batch.head_dim / 2);
    std::vector<float> q(batch.rows() * batch.ld(batch.heads())), k(batch.rows() * batch.ld(batch.kv_heads)),
        v(k.size());
    for (auto* const values : {&q, &k, &v}) random.fill(*values, random.pick(all_values));
    std::vector<float> cos(batch.rows() * std::size_t{half} + 1), sin(cos.size());
    random.fill(cos, Values::plain);
    random.fill(sin, Values::plain);
    const DeviceArray<float> q_on(device, q), k_on(device, k), v_on(device, v), cos_on(device, cos),
        sin_on(device, sin);
    tessera_device_rope_kv_args args{};
    args.batch = on.batch(batch);
    args.kv = on.kv(batch);
    args.q = heads_at(q_on, batch, batch.heads());
    args.k = heads_at(k_on, batch, batch.kv_heads);
    args.v = heads_at(v_on, batch, batch.kv_heads);
    args.cos = cos_on.data();
    args.sin = sin_on.data();
    args.half = half;
    device.check(device.table().rope_kv(device.queue(), &args));

    const auto rotate = [&](float* x, std::uint32_t row) {
      if (half != 0) scalar().rope(x, cos.data() + std::size_t{row} * half, sin.data() + std::size_t{row} * half, half);
    };
    for (std::uint32_t row = 0; row < batch.rows(); ++row) {
      for (std::uint32_t head = 0; head < batch.heads(); ++head)
        rotate(q.data() + batch.place(row, batch.heads(), head), row);
      for (std::uint32_t head = 0; head < batch.kv_heads; ++head) {
        float* const own_k = k.data() + batch.place(row, batch.kv_heads, head);
        rotate(own_k, row);
        const std::size_t place = batch.cache_place(head, batch.sequences[row], batch.positions[row]);
        Cache::store(batch, own_k, cache.k.data() + place);
        Cache::store(batch, v.data() + batch.place(row, batch.kv_heads, head), cache.v.data() + place);
      }
    }
    require_same_bits<float>(q, q_on.read(), "queries, " + batch.text(seed));
    require_same_bits<std::uint8_t>(cache.k, on.k.read(), "keys, " + batch.text(seed));
    require_same_bits<std::uint8_t>(cache.v, on.v.read(), "values, " + batch.text(seed));
  }
}

BOOST_AUTO_TEST_CASE(what_attention_cannot_do_is_refused_by_name) {
  const Device device;
  Random random(1);
  const Batch batch = random_batch(random, 60);
  const Cache cache(batch, random, Values::plain);
  const OnDevice on(device, batch, cache);
  const DeviceArray<float> q(device, batch.rows() * batch.ld(batch.heads()));
  const auto refused = [&](auto change, const std::string& words) {
    tessera_device_attention_args args{};
    args.batch = on.batch(batch);
    args.kv = on.kv(batch);
    args.q = args.out = heads_at(q, batch, batch.heads());
    args.kv_heads = batch.kv_heads;
    args.group = batch.group;
    args.length_max = 60;
    args.scratch = q.data();
    change(args);
    const std::string said = device.refusal(device.table().attention(device.queue(), &args));
    BOOST_TEST(said.find(words) != std::string::npos, said);
  };
  refused([](auto& a) { a.kv.head_dim = 257; }, "1 to 256 wide");
  refused([](auto& a) { a.kv.page_positions = 48; }, "16, 32, 64 or 128 positions");
  refused([](auto& a) { a.kv.page_stride += 4; }, "aligned to 16 bytes");
  refused([](auto& a) { a.kv_heads -= 1; }, "not in the cache");
  refused([](auto& a) { a.kv_head_first = 1; }, "not in the cache");
  refused([](auto& a) { a.q.slice_heads = 0; }, "no head");
  refused([](auto& a) { a.out.count -= 1; }, "heads of q");
}

BOOST_AUTO_TEST_SUITE_END()
