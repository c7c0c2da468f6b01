#include "bench/gpu_step.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "kernels/abi/kernel_abi.h"
#include "runtime/base/rng.hpp"
#include "runtime/tensor/canonical_tree.hpp"

namespace tessera::bench {

namespace {

constexpr std::uint32_t page_positions = 32;

std::uint32_t random_bits(std::uint32_t stream, std::size_t i) {
  return philox({0x6770, stream}, {static_cast<std::uint32_t>(i / 4), 0, 0, 0})[i % 4];
}

/// Two small bf16 in a word, positive and negative.
std::uint32_t bf16_pair(std::uint32_t bits) { return (bits & 0x807f807fu) | 0x3c003c00u; }

/// Finite values of the format in every byte of `bytes`.
std::vector<std::uint32_t> tile_words(tessera_weight_format format, std::size_t bytes, std::size_t scale_bytes) {
  std::vector<std::uint32_t> words(bytes / 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint32_t bits = random_bits(static_cast<std::uint32_t>(format), i);
    if (format == TESSERA_WEIGHTS_F32) {
      words[i] = (bits & 0x807fffffu) | 0x3c000000u;
    } else if (format == TESSERA_WEIGHTS_BF16) {
      words[i] = bf16_pair(bits);
    } else {
      words[i] = i * 4 < scale_bytes ? (bits & 0x03ff03ffu) | 0x14001400u : bits;
    }
  }
  return words;
}

void write_repeated(GpuDevice& device, char* to, std::size_t bytes, const std::vector<std::uint32_t>& words) {
  for (std::size_t done = 0; done < bytes; done += words.size() * 4)
    device.check(
        device.table().write(device.queue(), to + done, words.data(), std::min(bytes - done, words.size() * 4)));
}

float* random_floats(GpuDevice& device, std::size_t count) {
  auto* const made = device.allocate<float>(count);
  write_repeated(device, reinterpret_cast<char*>(made), count * 4, tile_words(TESSERA_WEIGHTS_F32, 1u << 20, 0));
  return made;
}

void cut_node(std::uint32_t begin, std::uint32_t end, std::vector<tessera_tree_node>& nodes) {
  if (end - begin <= TESSERA_DEVICE_NODE_UNITS_MAX) {
    nodes.push_back({begin, end});
    return;
  }
  cut_node(begin, (begin + end) / 2, nodes);
  cut_node((begin + end) / 2, end, nodes);
}

}  // namespace

GpuDevice::GpuDevice(const tessera_device_table& table, std::uint32_t device) : table_(table) {
  const std::int32_t status = table.open(device, &queue_);
  if (queue_ == nullptr) std::exit(1);
  check(status);
}

GpuDevice::~GpuDevice() {
  release_all();
  table_.close(queue_);
}

void GpuDevice::check(std::int32_t status) const {
  if (status == TESSERA_DEVICE_OK) return;
  std::fprintf(stderr, "gpu_bench: %s\n", table_.last_error(queue_));
  std::exit(1);
}

void* GpuDevice::allocate_bytes(std::size_t bytes) {
  void* memory = nullptr;
  check(table_.allocate(queue_, bytes, &memory));
  allocated_.push_back(memory);
  return memory;
}

void GpuDevice::release_all() {
  for (void* const memory : allocated_) table_.release(queue_, memory);
  allocated_.clear();
}

GpuMatrix GpuMatrix::make(GpuDevice& device, tessera_weight_format format, std::uint32_t units, std::uint32_t tiles,
                          std::uint32_t k, std::uint32_t copies) {
  GpuMatrix made;
  made.format = format;
  made.units = units;
  made.tiles = tiles;
  made.k = k;
  const std::size_t blocks = (k + 31) / 32, scale_bytes = (blocks * 32 + 63) / 64 * 64;
  const bool quantised = format == TESSERA_WEIGHTS_Q8 || format == TESSERA_WEIGHTS_Q4;
  made.tile_bytes = format == TESSERA_WEIGHTS_F32 ? std::size_t{k} * 64
                    : format == TESSERA_WEIGHTS_BF16
                        ? std::size_t{k} * 32
                        : scale_bytes + blocks * (format == TESSERA_WEIGHTS_Q8 ? 512 : 256);
  made.bytes = made.tile_bytes * tiles * units;
  made.data = device.allocate<char>(made.bytes * copies);
  write_repeated(device, made.data, made.bytes * copies,
                 tile_words(format, made.tile_bytes, quantised ? scale_bytes : 0));
  return made;
}

tessera_device_rows make_rows(GpuDevice& device, tessera_weight_format format, std::uint32_t rows, std::uint32_t k) {
  const std::size_t ld = (k + 31) / 32 * 32;
  float* const x = random_floats(device, rows * ld);
  const tessera_device_rows made{device.allocate<float>(rows * ld), device.allocate<float>(rows * ld / 32), ld};
  const tessera_device_prepare_args args{format, x, ld, rows, k, made};
  device.check(device.table().prepare(device.queue(), &args));
  return made;
}

GpuNodes cut_nodes(std::uint32_t slices) {
  GpuNodes cut;
  cut_node(0, slices, cut.nodes);
  std::vector<SliceRange> leaves;
  for (const tessera_tree_node& node : cut.nodes) leaves.push_back({node.begin, node.end});
  cut.merges_after = schedule_finish(slices, leaves).merges_after;
  return cut;
}

void launch_matmul(GpuDevice& device, const GpuMatrix& matrix, std::uint32_t copy, std::uint32_t rows,
                   const tessera_device_rows& x, float* y) {
  const GpuNodes cut = cut_nodes(matrix.units);
  tessera_device_matmul_args args{};
  args.format = matrix.format;
  args.weights = matrix.data + copy * matrix.bytes;
  args.tile_stride = matrix.tile_bytes;
  args.unit_stride = matrix.tile_bytes * matrix.tiles;
  args.tiles = matrix.tiles;
  args.k = matrix.k;
  args.nodes = cut.nodes.data();
  args.node_count = static_cast<std::uint32_t>(cut.nodes.size());
  args.rows = rows;
  args.x = x;
  args.y = y;
  args.ldy = matrix.tiles * std::size_t{TESSERA_LANES};
  args.node_stride = rows * args.ldy;
  device.check(device.table().matmul(device.queue(), &args));
}

GpuStep::GpuStep(GpuDevice& device, const GpuShape& shape, tessera_weight_format format, std::uint32_t batch,
                 std::uint32_t context)
    : device_(device), shape_(shape), format_(format), batch_(batch), context_(context) {
  const std::uint32_t width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  const std::uint32_t sets = shape.weight_sets, ffn_width = shape.ffn_slices() * shape.ffn_columns();
  qkv_ = GpuMatrix::make(device, format, 1, (width + 2 * kv_width) / 16, shape.dim, sets);
  out_ = GpuMatrix::make(device, format, shape.attention_slices(), shape.dim / 16, shape.attention_columns(), sets);
  gate_up_ = GpuMatrix::make(device, format, 1, 2 * ffn_width / 16, shape.dim, sets);
  down_ = GpuMatrix::make(device, format, shape.ffn_slices(), shape.dim / 16, shape.ffn_columns(), sets);
  head_ = GpuMatrix::make(device, format, 1, (shape.vocab + 15) / 16, shape.dim, 1);
  attention_nodes_ = cut_nodes(shape.attention_slices());
  ffn_nodes_ = cut_nodes(shape.ffn_slices());
  normed_ = make_rows(device, format, batch, shape.dim);
  attended_ = make_rows(device, format, batch, width);
  gated_ = make_rows(device, format, batch, ffn_width);
  x_ = random_floats(device, std::size_t{batch} * shape.dim);
  norm_ = random_floats(device, shape.dim);
  cos_ = random_floats(device, std::size_t{batch} * shape.head_dim);
  qkv_rows_ = device.allocate<float>(std::size_t{batch} * (width + 2 * kv_width));
  attention_ = device.allocate<float>(std::size_t{batch} * width);
  gate_up_rows_ = device.allocate<float>(std::size_t{batch} * 2 * ffn_width);
  nodes_ = device.allocate<float>(std::max(attention_nodes_.nodes.size(), ffn_nodes_.nodes.size()) * batch * shape.dim);
  scratch_ = device.allocate<float>(TESSERA_DEVICE_ATTENTION_SCRATCH(batch, shape.heads, shape.head_dim, context));
  logits_ = device.allocate<float>(std::size_t{batch} * head_.tiles * 16);
  maxima_ = device.allocate<float>(batch * (1 + shape.vocab / 1024 + 1));

  const std::size_t pages = (context + page_positions - 1) / page_positions;
  const std::size_t page_bytes = std::size_t{page_positions} * shape.head_dim * 2;
  kv_set_bytes_ = shape.kv_heads * batch * pages * page_bytes;
  auto* const keys = device.allocate<char>(2 * sets * kv_set_bytes_);
  write_repeated(device, keys, 2 * sets * kv_set_bytes_, tile_words(TESSERA_WEIGHTS_BF16, 1u << 22, 0));
  kv_ = {1, keys, keys + kv_set_bytes_, batch * pages * page_bytes, page_bytes, page_positions, shape.head_dim};
  std::vector<std::uint32_t> sequences(batch), positions(batch, context - 1), table(batch * pages);
  for (std::uint32_t i = 0; i < batch; ++i) sequences[i] = i;
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint32_t>(i);
  const auto put = [&](const std::vector<std::uint32_t>& values) {
    auto* const made = device.allocate<std::uint32_t>(values.size());
    device.check(device.table().write(device.queue(), made, values.data(), values.size() * 4));
    return made;
  };
  rows_ = {batch, put(sequences), put(positions), put(table), pages};
  bytes_ = static_cast<double>(qkv_.bytes + out_.bytes + gate_up_.bytes + down_.bytes) * shape.layers +
           static_cast<double>(head_.bytes) +
           2.0 * shape.layers * batch * context * shape.kv_heads * shape.head_dim * 2;
}

void GpuStep::launch_layer(std::uint32_t set) {
  const tessera_device_table& table = device_.table();
  tessera_device_queue* const queue = device_.queue();
  const std::uint32_t width = shape_.heads * shape_.head_dim, kv_width = shape_.kv_heads * shape_.head_dim;
  const std::size_t ld = width + 2 * kv_width, ffn_width = std::size_t{shape_.ffn_slices()} * shape_.ffn_columns();
  launch_matmul(device_, qkv_, set, batch_, normed_, qkv_rows_);
  tessera_device_kv kv = kv_;
  kv.k = static_cast<char*>(kv_.k) + 2 * set * kv_set_bytes_;
  kv.v = static_cast<char*>(kv_.v) + 2 * set * kv_set_bytes_;
  const auto heads = [&](float* values, std::size_t row, std::uint32_t count) {
    return tessera_device_heads{values, row, count, count, std::size_t{count} * shape_.head_dim};
  };
  tessera_device_rope_kv_args rope{};
  rope.batch = rows_;
  rope.kv = kv;
  rope.q = heads(qkv_rows_, ld, shape_.heads);
  rope.k = heads(qkv_rows_ + width, ld, shape_.kv_heads);
  rope.v = heads(qkv_rows_ + width + kv_width, ld, shape_.kv_heads);
  rope.cos = rope.sin = cos_;
  rope.half = shape_.head_dim / 2;
  device_.check(table.rope_kv(queue, &rope));
  tessera_device_attention_args attention{};
  attention.batch = rows_;
  attention.kv = kv;
  attention.q = rope.q;
  attention.out = heads(attention_, width, shape_.heads);
  attention.kv_heads = shape_.kv_heads;
  attention.group = shape_.heads / shape_.kv_heads;
  attention.length_max = context_;
  attention.scale = 0.088f;
  attention.scratch = scratch_;
  device_.check(table.attention(queue, &attention));
  const tessera_device_prepare_args prepare{format_, attention_, width, batch_, width, attended_};
  device_.check(table.prepare(queue, &prepare));
  launch_matmul(device_, out_, set, batch_, attended_, nodes_);
  const auto finish = [&](const GpuNodes& nodes) {
    tessera_device_finish_norm_args args{};
    args.x = x_;
    args.ldx = args.n = shape_.dim;
    args.rows = batch_;
    args.nodes = nodes_;
    args.node_ld = shape_.dim;
    args.node_stride = std::size_t{batch_} * shape_.dim;
    args.merges_after = nodes.merges_after.data();
    args.node_count = static_cast<std::uint32_t>(nodes.nodes.size());
    args.weight = norm_;
    args.eps = 1e-5f;
    args.format = format_;
    args.out = normed_;
    device_.check(table.finish_norm(queue, &args));
  };
  finish(attention_nodes_);
  launch_matmul(device_, gate_up_, set, batch_, normed_, gate_up_rows_);
  const tessera_device_swiglu_args swiglu{
      gate_up_rows_, gate_up_rows_ + ffn_width, 2 * ffn_width, batch_, static_cast<std::uint32_t>(ffn_width), format_,
      gated_};
  device_.check(table.swiglu(queue, &swiglu));
  launch_matmul(device_, down_, set, batch_, gated_, nodes_);
  finish(ffn_nodes_);
}

void GpuStep::launch() {
  for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) launch_layer(layer % shape_.weight_sets);
  launch_matmul(device_, head_, 0, batch_, normed_, logits_);
  tessera_device_logits_args args{};
  args.x = logits_;
  args.ld = head_.tiles * std::size_t{TESSERA_LANES};
  args.rows = batch_;
  args.n = shape_.vocab;
  args.slice = 1024;
  args.maxima = maxima_;
  args.shifts = maxima_;
  args.sums = maxima_ + batch_;
  device_.check(device_.table().logits(device_.queue(), &args));
}

}  // namespace tessera::bench
