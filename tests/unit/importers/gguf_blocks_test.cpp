// Each format against a second reading of its description: block by block in the order in which it is written down, in
// double, where the code under test looks up one value at a time.
#include "runtime/importers/gguf_blocks.hpp"

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/tensor/half.hpp"
#include "runtime/tensor/quantise.hpp"

using namespace tessera;

namespace {

using Bytes = std::vector<unsigned char>;
using Values = std::vector<double>;
using Type = GgufTensorType;

double half_at(const Bytes& block, std::size_t at) {
  return static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(block[at] | block[at + 1] << 8)));
}

/// The two halves of a block of 32: first all low nibbles, then all high ones.
std::vector<int> nibbles(const Bytes& block, std::size_t begin, std::size_t count = 16) {
  std::vector<int> low, high;
  for (std::size_t i = 0; i < count; ++i) {
    low.push_back(block[begin + i] % 16);
    high.push_back(block[begin + i] / 16);
  }
  low.insert(low.end(), high.begin(), high.end());
  return low;
}

Values scaled(const std::vector<int>& wholes, double scale, double least = 0) {
  Values values;
  for (const int whole : wholes) values.push_back(scale * whole + least);
  return values;
}

std::vector<int> minus(std::vector<int> wholes, int offset) {
  for (int& whole : wholes) whole -= offset;
  return wholes;
}

/// Adds 16 where bit i of the 32 bits at `at` is set.
std::vector<int> with_fifth_bits(std::vector<int> wholes, const Bytes& block, std::size_t at) {
  for (std::size_t i = 0; i < 32; ++i) wholes[i] += 16 * (block[at + i / 8] >> i % 8 & 1);
  return wholes;
}

const int levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

std::vector<int> levelled(std::vector<int> wholes) {
  for (int& whole : wholes) whole = levels[whole];
  return wholes;
}

Values q2_k(const Bytes& block) {
  Values values;
  std::size_t run = 0;
  for (std::size_t half = 0; half < 2; ++half) {
    for (int shift = 0; shift < 8; shift += 2) {
      for (std::size_t part = 0; part < 2; ++part, ++run) {
        const double scale = half_at(block, 80) * (block[run] % 16), least = half_at(block, 82) * (block[run] / 16);
        for (std::size_t l = 0; l < 16; ++l)
          values.push_back(scale * (block[16 + 32 * half + 16 * part + l] >> shift & 3) - least);
      }
    }
  }
  return values;
}

Values q3_k(const Bytes& block) {
  // As ggml does it: four words of packed bytes become four words of scales.
  std::uint32_t packed[3];
  std::memcpy(packed, block.data() + 96, sizeof packed);
  constexpr std::uint32_t pairs = 0x03030303, fours = 0x0f0f0f0f;
  const std::uint32_t words[4] = {(packed[0] & fours) | (packed[2] & pairs) << 4,
                                  (packed[1] & fours) | (packed[2] >> 2 & pairs) << 4,
                                  (packed[0] >> 4 & fours) | (packed[2] >> 4 & pairs) << 4,
                                  (packed[1] >> 4 & fours) | (packed[2] >> 6 & pairs) << 4};
  signed char scales[16];
  std::memcpy(scales, words, sizeof scales);
  Values values;
  std::size_t run = 0;
  int mask = 1;
  for (std::size_t half = 0; half < 2; ++half) {
    for (int shift = 0; shift < 8; shift += 2, mask <<= 1) {
      for (std::size_t part = 0; part < 2; ++part, ++run) {
        for (std::size_t l = 16 * part; l < 16 * part + 16; ++l) {
          const int low = block[32 + 32 * half + l] >> shift & 3;
          values.push_back(half_at(block, 108) * (scales[run] - 32) * (low - ((block[l] & mask) != 0 ? 0 : 4)));
        }
      }
    }
  }
  return values;
}

