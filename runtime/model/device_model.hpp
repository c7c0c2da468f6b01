// DeviceModel: a whole model on one device. Runs steps like a ModelShard, to the same bits, by the ops of a device
// table (kernels/abi/device_abi.h); so far of the plain plan (Llama's: RMSNorm, RoPE, SwiGLU, no biases, windows or
// experts).
//
//   TESSERA_TRY(auto model, DeviceModel::create(*report.table, 0, *checkpoint, {}));
//   TESSERA_CHECK(model->run(step, logits));
//
// One step, everything on the device but what the arrows say:
//
//   tokens, positions, pages, RoPE tables →  x = embedding
//   each layer:  n = norm(x);  q, k, v;  RoPE, pages;  a = attention;  nodes of W_out·a
//                x += tree of nodes, n = norm(x)        (one kernel);  gate, up;  swiglu;  nodes of W_down·g
//                x += tree of nodes                     (with the next layer's norm)
//   the rows that want them:  n = norm(x);  logits  → host
//
// Steps of the same number of rows launch the same work: it is recorded at the first one and replayed at the others.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/model/device_weights.hpp"
#include "runtime/model/step.hpp"
#include "runtime/tensor/canonical_tree.hpp"

namespace tessera {

namespace limits {
/// Steps that are recorded, by their numbers of rows: those beyond are launched op by op.
inline constexpr std::size_t device_graphs_max = 64;
/// Rows of a step that is worth recording: longer ones wait for the device anyhow.
inline constexpr std::uint32_t device_graph_rows_max = 64;
}  // namespace limits

struct DeviceModelOptions {
  std::uint32_t kv_pages = 64;
  std::uint32_t rows_max = 64;                               ///< of a step
  std::uint32_t sequences_max = 64;                          ///< of a step
  std::uint32_t node_units = TESSERA_DEVICE_NODE_UNITS_MAX;  ///< slices that one block of a row-parallel matrix adds
};

/// A row-parallel matrix as nodes of the canonical tree, and how they are finished.
struct DeviceNodes {
  std::vector<tessera_tree_node> nodes;
  TreeSchedule finish;

  /// `unsupported` when there are more nodes than a device table takes.
  static Result<DeviceNodes> cut(std::uint32_t slices, std::uint32_t units_max);
};

/// Confined to one thread.
class DeviceModel {
 public:
  /// Errors: `unsupported` for other plans, heads that are too wide, too many slices; `exhausted`, with the arithmetic,
  /// before anything is copied that will not fit.
  static Result<std::unique_ptr<DeviceModel>> create(const tessera_device_table& table, std::uint32_t device,
                                                     const Checkpoint& checkpoint, const DeviceModelOptions& options);
  ~DeviceModel();
  DeviceModel(const DeviceModel&) = delete;
  DeviceModel& operator=(const DeviceModel&) = delete;

  /// One forward pass; `logits` is [step.logits_rows()][vocab_size]. Errors: `invalid_argument` for a step beyond the
  /// options, those of the device, `corrupt` for logits that are not finite. After an error of the device the model is
  /// not used again.
  Result<void> run(const Step& step, std::span<float> logits);

  /// Steps that were replayed, for tests and measurements.
  std::uint64_t replays() const { return replays_; }

 private:
  struct Buffers;
  DeviceModel(std::unique_ptr<DeviceQueue> queue, const Checkpoint& checkpoint, const DeviceModelOptions& options);

  Result<void> reserve();
  Result<void> write_step(const Step& step);
  Result<void> launch_layers(std::uint32_t rows);
  Result<void> run_layers(std::uint32_t rows);
  Result<void> attention_block(std::uint32_t layer, std::uint32_t rows);
  Result<void> feed_forward_block(std::uint32_t layer, std::uint32_t rows);
  Result<void> column_parallel(const DeviceMatrix& matrix, std::uint32_t rows, const tessera_device_rows& x, float* y,
                               std::size_t ldy);
  Result<void> row_parallel(const DeviceMatrix& matrix, const DeviceNodes& nodes, std::uint32_t rows,
                            const tessera_device_rows& x);
  /// x += tree of nodes (null: x stays); then the norm with `weight` (null: none), prepared for matrices of `format`.
  Result<void> finish_norm(const DeviceNodes* nodes, const float* weight, tessera_weight_format format,
                           std::uint32_t rows);
  Result<void> read_logits(const Step& step, std::span<float> logits);
  /// At most Buffers::logits_rows rows.
  Result<void> read_logits_of(std::span<const std::uint32_t> rows, std::span<float> logits);

  std::unique_ptr<DeviceQueue> queue_;
  const Manifest& manifest_;
  const ModelShape& shape_;
  const SliceGeometry& geometry_;
  std::string uri_;
  DeviceModelOptions options_;
  DeviceWeights weights_;
  DeviceNodes attention_nodes_, ffn_nodes_;
  std::unique_ptr<Buffers> buffers_;
  std::map<std::uint32_t, tessera_device_graph*> graphs_;  ///< by rows
  std::uint64_t replays_ = 0;
};

}  // namespace tessera
