#include "runtime/model/matmul_call.hpp"

#include <algorithm>

namespace tessera {

namespace {

/// Tasks per thread: more than one, so that a core that other programs use delays only its share.
constexpr std::uint32_t tasks_per_thread = 4;
/// Weights below this are not worth a second task.
constexpr std::size_t task_bytes_min = 64 << 10;

void matmul_f32(const tessera_op_table& ops, const Activations& x, const MatmulCall& call) {
  const PackedLayout& layout = call.weights->packed();
  const tessera_matmul_f32_args args{call.weights->unit(call.unit),
                                     layout.tile_bytes(),
                                     call.tile_begin,
                                     call.tile_end,
                                     layout.unit_k(),
                                     x.rows(),
                                     x.f32(call.x_column),
                                     x.ldx(),
                                     call.y,
                                     call.ldy,
                                     call.accumulate,
                                     call.next};
  ops.matmul_f32(&args);
}

void matmul_bf16(const tessera_op_table& ops, const Activations& x, const MatmulCall& call) {
  const PackedLayout& layout = call.weights->packed();
  const tessera_matmul_bf16_args args{call.weights->unit(call.unit),
                                      layout.tile_bytes(),
                                      call.tile_begin,
                                      call.tile_end,
                                      layout.unit_k(),
                                      x.rows(),
                                      x.bf16(call.x_column),
                                      call.y,
                                      call.ldy,
                                      call.accumulate,
                                      call.next};
  ops.matmul_bf16(&args);
}

void matmul_blocks(void (*multiply)(const tessera_matmul_q8_args*), const Activations& x, const MatmulCall& call) {
  const PackedLayout& layout = call.weights->packed();
  const tessera_matmul_q8_args args{call.weights->unit(call.unit),
                                    layout.tile_bytes(),
                                    call.tile_begin,
                                    call.tile_end,
                                    layout.unit_blocks(),
                                    x.rows(),
                                    x.q8(call.x_column),
                                    call.y,
                                    call.ldy,
                                    call.accumulate,
                                    call.next};
  multiply(&args);
}

}  // namespace

std::uint32_t task_count(const ThreadPool& pool, std::uint32_t tiles, std::size_t tile_bytes, std::uint32_t rows) {
  if (pool.threads() == 1) return 1;
  const std::size_t work = tiles * tile_bytes * std::min(rows, 16u);
  const auto worthwhile = static_cast<std::uint32_t>(std::clamp<std::size_t>(work / task_bytes_min, 1, 1u << 20));
  return std::min({tiles, worthwhile, pool.threads() * tasks_per_thread});
}

void matmul(const tessera_op_table& ops, const Activations& x, const MatmulCall& call) {
  switch (call.weights->packed().dtype) {
    case DType::f32:
      return matmul_f32(ops, x, call);
    case DType::bf16:
      return matmul_bf16(ops, x, call);
    case DType::q8:
      return matmul_blocks(ops.matmul_q8, x, call);
    case DType::q4:
      return matmul_blocks(ops.matmul_q4, x, call);
  }
}

}  // namespace tessera
