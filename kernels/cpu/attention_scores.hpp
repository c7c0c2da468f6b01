// Scores of queries against the K rows of one run of 128 positions. Only for attention.cpp.
//
// 16 positions at once, one in each lane: K is turned so that a vector holds one element of 16 positions, and the folds
// of 16 dot products become additions of vectors. For a few queries turning costs more than it saves: 16 dot products
// side by side, folded together.
#pragma once

#include "kernels/cpu/ops.hpp"
#include "kernels/cpu/vec.hpp"

namespace tessera::TESSERA_ISA {
namespace {

constexpr uint32_t kRun = TESSERA_SOFTMAX_RUN;
constexpr uint32_t kGroup = 16;              // positions scored together
constexpr uint32_t kGroups = kRun / kGroup;  // groups of a run
constexpr uint32_t kQueries = 16;            // queries of one pass
constexpr uint32_t kPasses = 8;              // that share what was turned and widened

#if defined(__AVX512F__)
constexpr uint32_t kDots = 16;  // dot products that fit the registers
#else
constexpr uint32_t kDots = 4;
#endif
constexpr uint32_t kTurned = 4;    // queries that share an element of 16 positions
constexpr uint32_t kTurnFrom = 8;  // queries; for fewer, turning K costs more than it saves

/// The softmax of up to 16 queries as far as the runs have been folded, and what the present run adds.
struct Softmax {
  alignas(64) float m[kQueries];
  alignas(64) float l[kQueries];
  alignas(64) float keep[kQueries];  // factor of what was folded before: exp(m - m')
  alignas(64) float join[kQueries];  // factor of this run: exp(m_j - m')
  uint32_t counts[kQueries];         // one past the last position of this run that the query sees; 0: it sees none
  uint32_t skips[kQueries];          // positions of this run before the first that the query sees
  bool begun[kQueries];              // a run before this one was folded
};

/// Row 0 of the 16 positions that begin at `position`.
template <typename T>
TESSERA_INLINE const T* group_rows(const tessera_attention_args& args, const void* base, uint32_t position) {
  const size_t page = args.page_ids[position / args.page_positions];
  const size_t row = position % args.page_positions;
  return reinterpret_cast<const T*>(static_cast<const char*>(base) + page * args.page_stride) + row * args.head_dim;
}

TESSERA_INLINE const float* widen_group(const float* rows, size_t, float*) { return rows; }
TESSERA_INLINE const float* widen_group(const uint16_t* rows, size_t head_dim, float* widened) {
  const size_t n = kGroup * head_dim;  // a multiple of 16
  for (size_t i = 0; i < n; i += kLanes) store(widened + i, load(rows + i));
  return widened;
}

/// Lane j: q . k[j], each a contiguous reduction.
TESSERA_INLINE Lanes score_group(const float* q, const float* k, size_t head_dim) {
  const size_t whole = head_dim / kLanes * kLanes;
  const size_t rest = head_dim - whole;
  Partial partial[kGroup];
  for (uint32_t base = 0; base < kGroup; base += kDots) {
    const float* rows = k + base * head_dim;
    Lanes acc[kDots];
#pragma GCC unroll 16
    for (uint32_t j = 0; j < kDots; ++j) acc[j] = zero();
    for (size_t d = 0; d < whole; d += kLanes) {
      const Lanes query = load(q + d);
#pragma GCC unroll 16
      for (uint32_t j = 0; j < kDots; ++j) acc[j] = fma(query, load(rows + j * head_dim + d), acc[j]);
    }
    if (rest != 0) {
      // Lanes past the end add 0 * 0. That can change no more than the sign of a zero, which no softmax shows.
      const Lanes query = load_first(q + whole, rest);
#pragma GCC unroll 16
      for (uint32_t j = 0; j < kDots; ++j) {
        acc[j] = fma(query, load_first(rows + j * head_dim + whole, rest), acc[j]);
      }
    }
#pragma GCC unroll 16
    for (uint32_t j = 0; j < kDots; ++j) partial[base + j] = to_partial(acc[j]);
  }
  return fold_each(partial);
}

/// turned[d][j] = element d of row j of `rows` [16][head_dim].
template <typename T>
TESSERA_INLINE void turn_group(const T* rows, size_t head_dim, float* turned) {
  size_t d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    Lanes x[kGroup];
#pragma GCC unroll 16
    for (uint32_t j = 0; j < kGroup; ++j) x[j] = load(rows + j * head_dim + d);
    transpose(x);
#pragma GCC unroll 16
    for (uint32_t j = 0; j < kGroup; ++j) store(turned + (d + j) * kGroup, x[j]);
  }
  for (; d < head_dim; ++d) {
    alignas(64) float column[kGroup];
    for (uint32_t j = 0; j < kGroup; ++j) column[j] = widen_one(rows[j * head_dim + d]);
    store(turned + d * kGroup, load(column));
  }
}

/// Of four queries against 16 positions.
struct Scores {
  Lanes of[kTurned];
};
TESSERA_INLINE Scores add(const Scores& a, const Scores& b) {
  Scores sum;
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kTurned; ++i) sum.of[i] = add(a.of[i], b.of[i]);
  return sum;
}

