#include "runtime/importers/gguf_blocks.hpp"

#include <cstdint>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/half.hpp"
#include "runtime/tensor/quantise.hpp"

namespace tessera {

namespace {

/// Sixteen levels that lie closer together near zero.
constexpr std::int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

std::uint32_t byte_at(const std::byte* bytes, std::size_t index) {
  return std::to_integer<std::uint32_t>(bytes[index]);
}

std::uint32_t load_u32(const std::byte* bytes) {
  std::uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::uint16_t load_u16(const std::byte* bytes) {
  std::uint16_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

float load_f16(const std::byte* bytes) { return f16_to_f32(load_u16(bytes)); }

/// Value i of 32 in 16 bytes: the first half in the low nibbles.
std::uint32_t nibble(const std::byte* bytes, std::size_t i) {
  const std::uint32_t both = byte_at(bytes, i % 16);
  return i < 16 ? both & 15 : both >> 4;
}

/// Value i of 32 whose fifth bits are bit i of `high`.
std::uint32_t five_bits(const std::byte* low, std::uint32_t high, std::size_t i) {
  return nibble(low, i) | (high >> i & 1) << 4;
}

// Whole numbers of one block of 32 that has a scale in front and nothing else but them.

int whole_q4_0(const std::byte* block, std::size_t i) { return static_cast<int>(nibble(block + 2, i)) - 8; }
int whole_q5_0(const std::byte* block, std::size_t i) {
  return static_cast<int>(five_bits(block + 6, load_u32(block + 2), i)) - 16;
}
int whole_q8_0(const std::byte* block, std::size_t i) { return static_cast<std::int8_t>(byte_at(block, 2 + i)); }
int whole_iq4_nl(const std::byte* block, std::size_t i) { return iq4_levels[nibble(block + 2, i)]; }

template <int (*whole)(const std::byte*, std::size_t), std::size_t block_bytes>
void dequantise_wholes(const std::byte* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += block_bytes) {
    const float scale = load_f16(block);
    for (std::size_t i = 0; i < 32; ++i) *out++ = static_cast<float>(whole(block, i)) * scale;
  }
}

template <int (*whole)(const std::byte*, std::size_t), std::size_t block_bytes>
void take_wholes(const std::byte* block, std::size_t count, std::byte* out) {
  for (; count > 0; --count, block += block_bytes, out += sizeof(Q8Block)) {
    Q8Block taken{load_u16(block), {}};
    for (std::size_t i = 0; i < 32; ++i) taken.values[i] = static_cast<std::int8_t>(whole(block, i));
    std::memcpy(out, &taken, sizeof taken);
  }
}

void take_q4_0(const std::byte* blocks, std::size_t count, std::byte* out) {
  std::memcpy(out, blocks, count * sizeof(Q4Block));
}

void dequantise_f32(const std::byte* values, std::size_t count, float* out) {
  std::memcpy(out, values, count * sizeof(float));
}

template <float (*widen)(std::uint16_t)>
void dequantise_half(const std::byte* values, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = widen(load_u16(values + 2 * i));
}

// d, m, 16 bytes: weight = d * q + m.
void dequantise_q4_1(const std::byte* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 20) {
    const float scale = load_f16(block), least = load_f16(block + 2);
    for (std::size_t i = 0; i < 32; ++i) *out++ = static_cast<float>(nibble(block + 4, i)) * scale + least;
  }
}

// d, m, fifth bits, 16 bytes.
void dequantise_q5_1(const std::byte* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 24) {
    const float scale = load_f16(block), least = load_f16(block + 2);
    const std::uint32_t high = load_u32(block + 4);
    for (std::size_t i = 0; i < 32; ++i) *out++ = static_cast<float>(five_bits(block + 8, high, i)) * scale + least;
  }
}

// 16 bytes of (scale, minimum) nibbles for runs of 16, 64 bytes of 2-bit values, d, dmin. Value 128h + 32s + l lies in
// byte 32h + l, shifted by 2s.
void dequantise_q2_k(const std::byte* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 84) {
    const float scale = load_f16(block + 80), scale_of_least = load_f16(block + 82);
    for (std::size_t i = 0; i < 256; ++i) {
      const std::uint32_t factors = byte_at(block, i / 16);
      const std::uint32_t value = byte_at(block + 16, i / 128 * 32 + i % 32) >> (i / 32 % 4 * 2) & 3;
      *out++ = scale * static_cast<float>(factors & 15) * static_cast<float>(value) -
               scale_of_least * static_cast<float>(factors >> 4);
    }
  }
}

