#include "runtime/device/self_test.hpp"

#include <bit>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/base/rng.hpp"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/device/float_mode.hpp"
#include "runtime/device/self_test_inputs.hpp"

namespace tessera {

const char* const self_test_names[self_test_ops] = {
    "matmul_f32", "matmul_q8",  "quantize_rows",         "unpack_row",     "rms_norm",
    "rope",       "round_bf16", "attention_f32",         "attention_bf16", "swiglu",
    "exp_sum",    "exp",        "matmul_bf16",           "matmul_q4",      "unpack_row of bf16 and q4",
    "layer_norm", "gelu",       "attention in a window", "gemm",           "backward passes and adamw"};

namespace {

using self_test_detail::Hash;
using self_test_detail::values;

// Numeric profile cpu-1. A change of any of these is a new profile (docs/exactness.md).
constexpr SelfTestHashes golden = {0xd3cde73f, 0x3b8fe29e, 0xd47b3dee, 0xceec10c1, 0x9b1d35f1, 0x38464c69, 0x9fa13bef,
                                   0xda78bae4, 0x76573622, 0xc97bb873, 0x8bb7f2d5, 0xd7bf1cca, 0x654c1968, 0x0640195a,
                                   0x5b1f9e21, 0x244c6d72, 0x25fdab0f, 0xf57893fb, 0x8a65f142, 0x0f2ce636};

constexpr std::uint32_t tokens = 7, tiles = 3, k = 72, blocks = 3;
constexpr std::size_t scale_bytes = 128, q8_tile_bytes = scale_bytes + blocks * 512,
                      q4_tile_bytes = scale_bytes + blocks * 256;

/// Random q8 or q4 tiles: small positive f16 scales, any bytes.
AlignedBuffer<std::uint8_t> block_tiles(std::size_t tile_bytes) {
  AlignedBuffer<std::uint8_t> weights(tiles * tile_bytes);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = static_cast<std::uint8_t>(philox({0x7e55e4a, 77}, {static_cast<std::uint32_t>(i), 0, 0, 0})[0]);
  }
  for (std::uint32_t tile = 0; tile < tiles; ++tile) {
    std::uint8_t* const scales = weights.data() + tile * tile_bytes;
    for (std::size_t i = 1; i < scale_bytes; i += 2) scales[i] = static_cast<std::uint8_t>(0x18 + scales[i] % 8);
  }
  return weights;
}

struct QuantizedRows {
  AlignedBuffer<std::int8_t> values{tokens * 96};
  AlignedBuffer<float> scales{tokens * blocks};
  AlignedBuffer<std::int32_t> corrections{tokens * blocks};
  tessera_q8_rows view() { return {values.data(), scales.data(), corrections.data(), tokens, tokens * blocks}; }
};

std::uint32_t hash_matmul_f32(const tessera_op_table& table) {
  const auto weights = values(1, tiles * k * 16), x = values(2, tokens * k);
  AlignedBuffer<float> y(tokens * tiles * 16);
  const tessera_matmul_f32_args args{weights.data(), k * 64, 0,        tiles,      k, tokens,
                                     x.data(),       k,      y.data(), tiles * 16, 0, nullptr};
  table.matmul_f32(&args);
  Hash hash;
  hash.add(y.data(), y.size());
  return hash.value();
}

std::uint32_t hash_quantize(const tessera_op_table& table, QuantizedRows& rows) {
  const auto x = values(3, tokens * k);
  const tessera_q8_rows view = rows.view();
  table.quantize_rows(x.data(), k, tokens, k, &view);
  Hash hash;
  // Row by row, whatever the layout: what is hashed are numbers, not their places.
  const auto each = [&](auto add) {
    for (std::size_t row = 0; row < tokens; ++row) {
      for (std::size_t block = 0; block < blocks; ++block) add(block * tokens + row);
    }
  };
  each([&](std::size_t entry) { hash.add(rows.values.data() + entry * TESSERA_BLOCK, TESSERA_BLOCK); });
  each([&](std::size_t entry) { hash.add(rows.scales.data() + entry, 1); });
  each([&](std::size_t entry) { hash.add(rows.corrections.data() + entry, 1); });
  return hash.value();
}

std::uint32_t hash_matmul_blocks(void (*matmul)(const tessera_matmul_q8_args*), std::size_t tile_bytes,
                                 QuantizedRows& rows) {
  const auto weights = block_tiles(tile_bytes);
  AlignedBuffer<float> y(tokens * tiles * 16);
  const tessera_matmul_q8_args args{weights.data(), tile_bytes, 0,          tiles, blocks, tokens,
                                    rows.view(),    y.data(),   tiles * 16, 0,     nullptr};
  matmul(&args);
  Hash hash;
  hash.add(y.data(), y.size());
  return hash.value();
}

/// Values of which every eighth is a denormal and the first `tiny` are so small that products of two of them underflow:
/// an instruction that multiplies bf16 must flush them as two multiply-adds do.
AlignedBuffer<float> values_that_underflow(std::uint32_t stream, std::size_t count, std::size_t tiny) {
  auto buffer = values(stream, count);
  for (std::size_t i = 0; i < tiny; ++i) buffer[i] = buffer[i] * 0x1p-63f;
  for (std::size_t i = 0; i < count; i += 8) {
    buffer[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(buffer[i]) & 0x807fffffu);
  }
  return buffer;
}

std::uint32_t hash_matmul_bf16(const tessera_op_table& table) {
  // The first tile, the first token.
  const auto values_of_weights = values_that_underflow(17, tiles * k * 16, k * 16);
  const auto x = values_that_underflow(18, tokens * k, k);
  AlignedBuffer<std::uint16_t> weights(values_of_weights.size());
  table.round_bf16(values_of_weights.data(), weights.size(), weights.data());
  AlignedBuffer<float> rounded(tokens * k);  // room for either form
  const tessera_bf16_rows rows{rounded.data(), k};
  table.bf16_rows(x.data(), k, tokens, k, &rows);
  AlignedBuffer<float> y(tokens * tiles * 16);
  const tessera_matmul_bf16_args args{weights.data(), k * 32,   0,          tiles, k,      tokens,
                                      rows,           y.data(), tiles * 16, 0,     nullptr};
  table.matmul_bf16(&args);
  Hash hash;
  hash.add(y.data(), y.size());
  return hash.value();
}

std::uint32_t hash_unpack(const tessera_op_table& table) {
  const auto weights_f32 = values(4, k * 16);
  const auto weights_q8 = block_tiles(q8_tile_bytes);
  float row[k];
  Hash hash;
  for (const std::uint32_t lane : {0u, 5u, 15u}) {
    table.unpack_row_f32(weights_f32.data(), lane, k, row);
    hash.add(row, k);
    table.unpack_row_q8(weights_q8.data(), lane, k, row);
    hash.add(row, k);
  }
  return hash.value();
}

std::uint32_t hash_unpack_bf16_and_q4(const tessera_op_table& table) {
  const auto values_of_weights = values(19, k * 16);
  AlignedBuffer<std::uint16_t> weights_bf16(values_of_weights.size());
  table.round_bf16(values_of_weights.data(), weights_bf16.size(), weights_bf16.data());
  const auto weights_q4 = block_tiles(q4_tile_bytes);
  float row[k];
  Hash hash;
  for (const std::uint32_t lane : {0u, 5u, 15u}) {
    table.unpack_row_bf16(weights_bf16.data(), lane, k, row);
    hash.add(row, k);
    table.unpack_row_q4(weights_q4.data(), lane, k, row);
    hash.add(row, k);
  }
  return hash.value();
}

std::uint32_t hash_rms_norm(const tessera_op_table& table) {
  const auto x = values(5, 203), weight = values(6, 203);
  float y[203];
  table.rms_norm(x.data(), weight.data(), 1e-5f, 203, y);
  Hash hash;
  hash.add(y, 203);
  return hash.value();
}

std::uint32_t hash_rope(const tessera_op_table& table) {
  auto x = values(7, 46);
  const auto cos = values(8, 23), sin = values(9, 23);
  table.rope(x.data(), cos.data(), sin.data(), 23);
  Hash hash;
  hash.add(x.data(), x.size());
  return hash.value();
}

std::uint32_t hash_bf16(const tessera_op_table& table) {
  const auto x = values(10, 203);
  std::uint16_t out[203];
  table.round_bf16(x.data(), 203, out);
  Hash hash;
  hash.add(out, 203);
  return hash.value();
}

/// Three queries of different length over permuted pages, across the boundary of a softmax run.
std::uint32_t hash_attention(const tessera_op_table& table, tessera_kv_type type, bool windowed = false) {
  constexpr std::uint32_t head_dim = 40, page_positions = 32, pages = 7, queries = 3;
  constexpr std::size_t elements = std::size_t{pages} * page_positions * head_dim;
  const auto k_values = values(11, elements), v_values = values(12, elements),
             q_values = values(13, queries * head_dim);
  AlignedBuffer<std::uint16_t> k_bf16(elements), v_bf16(elements);
  table.round_bf16(k_values.data(), elements, k_bf16.data());
  table.round_bf16(v_values.data(), elements, v_bf16.data());
  const std::uint32_t page_ids[pages] = {3, 0, 6, 2, 5, 1, 4};
  const std::uint32_t lengths[queries] = {1, 130, 219}, starts[queries] = {0, 37, 150};
  AlignedBuffer<float> out(queries * head_dim), scratch(TESSERA_ATTENTION_SCRATCH(head_dim));
  const float* q[queries];
  float* o[queries];
  for (std::uint32_t i = 0; i < queries; ++i) {
    q[i] = q_values.data() + i * head_dim;
    o[i] = out.data() + i * head_dim;
  }
  const bool f32 = type == TESSERA_KV_F32;
  tessera_attention_args args{};
  args.kv_type = type;
  args.k_base = f32 ? static_cast<const void*>(k_values.data()) : k_bf16.data();
  args.v_base = f32 ? static_cast<const void*>(v_values.data()) : v_bf16.data();
  args.page_stride = std::size_t{page_positions} * head_dim * (f32 ? 4 : 2);
  args.page_ids = page_ids;
  args.page_positions = page_positions;
  args.head_dim = head_dim;
  args.scale = 0.75f;
  args.queries = queries;
  args.q = q;
  args.out = o;
  args.lengths = lengths;
  if (windowed) args.starts = starts;
  if (windowed) args.soft_cap = 0.5f;
  args.scratch = scratch.data();
  table.attention(&args);
  Hash hash;
  hash.add(out.data(), out.size());
  return hash.value();
}

std::uint32_t hash_swiglu(const tessera_op_table& table) {
  const auto gate = values(14, 203), up = values(15, 203);
  float wide[203], out[203];
  for (int i = 0; i < 203; ++i) wide[i] = gate[static_cast<std::size_t>(i)] * 20.0f;
  table.swiglu(wide, up.data(), 203, out);
  table.add(out, up.data(), 203, out);
  Hash hash;
  hash.add(out, 203);
  return hash.value();
}

std::uint32_t hash_layer_norm(const tessera_op_table& table) {
  const auto x = values(20, 203), weight = values(21, 203), bias = values(22, 203);
  float y[203];
  table.layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, 203, y);
  table.scale(y, 203, 0.3f, y);
  table.mul(y, weight.data(), 203, y);
  table.add_scaled(x.data(), 203, 0.7f, y);
  Hash hash;
  hash.add(y, 203);
  return hash.value();
}