/// head_dim >= 16. Lane l of a contiguous reduction is a vector here. The lanes l, l + 4, l + 8 and l + 12, with the
/// folds by 8 and by 4 made. A lane begins with a product where the order says fma(a, b, 0): of both only the sign of a
/// zero differs, and that no softmax shows.
TESSERA_INLINE Scores score_lanes(const float* const* q, const float* turned, size_t head_dim, size_t lane) {
  Scores lanes[4];
#pragma GCC unroll 4
  for (size_t j = 0; j < 4; ++j) {
    const size_t d = lane + 4 * j;
    const Lanes k = load(turned + d * kGroup);
#pragma GCC unroll 4
    for (uint32_t i = 0; i < kTurned; ++i) lanes[j].of[i] = mul(broadcast(q[i][d]), k);
  }
  for (size_t begin = lane + kLanes; begin < head_dim; begin += kLanes) {
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      const size_t d = begin + 4 * j;
      if (d >= head_dim) continue;
      const Lanes k = load(turned + d * kGroup);
#pragma GCC unroll 4
      for (uint32_t i = 0; i < kTurned; ++i) lanes[j].of[i] = fma(broadcast(q[i][d]), k, lanes[j].of[i]);
    }
  }
  return add(add(lanes[0], lanes[2]), add(lanes[1], lanes[3]));
}

/// `count` <= 4 queries; out: scores of the first, kRun floats to the next.
TESSERA_INLINE void score_turned(const float* const* queries, uint32_t count, const float* turned, size_t head_dim,
                                 Lanes scale, float* out) {
  const float* q[kTurned];
  for (uint32_t i = 0; i < kTurned; ++i) q[i] = queries[i < count ? i : 0];
  const Scores even = add(score_lanes(q, turned, head_dim, 0), score_lanes(q, turned, head_dim, 2));
  const Scores odd = add(score_lanes(q, turned, head_dim, 1), score_lanes(q, turned, head_dim, 3));
  const Scores all = add(even, odd);
  for (uint32_t i = 0; i < count; ++i) store(out + i * kRun, mul(all.of[i], scale));
}

/// What the queries of a run share, in the scratch.
struct Shared {
  float* turned;    // [8 groups][head_dim][16] of K, if all groups are turned at once; else room for one
  float* values;    // [128][head_dim] of V, widened; null: they are read where they lie
  bool all_turned;  // before the first pass
};

/// scores [queries][128] of the run that begins at `begin`.
template <typename T>
void score_run(const tessera_attention_args& args, uint32_t first_query, uint32_t queries, uint32_t begin,
               const Softmax& softmax, const Shared& shared, float* scores) {
  const Lanes scale = broadcast(args.scale);
  for (uint32_t group = 0; group < kGroups; ++group) {
    const uint32_t offset = group * kGroup;
    // Those that see less are scored too, where they lie between others; what they do not see is dropped with the rest
    // of the group.
    uint32_t first = 0, end = queries;
    while (first < end && softmax.counts[first] <= offset) ++first;
    while (first < end && softmax.counts[end - 1] <= offset) --end;
    uint32_t skipping = first;
    while (skipping < end && softmax.skips[skipping] >= offset + kGroup) ++skipping;
    if (skipping == end) continue;
    if (shared.all_turned || (queries >= kTurnFrom && args.head_dim >= kLanes)) {
      float* const turned = shared.turned + (shared.all_turned ? offset * args.head_dim : 0);
      if (!shared.all_turned) {
        turn_group(group_rows<T>(args, args.k_base, begin + offset), args.head_dim, turned);
      }
      for (uint32_t i = first; i < end; i += kTurned) {
        const float* const* q = args.q + first_query + i;
        const uint32_t count = end - i < kTurned ? end - i : kTurned;
        float* const out = scores + i * kRun + offset;
        score_turned(q, count, turned, args.head_dim, scale, out);
      }
      continue;
    }
    const float* const rows =
        widen_group(group_rows<T>(args, args.k_base, begin + offset), args.head_dim, shared.turned);
    for (uint32_t i = first; i < end; ++i) {
      store(scores + i * kRun + offset, mul(score_group(args.q[first_query + i], rows, args.head_dim), scale));
    }
  }
}

/// Turns K and widens V of the run, once for all queries.
template <typename T>
void share_run(const tessera_attention_args& args, uint32_t begin, uint32_t end, const Shared& shared) {
  for (uint32_t offset = 0; begin + offset < end && offset < kRun; offset += kGroup) {
    const size_t place = size_t{offset} * args.head_dim;
    turn_group(group_rows<T>(args, args.k_base, begin + offset), args.head_dim, shared.turned + place);
    if (shared.values != nullptr) {
      widen_group(group_rows<T>(args, args.v_base, begin + offset), args.head_dim, shared.values + place);
    }
  }
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
