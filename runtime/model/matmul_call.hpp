// One call of a matrix kernel, whatever the dtype of the weights. Only for the launchers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/model/activations.hpp"

namespace tessera {

/// In how many tasks to cut `tiles` tiles of `tile_bytes` each for `rows` tokens.
std::uint32_t task_count(const ThreadPool& pool, std::uint32_t tiles, std::size_t tile_bytes, std::uint32_t rows);

struct MatmulCall {
  const MappedTensor* weights;
  std::uint32_t unit;
  std::uint32_t tile_begin, tile_end;
  std::size_t x_column;
  float* y;
  std::size_t ldy;
  const void* next = nullptr;  ///< what this thread reads afterwards
  bool accumulate = false;
};

void matmul(const tessera_op_table& ops, const Activations& x, const MatmulCall& call);

}  // namespace tessera
