// Matrices over packed weights, and the rows of an embedding. Layouts: kernels/abi/kernel_abi.h.
#include "kernels/reference/numerics.hpp"
#include "kernels/reference/reference.hpp"

namespace tessera::reference {
namespace {

/// One q8 or q4 tile: scales [blocks][16] padded to 64 bytes, then the weights.
class QuantisedTile {
 public:
  QuantisedTile(const void* tile, uint32_t blocks)
      : scales_(static_cast<const uint16_t*>(tile)),
        weights_(static_cast<const uint8_t*>(tile) + (size_t{blocks} * TESSERA_LANES * 2 + 63) / 64 * 64) {}

  float scale(size_t block, size_t lane) const { return widen_f16(scales_[block * TESSERA_LANES + lane]); }

  /// The signed q8 weight of column i of the block: [blocks][8][16][4].
  int32_t q8(size_t block, size_t lane, size_t i) const {
    return int32_t{weights_[((block * 8 + i / 4) * TESSERA_LANES + lane) * 4 + i % 4]} - 128;
  }

  /// The signed q4 weight: [blocks][4][16][4], columns 16 and above in the high nibbles.
  int32_t q4(size_t block, size_t lane, size_t i) const {
    const int32_t both = weights_[((block * 4 + i % 16 / 4) * TESSERA_LANES + lane) * 4 + i % 4];
    return (i < 16 ? both & 15 : both >> 4) - 8;
  }