/// Scale of run `run` (of 16 values) in the 12 bytes of a Q3_K block: four low bits, then two high bits.
int scale_q3_k(const std::byte* scales, std::size_t run) {
  const std::uint32_t low = run < 8 ? byte_at(scales, run) & 15 : byte_at(scales, run - 8) >> 4;
  const std::uint32_t high = byte_at(scales, 8 + run % 4) >> (run / 4 * 2) & 3;
  return static_cast<int>(low | high << 4) - 32;
}

// 32 bytes of third bits, 64 bytes of 2-bit values as in Q2_K, 12 bytes of scales, d. A third bit that is not set
// stands for -4.
void dequantise_q3_k(const std::byte* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 110) {
    const float scale = load_f16(block + 108);
    for (std::size_t i = 0; i < 256; ++i) {
      const std::uint32_t low = byte_at(block + 32, i / 128 * 32 + i % 32) >> (i / 32 % 4 * 2) & 3;
      const bool high = (byte_at(block, i % 32) >> (i / 32) & 1) != 0;
      const float run_scale = scale * static_cast<float>(scale_q3_k(block + 96, i / 16));
      *out++ = run_scale * static_cast<float>(static_cast<int>(low) - (high ? 0 : 4));
    }
  }
}

struct ScaleAndLeast {
  std::uint32_t scale, least;
};

/// Six bits each of run `run` (of 32 values) in the 12 bytes of a Q4_K or Q5_K block.
ScaleAndLeast factors_k(const std::byte* scales, std::size_t run) {
  if (run < 4) return {byte_at(scales, run) & 63, byte_at(scales, run + 4) & 63};
  const std::uint32_t low = byte_at(scales, run + 4);
  return {(low & 15) | byte_at(scales, run - 4) >> 6 << 4, low >> 4 | byte_at(scales, run) >> 6 << 4};
}

/// Value i of 256 in 128 bytes: of each 64, the first half in the low nibbles.
std::uint32_t nibble_of_64(const std::byte* bytes, std::size_t i) {
  const std::uint32_t both = byte_at(bytes, i / 64 * 32 + i % 32);
  return i % 64 < 32 ? both & 15 : both >> 4;
}

