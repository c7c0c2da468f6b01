// C = A B for training: both operands are packed, so that one kernel serves every transposition, and each element of C
// is one accumulator that takes K in order. Blocking after K. Goto, R. van de Geijn, "Anatomy of high-performance
// matrix multiplication", ACM TOMS 34(3), 2008: a panel of B stays in the second-level cache, rows of A in the first, a
// tile of C in registers. A tile that waits between two panels of K is parked in C, which does not change a bit of it.
#include "kernels/cpu/ops.hpp"
#include "kernels/cpu/vec.hpp"

namespace tessera::TESSERA_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 14;    // of a tile
constexpr int kVectors = 2;  // of kLanes columns
#else
constexpr int kRows = 6;
constexpr int kVectors = 1;
#endif
constexpr uint32_t kColumns = kVectors * kLanes;
constexpr uint32_t kDepth = TESSERA_GEMM_DEPTH;
constexpr uint32_t kPanelRows = TESSERA_GEMM_ROWS;
constexpr uint32_t kPanelColumns = TESSERA_GEMM_COLUMNS;
static_assert(kRows <= 16 && kPanelRows % kRows == 0 && kPanelColumns % kColumns == 0 && kDepth % kLanes == 0);
static_assert(TESSERA_GEMM_TILE % kColumns == 0);

TESSERA_INLINE Lanes round_if(bool round, Lanes x) { return round ? round_to_bf16(x) : x; }

/// A matrix whose element (i, k) is at p[i * i_stride + k * k_stride], packed as out[k][width], i < count <= width;
/// what is missing up to `width` is zero.
void pack(const float* p, size_t i_stride, size_t k_stride, uint32_t count, uint32_t width, uint32_t depth, bool round,
          float* out) {
  if (i_stride == 1) {
    for (uint32_t k = 0; k < depth; ++k, out += width) {
      const float* const from = p + k * k_stride;
      for (uint32_t i = 0; i < width; i += kLanes) {
        const uint32_t places = width - i < kLanes ? width - i : kLanes;
        const uint32_t there = count <= i ? 0 : count - i < places ? count - i : places;
        const Lanes values = there == 0 ? zero() : there == kLanes ? load(from + i) : load_first(from + i, there);
        if (places == kLanes) {
          store(out + i, round_if(round, values));
        } else {
          store_first(out + i, places, round_if(round, values));
        }
      }
    }
    return;
  }
  // Sixteen by sixteen, turned in registers (or read one by one where nothing lies together).
  for (uint32_t i = 0; i < width; i += kLanes) {
    const uint32_t places = width - i < kLanes ? width - i : kLanes;
    for (uint32_t k = 0; k < depth; k += kLanes) {
      const uint32_t steps = depth - k < kLanes ? depth - k : kLanes;
      Lanes block[kLanes];
#pragma GCC unroll 16
      for (uint32_t j = 0; j < kLanes; ++j) {
        const float* const row = p + (i + j) * i_stride + k * k_stride;
        if (i + j >= count) {
          block[j] = zero();
        } else if (k_stride == 1) {
          block[j] = steps == kLanes ? load(row) : load_first(row, steps);
        } else {
          alignas(64) float values[kLanes] = {};
          for (uint32_t step = 0; step < steps; ++step) values[step] = row[step * k_stride];
          block[j] = load(values);
        }
      }
      transpose(block);
      for (uint32_t step = 0; step < steps; ++step) {
        float* const to = out + size_t{k + step} * width + i;
        if (places == kLanes) {
          store(to, round_if(round, block[step]));
        } else {
          store_first(to, places, round_if(round, block[step]));
        }
      }
    }
  }
}

/// A whole tile: a is [depth][kRows], b is [depth][kColumns].
void multiply(const float* a, const float* b, uint32_t depth, float* c, size_t ldc, bool resume) {
  Lanes acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) acc[i][j] = resume ? load(c + i * ldc + j * kLanes) : zero();
  }