 private:
  const uint16_t* scales_;
  const uint8_t* weights_;
};

size_t entry_of(const tessera_q8_rows& rows, size_t row, size_t block) {
  return row / rows.group * rows.group_stride + block * rows.group + row % rows.group;
}

void put(float* y, float sum, uint32_t accumulate) { *y = accumulate != 0 ? *y + sum : sum; }

/// y of all tokens and rows. `weight(tile, block, lane, i)` is an integer, `scale(tile, block, lane)` its unit.
template <typename Weight, typename Scale>
void multiply_blocks(const tessera_matmul_q8_args& args, Weight weight, Scale scale) {
  for (uint32_t token = 0; token < args.tokens; ++token) {
    float* y = args.y + token * args.ldy;
    for (uint32_t index = args.tile_begin; index < args.tile_end; ++index) {
      const QuantisedTile tile(static_cast<const char*>(args.weights) + index * args.tile_stride, args.blocks);
      for (size_t lane = 0; lane < TESSERA_LANES; ++lane) {
        float acc = 0.0f;
        for (size_t block = 0; block < args.blocks; ++block) {
          const size_t entry = entry_of(args.x, token, block);
          const int8_t* x = args.x.values + entry * TESSERA_BLOCK;
          int32_t dot = 0;
          for (size_t i = 0; i < TESSERA_BLOCK; ++i) dot += weight(tile, block, lane, i) * x[i];
          acc = fma(static_cast<float>(dot), scale(tile, block, lane) * args.x.scales[entry], acc);
        }
        put(y++, acc, args.accumulate);
      }
    }
  }
}

}  // namespace

void matmul_f32(const tessera_matmul_f32_args* args) {
  for (uint32_t token = 0; token < args->tokens; ++token) {
    const float* x = args->x + token * args->ldx;
    float* y = args->y + token * args->ldy;
    for (uint32_t tile = args->tile_begin; tile < args->tile_end; ++tile) {
      const auto* w =
          reinterpret_cast<const float*>(static_cast<const char*>(args->weights) + tile * args->tile_stride);
      for (size_t lane = 0; lane < TESSERA_LANES; ++lane) {
        float acc = 0.0f;
        for (size_t k = 0; k < args->k; ++k) acc = fma(w[k * TESSERA_LANES + lane], x[k], acc);
        put(y++, acc, args->accumulate);
      }
    }
  }
}

void matmul_bf16(const tessera_matmul_bf16_args* args) {
  for (uint32_t token = 0; token < args->tokens; ++token) {
    const uint16_t* x = static_cast<const uint16_t*>(args->x.values) + token * args->x.ld_values;
    float* y = args->y + token * args->ldy;
    for (uint32_t tile = args->tile_begin; tile < args->tile_end; ++tile) {
      const auto* w =
          reinterpret_cast<const uint16_t*>(static_cast<const char*>(args->weights) + tile * args->tile_stride);
      for (size_t lane = 0; lane < TESSERA_LANES; ++lane) {
        float acc = 0.0f;
        for (size_t pair = 0; pair < args->k / 2; ++pair) {
          const uint16_t* weights = w + (pair * TESSERA_LANES + lane) * 2;
          acc = fma(widen_bf16(weights[1]), widen_bf16(x[2 * pair + 1]), acc);
          acc = fma(widen_bf16(weights[0]), widen_bf16(x[2 * pair]), acc);
        }
        put(y++, acc, args->accumulate);
      }
    }
  }
}

void matmul_q8(const tessera_matmul_q8_args* args) {
  multiply_blocks(
      *args, [](const QuantisedTile& tile, size_t block, size_t lane, size_t i) { return tile.q8(block, lane, i); },
      [](const QuantisedTile& tile, size_t block, size_t lane) { return tile.scale(block, lane); });
}

void matmul_q4(const tessera_matmul_q8_args* args) {
  multiply_blocks(
      *args,
      [](const QuantisedTile& tile, size_t block, size_t lane, size_t i) { return 16 * tile.q4(block, lane, i); },
      [](const QuantisedTile& tile, size_t block, size_t lane) { return tile.scale(block, lane) * 0.0625f; });
}

void bf16_rows(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_bf16_rows* out) {
  for (uint32_t row = 0; row < rows; ++row) {
    uint16_t* values = static_cast<uint16_t*>(out->values) + row * out->ld_values;
    for (size_t i = 0; i < k; ++i) values[i] = narrow_bf16(x[row * ldx + i]);
    if (k % 2 != 0) values[k] = 0;
  }
}

void quantize_rows(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_q8_rows* out) {
  const size_t blocks = (size_t{k} + TESSERA_BLOCK - 1) / TESSERA_BLOCK;
  for (uint32_t row = 0; row < rows; ++row) {
    for (size_t block = 0; block < blocks; ++block) {
      const float* values = x + row * ldx + block * TESSERA_BLOCK;
      const size_t left = k - block * TESSERA_BLOCK;
      const size_t count = left < TESSERA_BLOCK ? left : TESSERA_BLOCK;
      // The bits of absolute values order like the values, and put a NaN on top, where it spoils the scale and so
      // shows.
      uint32_t amax_bits = 0;
      for (size_t i = 0; i < count; ++i) {
        const uint32_t bits = std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu;
        if (bits > amax_bits) amax_bits = bits;
      }
      const float amax = std::bit_cast<float>(amax_bits);
      const bool is_zero = amax < 1e-30f;
      const float inv = is_zero ? 0.0f : 127.0f / amax;
      const size_t entry = entry_of(*out, row, block);
      int32_t sum = 0;
      for (size_t i = 0; i < TESSERA_BLOCK; ++i) {
        const int32_t q = i < count && !is_zero ? round_half_even(values[i] * inv) : 0;
        out->values[entry * TESSERA_BLOCK + i] = static_cast<int8_t>(q);
        sum += static_cast<int8_t>(q);
      }
      out->scales[entry] = is_zero ? 0.0f : amax / 127.0f;
      out->corrections[entry] = -128 * sum;
    }
  }
}

void unpack_row_f32(const void* tile, uint32_t lane, uint32_t k, float* out) {
  for (size_t i = 0; i < k; ++i) out[i] = static_cast<const float*>(tile)[i * TESSERA_LANES + lane];
}

void unpack_row_bf16(const void* tile, uint32_t lane, uint32_t k, float* out) {
  const auto* w = static_cast<const uint16_t*>(tile);
  for (size_t i = 0; i < k; ++i) out[i] = widen_bf16(w[(i / 2 * TESSERA_LANES + lane) * 2 + i % 2]);
}

void unpack_row_q8(const void* tile, uint32_t lane, uint32_t k, float* out) {
  const QuantisedTile weights(tile, (k + TESSERA_BLOCK - 1) / TESSERA_BLOCK);
  for (size_t i = 0; i < k; ++i) {
    const size_t block = i / TESSERA_BLOCK;
    out[i] = static_cast<float>(weights.q8(block, lane, i % TESSERA_BLOCK)) * weights.scale(block, lane);
  }
}

void unpack_row_q4(const void* tile, uint32_t lane, uint32_t k, float* out) {
  const QuantisedTile weights(tile, (k + TESSERA_BLOCK - 1) / TESSERA_BLOCK);
  for (size_t i = 0; i < k; ++i) {
    const size_t block = i / TESSERA_BLOCK;
    out[i] = static_cast<float>(weights.q4(block, lane, i % TESSERA_BLOCK)) * weights.scale(block, lane);
  }
}

}  // namespace tessera::reference
