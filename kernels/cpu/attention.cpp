// Attention in two sweeps per run of 128 positions: scores of all queries, then their weighted values.
//
//   scores   16 positions at once, one in each lane: K is turned so that a vector holds one element of 16 positions,
//            and the folds of 16 dot products become additions of vectors. For a few queries turning costs more than it
//            saves: 16 dot products side by side, folded together
//   softmax  m_j, e, l_j of the run and the factors that fold it into what came before
//   values   up to 8 queries share each row of V; o_j stays in registers and is folded into `out` at once
//
// Sixteen queries are taken per pass: their scores of one run fill the first 2,048 floats of the scratch. Behind them
// lies what all queries of the run share: K, turned, and V, widened. A page is whole in memory: K rows beyond
// the last visible position, up to a multiple of 16, are read and their scores dropped.
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
constexpr int kShare = 8;       // queries that share a row of V
template <int Queries>
constexpr int kChunks = Queries == 8 ? 2 : 4;  // vectors of head_dim per query that fit the registers
#else
constexpr uint32_t kDots = 4;
constexpr int kShare = 4;
template <int Queries>
constexpr int kChunks = 4 / Queries;
#endif
constexpr uint32_t kTurned = 4;    // queries that share an element of 16 positions
constexpr uint32_t kTurnFrom = 8;  // queries; for fewer, turning K costs more than it saves