// d, dmin, 12 bytes of scales, for Q5_K 32 bytes of fifth bits, 128 bytes.
template <bool has_fifth_bits>
void dequantise_q45_k(const std::byte* block, std::size_t count, float* out) {
  constexpr std::size_t low_begin = has_fifth_bits ? 48 : 16;
  for (; count > 0; --count, block += low_begin + 128) {
    const float scale = load_f16(block), scale_of_least = load_f16(block + 2);
    for (std::size_t run = 0; run < 8; ++run) {
      const ScaleAndLeast factors = factors_k(block + 4, run);
      const float run_scale = scale * static_cast<float>(factors.scale);
      const float least = scale_of_least * static_cast<float>(factors.least);
      for (std::size_t i = run * 32; i < run * 32 + 32; ++i) {
        std::uint32_t value = nibble_of_64(block + low_begin, i);
        if (has_fifth_bits) value |= (byte_at(block + 16, i % 32) >> run & 1) << 4;
        *out++ = run_scale * static_cast<float>(value) - least;
      }
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of high pairs of bits, 16 signed scales of runs of 16, d. In each half of 128
// values, value 32q + l has its nibble in byte 32 (q mod 2) + l, and its pair in byte l, shifted by 2q.
void dequantise_q6_k(const std::byte* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 210) {
    const float scale = load_f16(block + 208);
    for (std::size_t i = 0; i < 256; ++i) {
      const std::size_t half = i / 128, quarter = i / 32 % 4, l = i % 32;
      const std::uint32_t both = byte_at(block, half * 64 + quarter % 2 * 32 + l);
      const std::uint32_t low = quarter < 2 ? both & 15 : both >> 4;
      const std::uint32_t high = byte_at(block + 128, half * 32 + l) >> (2 * quarter) & 3;
      const auto factor = static_cast<std::int8_t>(byte_at(block + 192, i / 16));
      *out++ = scale * static_cast<float>(factor) * static_cast<float>(static_cast<int>(low | high << 4) - 32);
    }
  }
}

// d, 16 bits of high pairs and 4 bytes of low nibbles of the scales of runs of 32, 16 bytes for each run.
void dequantise_iq4_xs(const std::byte* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 136) {
    const float scale = load_f16(block);
    const std::uint32_t high_scales = load_u16(block + 2);
    for (std::size_t run = 0; run < 8; ++run) {
      const std::uint32_t low = byte_at(block + 4, run / 2) >> (run % 2 * 4) & 15;
      const int factor = static_cast<int>(low | (high_scales >> (2 * run) & 3) << 4) - 32;
      const float run_scale = scale * static_cast<float>(factor);
      for (std::size_t i = 0; i < 32; ++i) {
        *out++ = run_scale * static_cast<float>(iq4_levels[nibble(block + 8 + 16 * run, i)]);
      }
    }
  }
}

/// One line for each type that can be imported.
struct Importable {
  GgufTensorType type;
  GgufDequantise dequantise;
  GgufTakeOver to_q8;
  GgufTakeOver to_q4;
  DType nearest;
};

constexpr Importable importables[] = {
    {GgufTensorType::f32, dequantise_f32, nullptr, nullptr, DType::f32},
    {GgufTensorType::f16, dequantise_half<f16_to_f32>, nullptr, nullptr, DType::f32},
    {GgufTensorType::bf16, dequantise_half<bf16_to_f32>, nullptr, nullptr, DType::bf16},
    {GgufTensorType::q8_0, dequantise_wholes<whole_q8_0, 34>, take_wholes<whole_q8_0, 34>, nullptr, DType::q8},
    {GgufTensorType::q4_0, dequantise_wholes<whole_q4_0, 18>, take_wholes<whole_q4_0, 18>, take_q4_0, DType::q4},
    {GgufTensorType::q4_1, dequantise_q4_1, nullptr, nullptr, DType::q4},
    {GgufTensorType::q5_0, dequantise_wholes<whole_q5_0, 22>, take_wholes<whole_q5_0, 22>, nullptr, DType::q8},
    {GgufTensorType::q5_1, dequantise_q5_1, nullptr, nullptr, DType::q8},
    {GgufTensorType::q2_k, dequantise_q2_k, nullptr, nullptr, DType::q4},
    {GgufTensorType::q3_k, dequantise_q3_k, nullptr, nullptr, DType::q4},
    {GgufTensorType::q4_k, dequantise_q45_k<false>, nullptr, nullptr, DType::q4},
    {GgufTensorType::q5_k, dequantise_q45_k<true>, nullptr, nullptr, DType::q8},
    {GgufTensorType::q6_k, dequantise_q6_k, nullptr, nullptr, DType::q8},
    {GgufTensorType::iq4_nl, dequantise_wholes<whole_iq4_nl, 18>, take_wholes<whole_iq4_nl, 18>, nullptr, DType::q4},
    {GgufTensorType::iq4_xs, dequantise_iq4_xs, nullptr, nullptr, DType::q4},
};

const Importable* find(GgufTensorType type) {
  for (const Importable& importable : importables) {
    if (importable.type == type) return &importable;
  }
  return nullptr;
}

}  // namespace

GgufDequantise gguf_dequantiser(GgufTensorType type) {
  const Importable* const importable = find(type);
  return importable ? importable->dequantise : nullptr;
}

GgufTakeOver gguf_block_taker(GgufTensorType type, DType dtype) {
  const Importable* const importable = find(type);
  if (!importable || (dtype != DType::q8 && dtype != DType::q4)) return nullptr;
  return dtype == DType::q8 ? importable->to_q8 : importable->to_q4;
}

DType nearest_dtype(GgufTensorType type) {
  const Importable* const importable = find(type);
  TESSERA_ENSURE(importable);
  return importable->nearest;
}

std::string gguf_importable_types() {
  std::string names;
  for (const Importable& importable : importables) {
    names += (names.empty() ? "" : ", ") + std::string(gguf_tensor_format(importable.type)->name);
  }
  return names;
}

}  // namespace tessera
