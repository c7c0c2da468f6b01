// The launches of one step: buffers, and the two blocks of a layer.
#include <algorithm>
#include <cmath>

#include "runtime/model/device_buffers.hpp"

namespace tessera {

Result<void> DeviceModel::reserve() {
  Buffers& b = *buffers_;
  DeviceQueue& queue = *queue_;
  const DeviceLayer& layer = weights_.layers.front();
  const std::uint32_t rows = options_.rows_max;
  b.dim_ld = rounded_up(shape_.dim, TESSERA_LANES);
  b.q_ld = std::size_t{layer.q.tiles()} * TESSERA_LANES;
  b.kv_ld = std::size_t{layer.k.tiles()} * TESSERA_LANES;
  b.attention_ld = std::size_t{geometry_.attention_slices} * layer.out.layout.unit_k();
  b.ffn_ld = std::size_t{geometry_.ffn_slices} * layer.down.layout.unit_k();
  b.vocab_ld = std::size_t{weights_.head_or_embedding().tiles()} * TESSERA_LANES;
  b.half = shape_.rope_width() / 2;
  const std::uint32_t positions_max = std::min(shape_.context_length, options_.kv_pages * kv_page_positions);
  b.pages_max = rounded_up(positions_max, kv_page_positions) / kv_page_positions;
  b.length_max = positions_max;
  b.kv = KvLayout::of(manifest_, options_.kv_pages);

  b.host_tokens.resize(rows);
  b.host_positions.resize(rows);
  b.host_sequences.resize(rows);
  b.host_page_table.resize(std::size_t{options_.sequences_max} * b.pages_max);
  b.host_cos.resize(rows * b.half);
  b.host_sin.resize(rows * b.half);
  TESSERA_TRY(b.tokens, queue.zeros<std::uint32_t>(rows));
  TESSERA_TRY(b.positions, queue.zeros<std::uint32_t>(rows));
  TESSERA_TRY(b.sequences, queue.zeros<std::uint32_t>(rows));
  TESSERA_TRY(b.page_table, queue.zeros<std::uint32_t>(b.host_page_table.size()));
  TESSERA_TRY(b.cos, queue.zeros<float>(b.host_cos.size()));
  TESSERA_TRY(b.sin, queue.zeros<float>(b.host_sin.size()));
  TESSERA_TRY(b.x, queue.zeros<float>(rows * b.dim_ld));
  TESSERA_TRY(b.q, queue.zeros<float>(rows * b.q_ld));
  TESSERA_TRY(b.k, queue.zeros<float>(rows * b.kv_ld));
  TESSERA_TRY(b.v, queue.zeros<float>(rows * b.kv_ld));
  TESSERA_TRY(b.attention, queue.zeros<float>(rows * b.attention_ld));
  TESSERA_TRY(b.gate, queue.zeros<float>(rows * b.ffn_ld));
  TESSERA_TRY(b.up, queue.zeros<float>(rows * b.ffn_ld));
  const std::size_t nodes = std::max(attention_nodes_.nodes.size(), ffn_nodes_.nodes.size());
  TESSERA_TRY(b.nodes, queue.zeros<float>(nodes * rows * b.dim_ld));
  TESSERA_TRY(b.scratch, queue.allocate<float>(
                             TESSERA_DEVICE_ATTENTION_SCRATCH(rows, shape_.heads, shape_.head_dim, b.length_max)));
  TESSERA_TRY(b.logits, queue.allocate<float>(std::min(rows, Buffers::logits_rows) * b.vocab_ld));
  TESSERA_TRY(b.normed, DeviceActivations::zeros(queue, rows, shape_.dim));
  TESSERA_TRY(b.attended, DeviceActivations::zeros(queue, rows, b.attention_ld));
  TESSERA_TRY(b.gated, DeviceActivations::zeros(queue, rows, b.ffn_ld));
  TESSERA_TRY(b.kv_pages, queue.zeros<std::byte>(b.kv.bytes(shape_)));
  return {};
}

Result<void> DeviceModel::launch_layers(std::uint32_t rows) {
  Buffers& b = *buffers_;
  tessera_device_embedding_args args{};
  args.format = weights_.embedding.format();
  args.weights = weights_.embedding.bytes.data();
  args.tile_stride = weights_.embedding.layout.tile_bytes();
  args.k = shape_.dim;
  args.tokens = b.tokens.data();
  args.vocabulary = shape_.vocab_size;
  args.rows = rows;
  args.out = b.x.data();
  args.ld = b.dim_ld;
  TESSERA_CHECK(queue_->done(queue_->table().embedding(queue_->get(), &args)));
  const DeviceNodes* before = nullptr;
  for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
    const DeviceLayer& weights = weights_.layers[layer];
    TESSERA_CHECK(finish_norm(before, weights.attn_norm.data(), weights.q.format(), rows));
    TESSERA_CHECK(attention_block(layer, rows));
    TESSERA_CHECK(finish_norm(&attention_nodes_, weights.ffn_norm.data(), weights.gate.format(), rows));
    TESSERA_CHECK(feed_forward_block(layer, rows));
    before = &ffn_nodes_;
  }
  return finish_norm(before, nullptr, TESSERA_WEIGHTS_F32, rows);
}