Values q45_k(const Bytes& block, bool fifth) {
  const std::size_t low = fifth ? 48 : 16;
  Values values;
  for (std::size_t run = 0; run < 8; ++run) {
    int scale, least;
    if (run < 4) {
      scale = block[4 + run] % 64;
      least = block[8 + run] % 64;
    } else {
      scale = block[8 + run] % 16 + 16 * (block[run] / 64);
      least = block[8 + run] / 16 + 16 * (block[4 + run] / 64);
    }
    for (std::size_t l = 0; l < 32; ++l) {
      const int both = block[low + run / 2 * 32 + l];
      int value = run % 2 == 0 ? both % 16 : both / 16;
      if (fifth && (block[16 + l] & 1 << run) != 0) value += 16;
      values.push_back(half_at(block, 0) * scale * value - half_at(block, 2) * least);
    }
  }
  return values;
}

Values q6_k(const Bytes& block) {
  Values values(256);
  for (std::size_t half = 0; half < 2; ++half) {
    const auto at = [&](std::size_t base, std::size_t i) { return static_cast<int>(block[base + i]); };
    for (std::size_t l = 0; l < 32; ++l) {
      const std::size_t ql = 64 * half, qh = 128 + 32 * half;
      const int wholes[4] = {
          at(ql, l) % 16 + at(qh, l) % 4 * 16 - 32, at(ql, l + 32) % 16 + at(qh, l) / 4 % 4 * 16 - 32,
          at(ql, l) / 16 + at(qh, l) / 16 % 4 * 16 - 32, at(ql, l + 32) / 16 + at(qh, l) / 64 * 16 - 32};
      for (std::size_t quarter = 0; quarter < 4; ++quarter) {
        const auto scale = static_cast<signed char>(block[192 + 8 * half + 2 * quarter + l / 16]);
        values[128 * half + 32 * quarter + l] = half_at(block, 208) * scale * wholes[quarter];
      }
    }
  }
  return values;
}

Values iq4_xs(const Bytes& block) {
  Values values;
  for (std::size_t run = 0; run < 8; ++run) {
    const int low = run % 2 == 0 ? block[4 + run / 2] % 16 : block[4 + run / 2] / 16;
    const int high = (block[2] | block[3] << 8) >> (2 * run) & 3;
    const Values part = scaled(levelled(nibbles(block, 8 + 16 * run)), half_at(block, 0) * (low + 16 * high - 32));
    values.insert(values.end(), part.begin(), part.end());
  }
  return values;
}

std::vector<int> signed_bytes(const Bytes& block, std::size_t begin) {
  std::vector<int> values;
  for (std::size_t i = begin; i < block.size(); ++i) values.push_back(static_cast<signed char>(block[i]));
  return values;
}

const std::map<Type, std::function<Values(const Bytes&)>> references = {
    {Type::f32,
     [](const Bytes& block) {
       float value;
       std::memcpy(&value, block.data(), sizeof value);
       return Values{static_cast<double>(value)};
     }},
    {Type::f16, [](const Bytes& block) { return Values{half_at(block, 0)}; }},
    {Type::bf16,
     [](const Bytes& block) {
       const unsigned char wide[4] = {0, 0, block[0], block[1]};
       float value;
       std::memcpy(&value, wide, sizeof value);
       return Values{static_cast<double>(value)};
     }},
    {Type::q4_0, [](const Bytes& block) { return scaled(minus(nibbles(block, 2), 8), half_at(block, 0)); }},
    {Type::q4_1, [](const Bytes& block) { return scaled(nibbles(block, 4), half_at(block, 0), half_at(block, 2)); }},
    {Type::q5_0,
     [](const Bytes& block) {
       return scaled(minus(with_fifth_bits(nibbles(block, 6), block, 2), 16), half_at(block, 0));
     }},
    {Type::q5_1,
     [](const Bytes& block) {
       return scaled(with_fifth_bits(nibbles(block, 8), block, 4), half_at(block, 0), half_at(block, 2));
     }},
    {Type::q8_0, [](const Bytes& block) { return scaled(signed_bytes(block, 2), half_at(block, 0)); }},
    {Type::q2_k, q2_k},
    {Type::q3_k, q3_k},
    {Type::q4_k, [](const Bytes& block) { return q45_k(block, false); }},
    {Type::q5_k, [](const Bytes& block) { return q45_k(block, true); }},
    {Type::q6_k, q6_k},
    {Type::iq4_nl, [](const Bytes& block) { return scaled(levelled(nibbles(block, 2)), half_at(block, 0)); }},
    {Type::iq4_xs, iq4_xs},
};