std::uint32_t hash_gelu(const tessera_op_table& table) {
  constexpr int count = 1203;
  std::vector<float> x(count), y(count);
  for (int i = 0; i < count; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i - 600) * 0.0131f;
  Hash hash;
  table.gelu_tanh(x.data(), count, y.data());
  hash.add(y.data(), y.size());
  table.gelu_erf(x.data(), count, y.data());
  hash.add(y.data(), y.size());
  table.soft_cap(x.data(), count, 1.7f, y.data());
  hash.add(y.data(), y.size());
  return hash.value();
}

std::uint32_t hash_exp_sum(const tessera_op_table& table) {
  const auto x = values(16, 1000);
  const float results[2] = {table.max(x.data(), 1000), table.exp_sum(x.data(), 1000, 0.5f)};
  Hash hash;
  hash.add(results, 2);
  return hash.value();
}

std::uint32_t hash_exp(const tessera_op_table& table) {
  constexpr int count = 4000;
  std::vector<float> x(count), y(count);
  for (int i = 0; i < count; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i - 2400) * 0.04f;
  table.exp(x.data(), count, y.data());
  Hash hash;
  hash.add(y.data(), y.size());
  return hash.value();
}

}  // namespace

SelfTestHashes self_test_hashes(const tessera_op_table& table) {
  const FlushDenormals mode;
  QuantizedRows rows;
  const std::uint32_t quantize = hash_quantize(table, rows);
  return {hash_matmul_f32(table),
          hash_matmul_blocks(table.matmul_q8, q8_tile_bytes, rows),
          quantize,
          hash_unpack(table),
          hash_rms_norm(table),
          hash_rope(table),
          hash_bf16(table),
          hash_attention(table, TESSERA_KV_F32),
          hash_attention(table, TESSERA_KV_BF16),
          hash_swiglu(table),
          hash_exp_sum(table),
          hash_exp(table),
          hash_matmul_bf16(table),
          hash_matmul_blocks(table.matmul_q4, q4_tile_bytes, rows),
          hash_unpack_bf16_and_q4(table),
          hash_layer_norm(table),
          hash_gelu(table),
          hash_attention(table, TESSERA_KV_F32, true),
          self_test_detail::hash_gemm(table),
          self_test_detail::hash_backward(table)};
}

Result<void> self_test(const tessera_op_table& table) {
  if (table.abi_version != TESSERA_KERNEL_ABI_VERSION) {
    return Error{ErrorCode::unsupported, std::string("kernel module ") + table.name + " has ABI version " +
                                             std::to_string(table.abi_version) + ", this build needs " +
                                             std::to_string(TESSERA_KERNEL_ABI_VERSION)};
  }
  const SelfTestHashes hashes = self_test_hashes(table);
  const std::size_t judged = hashes.size() - (table.training == nullptr ? self_test_training_ops : 0);
  for (std::size_t i = 0; i < judged; ++i) {
    if (hashes[i] != golden[i]) {
      return Error{ErrorCode::unsupported,
                   std::string("kernel module ") + table.name + " fails its self-test in " + self_test_names[i] +
                       ": it does not give the bits of profile cpu-1 on this machine and is not used"};
    }
  }
  return {};
}

}  // namespace tessera
