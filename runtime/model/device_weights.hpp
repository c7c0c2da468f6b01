// The weights of a whole model on a device: the packed bytes of the checkpoint, copied as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/abi/kernel_abi.h"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/device/device_queue.hpp"

namespace tessera {

tessera_weight_format device_format(DType dtype);

/// A matrix on the device.
struct DeviceMatrix {
  DeviceMemory<std::byte> bytes;
  PackedLayout layout;

  tessera_weight_format format() const { return device_format(layout.dtype); }
  /// Of all units together.
  std::uint32_t tiles() const;
  /// Floats from one unit's outputs to the next one's, as matmul writes a column-parallel matrix.
  std::uint32_t unit_outputs() const { return layout.unit_tiles(0) * TESSERA_LANES; }
};

/// The tensors of one layer of the plain plan.
struct DeviceLayer {
  DeviceMemory<float> attn_norm, ffn_norm;
  DeviceMatrix q, k, v, out, gate, up, down;
};

struct DeviceWeights {
  DeviceMatrix embedding, head;  ///< head: empty when tied
  std::vector<DeviceLayer> layers;
  DeviceMemory<float> final_norm;

  const DeviceMatrix& head_or_embedding() const { return head.bytes.size() == 0 ? embedding : head; }
};

/// Maps every tensor and copies it. Errors: those of mapping, a lost page, and `exhausted` on the device.
Result<DeviceWeights> load_device_weights(DeviceQueue& queue, const Checkpoint& checkpoint);

}  // namespace tessera