/// Where the f16 numbers lie in a block; the rest may have any bits.
const std::map<Type, std::vector<std::size_t>> half_places = {
    {Type::f16, {0}},     {Type::bf16, {0}},   {Type::q4_0, {0}},   {Type::q4_1, {0, 2}},   {Type::q5_0, {0}},
    {Type::q5_1, {0, 2}}, {Type::q8_0, {0}},   {Type::q3_k, {108}}, {Type::q2_k, {80, 82}}, {Type::q4_k, {0, 2}},
    {Type::q5_k, {0, 2}}, {Type::q6_k, {208}}, {Type::iq4_nl, {0}}, {Type::iq4_xs, {0}},    {Type::f32, {2}}};

Bytes random_block(Type type, std::uint32_t number) {
  Bytes block(gguf_tensor_format(type)->block_bytes);
  for (std::uint32_t i = 0; i < block.size(); ++i) {
    block[i] = static_cast<unsigned char>(philox({static_cast<std::uint32_t>(type), 7}, {i, number, 0, 0})[0]);
  }
  for (const std::size_t place : half_places.at(type)) block[place + 1] &= 0xbf;  // finite and not large
  return block;
}

const std::byte* bytes_of(const Bytes& block) { return reinterpret_cast<const std::byte*>(block.data()); }

}  // namespace

BOOST_AUTO_TEST_SUITE(gguf_blocks)

