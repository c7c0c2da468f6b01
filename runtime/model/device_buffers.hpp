// What a DeviceModel keeps on the device and beside it. Internal to device_model and device_layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/batching/page_allocator.hpp"
#include "runtime/model/device_model.hpp"

namespace tessera {

inline std::size_t rounded_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Keys and values of one layer: head by head, page by page.
struct KvLayout {
  bool bf16 = false;
  std::size_t page_bytes = 0, head_bytes = 0, layer_bytes = 0;  ///< layer_bytes: of K, and of V

  static KvLayout of(const Manifest& manifest, std::uint32_t pages) {
    KvLayout layout;
    layout.bf16 = kv_dtype_for(manifest.dtype) == KvDType::bf16;
    layout.page_bytes =
        rounded_up(std::size_t{kv_page_positions} * manifest.shape.head_dim * (layout.bf16 ? 2 : 4), 16);
    layout.head_bytes = layout.page_bytes * pages;
    layout.layer_bytes = layout.head_bytes * manifest.shape.kv_heads;
    return layout;
  }
  std::size_t bytes(const ModelShape& shape) const { return 2 * layer_bytes * shape.layers; }
};

/// Rows of activations with room for every format.
struct DeviceActivations {
  DeviceMemory<std::byte> values;
  DeviceMemory<float> scales;
  std::size_t ld = 0;  ///< values: a multiple of 32, which all formats accept

  static Result<DeviceActivations> zeros(DeviceQueue& queue, std::uint32_t rows, std::size_t k) {
    DeviceActivations made;
    made.ld = rounded_up(k, 32);
    TESSERA_TRY(made.values, queue.zeros<std::byte>(rows * made.ld * sizeof(float)));
    TESSERA_TRY(made.scales, queue.zeros<float>(rows * made.ld / 32));
    return made;
  }
  tessera_device_rows view(tessera_weight_format format) const { return row(format, 0); }
  /// From row `index` on.
  tessera_device_rows row(tessera_weight_format format, std::size_t index) const {
    const std::size_t bytes = format == TESSERA_WEIGHTS_F32 ? 4 : format == TESSERA_WEIGHTS_BF16 ? 2 : 1;
    return {values.data() + index * ld * bytes, scales.data() + index * (ld / 32), ld};
  }
};

struct DeviceModel::Buffers {
  /// Rows whose logits are computed at once.
  static constexpr std::uint32_t logits_rows = 64;
  std::size_t dim_ld = 0, q_ld = 0, kv_ld = 0, attention_ld = 0, ffn_ld = 0, vocab_ld = 0, half = 0, pages_max = 0;
  std::uint32_t length_max = 0;
  DeviceMemory<std::uint32_t> tokens, positions, sequences, page_table;
  DeviceMemory<float> cos, sin;               // [rows][half]
  DeviceMemory<float> x, q, k, v, attention;  // attention: [rows][slices][unit_k], zero between heads and slices
  DeviceMemory<float> gate, up, nodes, scratch, logits;
  DeviceActivations normed, attended, gated;
  KvLayout kv;
  DeviceMemory<std::byte> kv_pages;  // layer by layer: K, then V
  std::vector<std::uint32_t> host_tokens, host_positions, host_sequences, host_page_table;
  std::vector<float> host_cos, host_sin, host_logits;

  std::byte* keys(std::uint32_t layer) const { return kv_pages.data() + 2 * layer * kv.layer_bytes; }
  std::byte* values(std::uint32_t layer) const { return keys(layer) + kv.layer_bytes; }
  tessera_device_batch batch(std::uint32_t rows) const {
    return {rows, sequences.data(), positions.data(), page_table.data(), pages_max};
  }
};

}  // namespace tessera
