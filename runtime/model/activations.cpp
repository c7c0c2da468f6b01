#include "runtime/model/activations.hpp"

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/shard_memory.hpp"

namespace tessera {

namespace {

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

}  // namespace

Activations::Activations(DType weights, std::uint32_t rows, std::uint32_t k)
    : weights_(weights), k_(k), rows_max_(rows) {
  static_assert(quantised_entries(TESSERA_ROW_GROUP, TESSERA_BLOCK) == TESSERA_ROW_GROUP &&
                quantised_entries(TESSERA_ROW_GROUP + 1, TESSERA_BLOCK) == 2 * TESSERA_ROW_GROUP);
  switch (weights) {
    case DType::f32:
      return;
    case DType::bf16:
      own_ = AlignedBuffer<float>(rows * (std::size_t{divide_up(k, 2)} * 2));
      return;
    case DType::q8:
    case DType::q4: {
      const std::size_t entries = quantised_entries(rows, k);
      values_ = AlignedBuffer<std::int8_t>(entries * TESSERA_BLOCK);
      scales_ = AlignedBuffer<float>(entries);
      corrections_ = AlignedBuffer<std::int32_t>(entries);
      return;
    }
  }
}

tessera_bf16_rows Activations::bf16(std::size_t column) const {
  const std::size_t value_bytes = bf16_form_ == TESSERA_BF16_PACKED ? sizeof(std::uint16_t) : sizeof(float);
  return {reinterpret_cast<std::byte*>(own_.data()) + column * value_bytes, std::size_t{divide_up(k_, 2)} * 2};
}

tessera_q8_rows Activations::q8(std::size_t column) const {
  const std::size_t group = std::min<std::size_t>(rows_, TESSERA_ROW_GROUP), blocks = divide_up(k_, TESSERA_BLOCK);
  const std::size_t entry = column / TESSERA_BLOCK * group;
  return {values_.data() + entry * TESSERA_BLOCK, scales_.data() + entry, corrections_.data() + entry, group,
          blocks * group};
}

void Activations::start(const ComputeContext& context, std::uint32_t rows) {
  TESSERA_ENSURE(rows <= rows_max_);
  rows_ = rows;
  bf16_form_ = context.ops->bf16_form;
}

void Activations::begin(const ComputeContext& context, std::uint32_t rows) {
  start(context, rows);
  if (weights_ != DType::f32) return;
  if (own_.size() == 0) own_ = AlignedBuffer<float>(std::size_t{rows_max_} * k_);
  x_ = own_.data();
  ldx_ = k_;
}

void Activations::prepare_rows(const tessera_op_table& ops, std::uint32_t begin, std::uint32_t count) {
  const float* const x = x_ + begin * ldx_;
  switch (weights_) {
    case DType::f32:
      return;
    case DType::bf16: {
      const tessera_bf16_rows all = bf16(0);
      // The rows before `begin`, as columns.
      const tessera_bf16_rows out = bf16(begin * all.ld_values);
      return ops.bf16_rows(x, ldx_, count, k_, &out);
    }
    case DType::q8:
    case DType::q4: {
      tessera_q8_rows out = q8(0);
      const std::size_t before = begin / TESSERA_ROW_GROUP * out.group_stride;
      out.values += before * TESSERA_BLOCK;
      out.scales += before;
      out.corrections += before;
      return ops.quantize_rows(x, ldx_, count, k_, &out);
    }
  }
}

void Activations::put(const tessera_op_table& ops, const float* x, std::size_t ldx, std::uint32_t column,
                      std::uint32_t width) {
  switch (weights_) {
    case DType::f32:
      for (std::size_t row = 0; row < rows_; ++row) std::copy_n(x + row * ldx, width, own_.data() + row * k_ + column);
      return;
    case DType::bf16: {
      const tessera_bf16_rows out = bf16(column);
      return ops.bf16_rows(x, ldx, rows_, width, &out);
    }
    case DType::q8:
    case DType::q4: {
      const tessera_q8_rows out = q8(column);
      return ops.quantize_rows(x, ldx, rows_, width, &out);
    }
  }
}

}  // namespace tessera