Result<void> DeviceModel::column_parallel(const DeviceMatrix& matrix, std::uint32_t rows, const tessera_device_rows& x,
                                          float* y, std::size_t ldy) {
  // Units lie one after the other, so they are one unit of all tiles.
  const tessera_tree_node node{0, 1};
  tessera_device_matmul_args args{};
  args.format = matrix.format();
  args.weights = matrix.bytes.data();
  args.tile_stride = matrix.layout.tile_bytes();
  args.unit_stride = matrix.bytes.bytes();
  args.tiles = matrix.tiles();
  args.k = matrix.layout.unit_k();
  args.nodes = &node;
  args.node_count = 1;
  args.rows = rows;
  args.x = x;
  args.y = y;
  args.ldy = ldy;
  return queue_->done(queue_->table().matmul(queue_->get(), &args));
}

Result<void> DeviceModel::row_parallel(const DeviceMatrix& matrix, const DeviceNodes& nodes, std::uint32_t rows,
                                       const tessera_device_rows& x) {
  tessera_device_matmul_args args{};
  args.format = matrix.format();
  args.weights = matrix.bytes.data();
  args.tile_stride = matrix.layout.tile_bytes();
  args.unit_stride = matrix.layout.unit_bytes(0);
  args.tiles = matrix.layout.unit_tiles(0);
  args.k = matrix.layout.unit_k();
  args.nodes = nodes.nodes.data();
  args.node_count = static_cast<std::uint32_t>(nodes.nodes.size());
  args.rows = rows;
  args.x = x;
  args.y = buffers_->nodes.data();
  args.ldy = buffers_->dim_ld;
  args.node_stride = rows * buffers_->dim_ld;
  return queue_->done(queue_->table().matmul(queue_->get(), &args));
}

Result<void> DeviceModel::finish_norm(const DeviceNodes* nodes, const float* weight, tessera_weight_format format,
                                      std::uint32_t rows) {
  Buffers& b = *buffers_;
  tessera_device_finish_norm_args args{};
  args.x = b.x.data();
  args.ldx = b.dim_ld;
  args.rows = rows;
  args.n = shape_.dim;
  if (nodes != nullptr) {
    args.nodes = b.nodes.data();
    args.node_stride = rows * b.dim_ld;
    args.node_ld = b.dim_ld;
    args.merges_after = nodes->finish.merges_after.data();
    args.node_count = static_cast<std::uint32_t>(nodes->nodes.size());
  }
  args.weight = weight;
  args.eps = shape_.norm_eps;
  args.format = format;
  args.out = b.normed.view(format);
  return queue_->done(queue_->table().finish_norm(queue_->get(), &args));
}