/// The softmax of up to 16 queries as far as the runs have been folded, and what the present run adds.
struct Softmax {
  alignas(64) float m[kQueries];
  alignas(64) float l[kQueries];
  alignas(64) float keep[kQueries];  // factor of what was folded before: exp(m - m')
  alignas(64) float join[kQueries];  // factor of this run: exp(m_j - m')
  uint32_t counts[kQueries];         // positions of this run that the query sees
  bool first;                        // this run is the first
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
    if (first == end) continue;
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

/// The largest of `count` scores; those past the count, up to a whole vector, become -infinity.
TESSERA_INLINE float largest_score(float* scores, uint32_t count) {
  const Lanes nothing = broadcast(-__builtin_inff());
  const uint32_t rest = count % kLanes;
  if (rest != 0) {
    float* const last = scores + count - rest;
    store(last, first_of(rest, load(last), nothing));
  }
  Lanes most = nothing;
  for (uint32_t i = 0; i < count; i += kLanes) most = max(most, load(scores + i));
  return largest(most);
}

/// Turns `count` scores into exponentials relative to m, their maximum; gives their sum.
TESSERA_INLINE float exponentiate(float* scores, uint32_t count, float m) {
  Lanes total = zero();
  for (uint32_t i = 0; i < count; i += kLanes) {
    const Lanes e = exp_lanes(sub(load(scores + i), broadcast(m)));
    store(scores + i, e);
    total = add(total, e);  // adds +0 for lanes past the count: sums of exponentials are never -0
  }
  return fold(total);
}

void fold_softmax(Softmax& softmax, uint32_t queries, float* scores) {
  alignas(64) float l_run[kQueries] = {};
  alignas(64) float m_run[kQueries] = {};
  // One after the other for all queries: they do not wait for each other, but each step of one does for the last.
  for (uint32_t i = 0; i < queries; ++i) {
    if (softmax.counts[i] != 0) m_run[i] = largest_score(scores + i * kRun, softmax.counts[i]);
  }
  for (uint32_t i = 0; i < queries; ++i) {
    if (softmax.counts[i] != 0) l_run[i] = exponentiate(scores + i * kRun, softmax.counts[i], m_run[i]);
  }
  for (uint32_t i = 0; i < queries; ++i) {
    softmax.keep[i] = 0.0f;
    softmax.join[i] = 0.0f;
    if (softmax.counts[i] == 0) continue;
    if (softmax.first) {
      softmax.m[i] = m_run[i];
      softmax.l[i] = l_run[i];
      continue;
    }
    const float m = m_run[i] > softmax.m[i] ? m_run[i] : softmax.m[i];
    softmax.keep[i] = softmax.m[i] - m;
    softmax.join[i] = m_run[i] - m;
    softmax.m[i] = m;
  }
  if (softmax.first) return;
  store(softmax.keep, exp_lanes(load(softmax.keep)));
  store(softmax.join, exp_lanes(load(softmax.join)));
  for (uint32_t i = 0; i < queries; ++i) {
    if (softmax.counts[i] == 0) continue;
    softmax.l[i] = __builtin_fmaf(l_run[i], softmax.join[i], softmax.l[i] * softmax.keep[i]);
  }
}

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
  uint32_t shared = counts[0];
#pragma GCC unroll 8
  for (int i = 1; i < Queries; ++i) shared = counts[i] < shared ? counts[i] : shared;
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
  for (uint32_t begin = 0; begin < shared; begin += kGroup) {
    const T* row = at(begin);
    const float* e = values.e + begin;
    const float* const end = e + (shared - begin < kGroup ? shared - begin : kGroup);
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
  // Queries of one block may see different lengths: the last positions are each query's own.
#pragma GCC unroll 8
  for (int i = 0; i < Queries; ++i) {
    for (uint32_t p = shared; p < counts[i]; ++p) {
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
      if (!values.softmax->first) o = fma(o, join, mul(IsTail ? load_first(out, rest) : load(out), keep));
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

void normalise(float* out, float l, size_t head_dim) {
  const Lanes inv = div(broadcast(1.0f), broadcast(l));
  size_t d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) store(out + d, mul(load(out + d), inv));
  if (d < head_dim) store_first(out + d, head_dim - d, mul(load_first(out + d, head_dim - d), inv));
}

/// Rows of V of a run: T where they lie, or floats.
template <typename T>
struct RunRows {
  const T* lying[kGroups];
  const float* widened[kGroups];
  RunRows(const tessera_attention_args& args, uint32_t begin, uint32_t end, const Shared& shared) {
    for (uint32_t offset = 0; begin + offset < end && offset < kRun; offset += kGroup) {
      const uint32_t group = offset / kGroup;
      lying[group] = group_rows<T>(args, args.v_base, begin + offset);
      widened[group] = shared.values + (shared.values != nullptr ? offset * args.head_dim : 0);
    }
  }
};

/// Up to kPasses * kQueries queries.
template <typename T>
void attend(const tessera_attention_args& args, uint32_t first_query, uint32_t queries) {
  const uint32_t* const lengths = args.lengths + first_query;
  uint32_t end = 0;
  for (uint32_t i = 0; i < queries; ++i) end = lengths[i] > end ? lengths[i] : end;
  Shared shared{};
  shared.turned = args.scratch + kQueries * kRun;
  shared.all_turned = queries > kShare && args.head_dim >= kLanes;
  if (sizeof(T) != sizeof(float) && shared.all_turned) shared.values = shared.turned + kRun * args.head_dim;
  Softmax softmax[kPasses];
  for (uint32_t begin = 0; begin < end; begin += kRun) {
    if (shared.all_turned) share_run<T>(args, begin, end, shared);
    const RunRows<T> rows(args, begin, end, shared);
    for (uint32_t pass = 0; pass * kQueries < queries; ++pass) {
      const uint32_t first = pass * kQueries, count = queries - first < kQueries ? queries - first : kQueries;
      Softmax& own = softmax[pass];
      uint32_t seen = 0;
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t left = lengths[first + i] > begin ? lengths[first + i] - begin : 0;
        own.counts[i] = left < kRun ? left : kRun;
        seen |= left;
      }
      if (seen == 0) continue;
      own.first = begin == 0;
      score_run<T>(args, first_query + first, count, begin, own, shared, args.scratch);
      fold_softmax(own, count, args.scratch);
      if (shared.values != nullptr) {
        weigh_run(args, first_query + first, count, rows.widened, own, args.scratch);
      } else {
        weigh_run(args, first_query + first, count, rows.lying, own, args.scratch);
      }
    }
  }
  for (uint32_t i = 0; i < queries; ++i) {
    normalise(args.out[first_query + i], softmax[i / kQueries].l[i % kQueries], args.head_dim);
  }
}

}  // namespace

void attention(const tessera_attention_args* args) {
  constexpr uint32_t most = kPasses * kQueries;
  for (uint32_t query = 0; query < args->queries; query += most) {
    const uint32_t left = args->queries - query;
    const uint32_t queries = left < most ? left : most;
    if (args->kv_type == TESSERA_KV_BF16) {
      attend<uint16_t>(*args, query, queries);
    } else {
      attend<float>(*args, query, queries);
    }
  }
}

}  // namespace tessera::TESSERA_ISA
