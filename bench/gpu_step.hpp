// One decode step of a synthetic model on a device: the launches of DeviceModel (runtime/model/device_model.hpp), with
// random weights in a few sets that the layers take in turns. The sets together are larger than any cache, so the
// device reads from memory what a real model makes it read, and a model of any size fits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/abi/device_abi.h"

namespace tessera::bench {

struct GpuShape {
  const char* name;
  std::uint32_t dim, layers, heads, kv_heads, head_dim, ffn_dim, vocab, weight_sets;

  std::uint32_t attention_slices() const { return heads * head_dim / attention_columns(); }
  std::uint32_t attention_columns() const { return head_dim % 32 == 0 ? head_dim : heads * head_dim; }
  /// exactness.md, "Slice sizes".
  std::uint32_t ffn_columns() const {
    std::uint32_t columns = 32;
    while (columns < (ffn_dim + 63) / 64) columns *= 2;
    return columns;
  }
  std::uint32_t ffn_slices() const { return (ffn_dim + ffn_columns() - 1) / ffn_columns(); }
};

/// Ends the program with the module's sentence where a call fails: this is a measurement, not a server.
class GpuDevice {
 public:
  GpuDevice(const tessera_device_table& table, std::uint32_t device);
  ~GpuDevice();
  GpuDevice(const GpuDevice&) = delete;
  GpuDevice& operator=(const GpuDevice&) = delete;

  void check(std::int32_t status) const;
  template <typename T>
  T* allocate(std::size_t count) {
    return static_cast<T*>(allocate_bytes(count * sizeof(T)));
  }
  /// Everything that was allocated since the last call.
  void release_all();
  const tessera_device_table& table() const { return table_; }
  tessera_device_queue* queue() const { return queue_; }

 private:
  void* allocate_bytes(std::size_t bytes);
  const tessera_device_table& table_;
  tessera_device_queue* queue_ = nullptr;
  std::vector<void*> allocated_;
};

/// A matrix of random weights; `copies` of it lie one behind the other.
struct GpuMatrix {
  tessera_weight_format format = TESSERA_WEIGHTS_F32;
  std::uint32_t units = 1, tiles = 0, k = 0;
  char* data = nullptr;
  std::size_t tile_bytes = 0, bytes = 0;  ///< bytes: of one copy

  static GpuMatrix make(GpuDevice& device, tessera_weight_format format, std::uint32_t units, std::uint32_t tiles,
                        std::uint32_t k, std::uint32_t copies);
};

/// Rows of activations in the form of a format, random.
tessera_device_rows make_rows(GpuDevice& device, tessera_weight_format format, std::uint32_t rows, std::uint32_t k);

/// Launches y = matrix copy `copy` times x, in nodes of the tree. `y` holds [nodes][rows][16 * tiles].
void launch_matmul(GpuDevice& device, const GpuMatrix& matrix, std::uint32_t copy, std::uint32_t rows,
                   const tessera_device_rows& x, float* y);
/// Nodes of a tree over `slices`, and the additions after each.
struct GpuNodes {
  std::vector<tessera_tree_node> nodes;
  std::vector<std::uint8_t> merges_after;
};
GpuNodes cut_nodes(std::uint32_t slices);

class GpuStep {
 public:
  /// A step of `batch` sequences that have `context` positions each.
  GpuStep(GpuDevice& device, const GpuShape& shape, tessera_weight_format format, std::uint32_t batch,
          std::uint32_t context);
  /// All launches of the step.
  void launch();
  /// Bytes that the step must read: weights once, keys and values of every sequence.
  double bytes() const { return bytes_; }

 private:
  void launch_layer(std::uint32_t set);
  GpuDevice& device_;
  const GpuShape shape_;
  const tessera_weight_format format_;
  const std::uint32_t batch_, context_;
  GpuMatrix qkv_, out_, gate_up_, down_, head_;
  GpuNodes attention_nodes_, ffn_nodes_;
  tessera_device_rows normed_{}, attended_{}, gated_{};
  tessera_device_batch rows_{};
  tessera_device_kv kv_{};
  std::size_t kv_set_bytes_ = 0;
  float *x_ = nullptr, *norm_ = nullptr, *qkv_rows_ = nullptr, *attention_ = nullptr, *gate_up_rows_ = nullptr,
        *nodes_ = nullptr, *scratch_ = nullptr, *logits_ = nullptr, *cos_ = nullptr, *maxima_ = nullptr;
  double bytes_ = 0;
};

}  // namespace tessera::bench