Result<void> DeviceModel::attention_block(std::uint32_t layer, std::uint32_t rows) {
  Buffers& b = *buffers_;
  const DeviceLayer& weights = weights_.layers[layer];
  const tessera_device_table& table = queue_->table();
  const tessera_device_rows normed = b.normed.view(weights.q.format());
  TESSERA_CHECK(column_parallel(weights.q, rows, normed, b.q.data(), b.q_ld));
  TESSERA_CHECK(column_parallel(weights.k, rows, normed, b.k.data(), b.kv_ld));
  TESSERA_CHECK(column_parallel(weights.v, rows, normed, b.v.data(), b.kv_ld));

  const tessera_device_kv kv{b.kv.bf16,       b.keys(layer),     b.values(layer), b.kv.head_bytes,
                             b.kv.page_bytes, kv_page_positions, shape_.head_dim};
  const tessera_device_heads q{b.q.data(), b.q_ld, shape_.heads, geometry_.attention_heads, weights.q.unit_outputs()};
  const std::uint32_t kv_unit_heads = weights.k.layout.slice / shape_.head_dim;
  const auto of_kv = [&](float* values) {
    return tessera_device_heads{values, b.kv_ld, shape_.kv_heads, kv_unit_heads, weights.k.unit_outputs()};
  };
  tessera_device_rope_kv_args rope{};
  rope.batch = b.batch(rows);
  rope.kv = kv;
  rope.q = q;
  rope.k = of_kv(b.k.data());
  rope.v = of_kv(b.v.data());
  rope.cos = b.cos.data();
  rope.sin = b.sin.data();
  rope.half = static_cast<std::uint32_t>(b.half);
  TESSERA_CHECK(queue_->done(table.rope_kv(queue_->get(), &rope)));

  tessera_device_attention_args attention{};
  attention.batch = rope.batch;
  attention.kv = kv;
  attention.q = q;
  attention.out = {b.attention.data(), b.attention_ld, shape_.heads, geometry_.attention_heads,
                   weights.out.layout.unit_k()};
  attention.kv_heads = shape_.kv_heads;
  attention.group = shape_.queries_per_kv_head();
  attention.length_max = b.length_max;
  attention.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  attention.scratch = b.scratch.data();
  TESSERA_CHECK(queue_->done(table.attention(queue_->get(), &attention)));

  const tessera_weight_format format = weights.out.format();
  const tessera_device_prepare_args prepare{format,
                                            b.attention.data(),
                                            b.attention_ld,
                                            rows,
                                            static_cast<std::uint32_t>(b.attention_ld),
                                            b.attended.view(format)};
  TESSERA_CHECK(queue_->done(table.prepare(queue_->get(), &prepare)));
  return row_parallel(weights.out, attention_nodes_, rows, b.attended.view(format));
}

Result<void> DeviceModel::feed_forward_block(std::uint32_t layer, std::uint32_t rows) {
  Buffers& b = *buffers_;
  const DeviceLayer& weights = weights_.layers[layer];
  const tessera_device_rows normed = b.normed.view(weights.gate.format());
  TESSERA_CHECK(column_parallel(weights.gate, rows, normed, b.gate.data(), b.ffn_ld));
  TESSERA_CHECK(column_parallel(weights.up, rows, normed, b.up.data(), b.ffn_ld));
  const tessera_weight_format format = weights.down.format();
  const tessera_device_swiglu_args swiglu{
      b.gate.data(), b.up.data(), b.ffn_ld, rows, static_cast<std::uint32_t>(b.ffn_ld), format, b.gated.view(format)};
  TESSERA_CHECK(queue_->done(queue_->table().swiglu(queue_->get(), &swiglu)));
  return row_parallel(weights.down, ffn_nodes_, rows, b.gated.view(format));
}

}  // namespace tessera