#pragma GCC unroll 2
  for (uint32_t k = 0; k < depth; ++k, a += kRows, b += kColumns) {
    Lanes columns[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) columns[j] = load(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Lanes row = broadcast(a[i]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(row, columns[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) store(c + i * ldc + j * kLanes, acc[i][j]);
  }
}

/// A tile at the edge of C goes through memory of its own.
void multiply_edge(const float* a, const float* b, uint32_t depth, float* c, size_t ldc, bool resume, uint32_t rows,
                   uint32_t columns) {
  alignas(64) float tile[kRows * kColumns] = {};
  if (resume) {
    for (uint32_t i = 0; i < rows; ++i)
      for (uint32_t j = 0; j < columns; ++j) tile[i * kColumns + j] = c[i * ldc + j];
  }
  multiply(a, b, depth, tile, kColumns, true);
  for (uint32_t i = 0; i < rows; ++i)
    for (uint32_t j = 0; j < columns; ++j) c[i * ldc + j] = tile[i * kColumns + j];
}

/// Columns of B from `column` on, one tile, for `depth` elements of K from `k` on.
TESSERA_INLINE void pack_columns(const tessera_gemm_args& g, uint32_t column, uint32_t k, uint32_t depth, float* out) {
  const uint32_t there = g.n - column < kColumns ? g.n - column : kColumns;
  pack(g.b + k * g.b_row + column * g.b_column, g.b_column, g.b_row, there, kColumns, depth, g.round_bf16 != 0, out);
}

/// Rows [row, row + rows) of C, columns [column, column + columns); b is the first tile of columns, the next ones
/// follow b_stride floats apart.
void multiply_panel(const tessera_gemm_args& g, const float* packed_a, uint32_t row, uint32_t rows, const float* b,
                    size_t b_stride, uint32_t column, uint32_t columns, uint32_t depth, bool resume) {
  for (uint32_t i = 0; i < rows; i += kRows, packed_a += size_t{depth} * kRows) {
    const uint32_t height = rows - i < kRows ? rows - i : kRows;
    const float* tile = b;
    for (uint32_t j = 0; j < columns; j += kColumns, tile += b_stride) {
      const uint32_t width = columns - j < kColumns ? columns - j : kColumns;
      float* const c = g.c + (row + i) * g.ldc + column + j;
      if (height == kRows && width == kColumns) {
        multiply(packed_a, tile, depth, c, g.ldc, resume);
      } else {
        multiply_edge(packed_a, tile, depth, c, g.ldc, resume, height, width);
      }
    }
  }
}

}  // namespace

void gemm_pack(const tessera_gemm_args* args, uint32_t column_begin, uint32_t column_end, float* packed) {
  for (uint32_t column = column_begin; column < column_end; column += kColumns)
    pack_columns(*args, column, 0, args->k, packed + size_t{column} * args->k);
}

void gemm(const tessera_gemm_args* args) {
  const tessera_gemm_args g = *args;
  if (g.k == 0) {
    for (uint32_t i = 0; i < g.m && g.accumulate == 0; ++i)
      for (uint32_t j = 0; j < g.n; ++j) g.c[i * g.ldc + j] = 0.0f;
    return;
  }
  float* const own_b = g.scratch;
  float* const packed_a = g.scratch + size_t{kDepth} * kPanelColumns;
  for (uint32_t row = 0; row < g.m; row += kPanelRows) {
    const uint32_t rows = g.m - row < kPanelRows ? g.m - row : kPanelRows;
    for (uint32_t k = 0; k < g.k; k += kDepth) {
      const uint32_t depth = g.k - k < kDepth ? g.k - k : kDepth;
      const bool resume = g.accumulate != 0 || k != 0;
      for (uint32_t i = 0; i < rows; i += kRows) {
        pack(g.a + (row + i) * g.a_row + k * g.a_column, g.a_row, g.a_column, rows - i < kRows ? rows - i : kRows,
             kRows, depth, g.round_bf16 != 0, packed_a + size_t{i} * depth);
      }
      for (uint32_t column = 0; column < g.n; column += kPanelColumns) {
        const uint32_t columns = g.n - column < kPanelColumns ? g.n - column : kPanelColumns;
        if (g.packed_b != nullptr) {
          multiply_panel(g, packed_a, row, rows, g.packed_b + size_t{column} * g.k + size_t{k} * kColumns,
                         size_t{kColumns} * g.k, column, columns, depth, resume);
          continue;
        }
        for (uint32_t j = 0; j < columns; j += kColumns)
          pack_columns(g, column + j, k, depth, own_b + size_t{j} * depth);
        multiply_panel(g, packed_a, row, rows, own_b, size_t{kColumns} * depth, column, columns, depth, resume);
      }
    }
  }
}

}  // namespace tessera::TESSERA_ISA
