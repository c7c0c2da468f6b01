// Weighted sums of the V rows of one run of 128 positions. Only for attention.cpp.
//
// Up to 8 queries share each row of V; o_j stays in registers and is folded into `out` at once.
#pragma once

#include "kernels/cpu/attention_scores.hpp"

namespace tessera::TESSERA_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kShare = 8;  // queries that share a row of V
template <int Queries>
constexpr int kChunks = Queries == 8 ? 2 : 4;  // vectors of head_dim per query that fit the registers
#else
constexpr int kShare = 4;
template <int Queries>
constexpr int kChunks = 4 / Queries;
#endif

template <typename T>
struct Values {
  const T* groups[kGroups];  // row 0 of every 16 positions of the run
  size_t head_dim;
  const float* e;  // [queries][128], first query of the block
  const Softmax* softmax;
  uint32_t query;     // of the pass, the first of the block
  float* const* out;  // of the block
};

/// Vectors d, d + 16, … of o_j for `Queries` queries, folded into out. `Rest` 0: whole vectors; else one vector of
/// `rest` lanes.
template <int Queries, int Chunks, bool IsTail, typename T>
void weigh_values(const Values<T>& values, size_t d, size_t rest) {
  const uint32_t* counts = values.softmax->counts + values.query;
  const uint32_t* skips = values.softmax->skips + values.query;
  uint32_t shared = counts[0], first = skips[0];
#pragma GCC unroll 8
  for (int i = 1; i < Queries; ++i) {
    shared = counts[i] < shared ? counts[i] : shared;
    first = skips[i] > first ? skips[i] : first;
  }
  first = first < shared ? first : shared;
  Lanes acc[Queries][Chunks];
#pragma GCC unroll 8
  for (int i = 0; i < Queries; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < Chunks; ++c) acc[i][c] = zero();
  }
  const auto at = [&](uint32_t position) TESSERA_LAMBDA {
    return values.groups[position / kGroup] + position % kGroup * values.head_dim + d;
  };
  const auto value = [&](const T* row, int c) TESSERA_LAMBDA {
    if constexpr (IsTail) return load_first(row, rest);
    return load(row + c * kLanes);
  };
  // Queries of one block may see different windows: their first and last positions are each query's own.
  if (first != 0) {
#pragma GCC unroll 8
    for (int i = 0; i < Queries; ++i) {
      for (uint32_t p = skips[i]; p < first; ++p) {
        const T* row = at(p);
        const Lanes e = broadcast(values.e[i * kRun + p]);
#pragma GCC unroll 8
        for (int c = 0; c < Chunks; ++c) acc[i][c] = fma(e, value(row, c), acc[i][c]);
      }
    }
  }
  for (uint32_t begin = first, next; begin < shared; begin = next) {
    next = (begin / kGroup + 1) * kGroup;
    const T* row = at(begin);
    const float* e = values.e + begin;
    const float* const end = values.e + (shared < next ? shared : next);
    for (; e != end; ++e, row += values.head_dim) {
      Lanes v[Chunks];
#pragma GCC unroll 8
      for (int c = 0; c < Chunks; ++c) v[c] = value(row, c);
#pragma GCC unroll 8
      for (int i = 0; i < Queries; ++i) {
        const Lanes weight = broadcast(e[i * kRun]);
#pragma GCC unroll 8
        for (int c = 0; c < Chunks; ++c) acc[i][c] = fma(weight, v[c], acc[i][c]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Queries; ++i) {
    for (uint32_t p = shared > skips[i] ? shared : skips[i]; p < counts[i]; ++p) {
      const T* row = at(p);
      const Lanes e = broadcast(values.e[i * kRun + p]);
#pragma GCC unroll 8
      for (int c = 0; c < Chunks; ++c) acc[i][c] = fma(e, value(row, c), acc[i][c]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Queries; ++i) {
    if (counts[i] == 0) continue;
    const Lanes keep = broadcast(values.softmax->keep[values.query + i]);
    const Lanes join = broadcast(values.softmax->join[values.query + i]);
#pragma GCC unroll 8
    for (int c = 0; c < Chunks; ++c) {
      float* out = values.out[i] + d + c * kLanes;
      Lanes o = acc[i][c];
      if (values.softmax->begun[values.query + i])
        o = fma(o, join, mul(IsTail ? load_first(out, rest) : load(out), keep));
      if constexpr (IsTail) {
        store_first(out, rest, o);
      } else {
        store(out, o);
      }
    }
  }
}

template <int Queries, typename T>
void weigh_heads(const Values<T>& values) {
  constexpr size_t wide = size_t{kChunks<Queries>} * kLanes;
  size_t d = 0;
  for (; d + wide <= values.head_dim; d += wide) weigh_values<Queries, kChunks<Queries>, false>(values, d, 0);
  for (; d + kLanes <= values.head_dim; d += kLanes) weigh_values<Queries, 1, false>(values, d, 0);
  if (d < values.head_dim) weigh_values<Queries, 1, true>(values, d, values.head_dim - d);
}

/// `V`: of the rows of values, T or, widened, float.
template <typename V>
void weigh_run(const tessera_attention_args& args, uint32_t first_query, uint32_t queries, const V* const* groups,
               const Softmax& softmax, const float* scores) {
  Values<V> values{};
  values.head_dim = args.head_dim;
  values.softmax = &softmax;
  for (uint32_t group = 0; group < kGroups; ++group) values.groups[group] = groups[group];
  uint32_t step = 0;
  for (uint32_t i = 0; i < queries; i += step) {
    values.e = scores + i * kRun;
    values.query = i;
    values.out = args.out + first_query + i;
    step = queries - i >= kShare ? kShare : queries - i >= 4 ? 4 : queries - i >= 2 ? 2 : 1;
    if (step == kShare) {
      weigh_heads<kShare>(values);
    } else if (step == 4) {
      weigh_heads<4>(values);
    } else if (step == 2) {
      weigh_heads<2>(values);
    } else {
      weigh_heads<1>(values);
    }
  }
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