BOOST_AUTO_TEST_CASE(every_type_holds_what_its_description_says) {
  for (const auto& [type, reference] : references) {
    BOOST_TEST_CONTEXT(gguf_tensor_format(type)->name) {
      const GgufDequantise dequantise = gguf_dequantiser(type);
      BOOST_REQUIRE(dequantise);
      for (std::uint32_t number = 0; number < 50; ++number) {
        const Bytes block = random_block(type, number);
        const Values expected = reference(block);
        BOOST_REQUIRE(expected.size() == gguf_tensor_format(type)->block_values);
        std::vector<float> values(expected.size());
        dequantise(bytes_of(block), 1, values.data());
        for (std::size_t i = 0; i < values.size(); ++i) {
          // Three roundings to f32, of terms that may cancel.
          const double bound = 1e-6 * (std::fabs(expected[i]) + 100 * std::fabs(expected[i] - expected[0]) + 2100);
          BOOST_REQUIRE_MESSAGE(
              std::fabs(static_cast<double>(values[i]) - expected[i]) <= bound,
              "value " << i << " of block " << number << ": " << values[i] << ", not " << expected[i]);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(blocks_follow_each_other) {
  for (const auto& [type, reference] : references) {
    const std::size_t block_values = gguf_tensor_format(type)->block_values;
    Bytes both = random_block(type, 1);
    const Bytes second = random_block(type, 2);
    both.insert(both.end(), second.begin(), second.end());
    std::vector<float> values(2 * block_values), alone(block_values);
    gguf_dequantiser(type)(bytes_of(both), 2, values.data());
    gguf_dequantiser(type)(bytes_of(second), 1, alone.data());
    BOOST_TEST(std::memcmp(values.data() + block_values, alone.data(), block_values * sizeof(float)) == 0,
               gguf_tensor_format(type)->name);
  }
}

BOOST_AUTO_TEST_CASE(hand_made_blocks_have_the_values_that_they_were_made_of) {
  const auto half = [](Bytes& block, std::size_t at, float value) {
    const std::uint16_t bits = f32_to_f16(value);
    std::memcpy(block.data() + at, &bits, sizeof bits);
  };
  const auto values_of = [](Type type, const Bytes& block) {
    std::vector<float> values(gguf_tensor_format(type)->block_values);
    gguf_dequantiser(type)(bytes_of(block), 1, values.data());
    return values;
  };
  Bytes q4_1(20, 0x21);  // all first halves 1, all second halves 2
  half(q4_1, 0, 0.5f), half(q4_1, 2, 10.0f);
  BOOST_TEST(values_of(Type::q4_1, q4_1)[0] == 10.5f);
  BOOST_TEST(values_of(Type::q4_1, q4_1)[31] == 11.0f);
  Bytes q6_k(210);  // the smallest value with scale 1 in the first run, 127 in the last
  half(q6_k, 208, 2.0f);
  q6_k[192] = 1, q6_k[207] = 127;
  BOOST_TEST(values_of(Type::q6_k, q6_k)[0] == -64.0f);
  BOOST_TEST(values_of(Type::q6_k, q6_k)[16] == 0.0f);
  BOOST_TEST(values_of(Type::q6_k, q6_k)[255] == -8128.0f);
  Bytes iq4_nl(18, 0xf0);  // first halves the lowest level, second halves the highest
  half(iq4_nl, 0, 1.0f);
  BOOST_TEST(values_of(Type::iq4_nl, iq4_nl)[0] == -127.0f);
  BOOST_TEST(values_of(Type::iq4_nl, iq4_nl)[16] == 113.0f);
}

BOOST_AUTO_TEST_CASE(blocks_that_a_dtype_takes_over_keep_every_value) {
  struct Case {
    Type type;
    DType dtype;
  };
  for (const Case& c : {Case{Type::q8_0, DType::q8}, Case{Type::q4_0, DType::q8}, Case{Type::q5_0, DType::q8},
                        Case{Type::iq4_nl, DType::q8}, Case{Type::q4_0, DType::q4}}) {
    const GgufTakeOver take_over = gguf_block_taker(c.type, c.dtype);
    BOOST_REQUIRE(take_over);
    for (std::uint32_t number = 0; number < 50; ++number) {
      const Bytes block = random_block(c.type, number);
      std::vector<float> expected(32);
      gguf_dequantiser(c.type)(bytes_of(block), 1, expected.data());
      Q8Block q8{};
      Q4Block q4{};
      take_over(bytes_of(block), 1,
                c.dtype == DType::q8 ? reinterpret_cast<std::byte*>(&q8) : reinterpret_cast<std::byte*>(&q4));
      for (std::size_t i = 0; i < 32; ++i) {
        const int nibble = q4.nibbles[i % 16] >> (i < 16 ? 0 : 4) & 15;
        const float value = c.dtype == DType::q8 ? static_cast<float>(q8.values[i]) * f16_to_f32(q8.scale)
                                                 : static_cast<float>(nibble - 8) * f16_to_f32(q4.scale);
        BOOST_REQUIRE_EQUAL(value, expected[i]);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(only_blocks_that_fit_exactly_are_taken_over) {
  std::size_t takers = 0;
  for (std::uint32_t number = 0; number < 64; ++number) {
    const auto type = static_cast<Type>(number);
    BOOST_TEST((gguf_dequantiser(type) != nullptr) == references.contains(type));
    for (const DType dtype : all_dtypes) takers += gguf_block_taker(type, dtype) != nullptr;
  }
  BOOST_TEST(takers == 5u);
  BOOST_TEST(gguf_importable_types() ==
             "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS");
}

BOOST_AUTO_TEST_SUITE_END()
