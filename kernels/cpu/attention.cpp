// Attention in two sweeps per run of 128 positions: scores of all queries, then their weighted values.
//
//   scores   one query against 16 positions at once: 16 dot products side by side, folded together into one vector
//   softmax  m_j, e, l_j of the run and the factors that fold it into what came before
//   values   up to 4 queries share each row of V; o_j stays in registers and is folded into `out` at once
//
// Sixteen queries are taken per pass: their scores of one run fill the first 2,048 floats of the scratch. Behind them
// lie 16 rows of K, widened once for all queries when the cache holds bf16. A page is whole in memory: K rows beyond
// the last visible position, up to a multiple of 16, are read and their scores dropped.
#include "kernels/cpu/ops.hpp"
#include "kernels/cpu/vec.hpp"

namespace tessera::TESSERA_ISA {
namespace {

constexpr uint32_t kRun = TESSERA_SOFTMAX_RUN;
constexpr uint32_t kGroup = 16;              // positions scored together
constexpr uint32_t kGroups = kRun / kGroup;  // groups of a run
constexpr uint32_t kQueries = 16;            // queries of one pass

#if defined(__AVX512F__)
constexpr uint32_t kDots = 16;  // dot products that fit the registers
template <int Queries>
constexpr int kChunks = 4;  // vectors of head_dim per query that fit the registers
#else
constexpr uint32_t kDots = 4;
template <int Queries>
constexpr int kChunks = 4 / Queries;
#endif

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

/// scores [queries][128] of the run that begins at `begin`.
template <typename T>
void score_run(const tessera_attention_args& args, uint32_t first_query, uint32_t queries, uint32_t begin,
               const Softmax& softmax, float* scores) {
  const Lanes scale = broadcast(args.scale);
  for (uint32_t group = 0; group < kGroups; ++group) {
    const uint32_t offset = group * kGroup;
    const float* rows = nullptr;
    for (uint32_t i = 0; i < queries; ++i) {
      if (softmax.counts[i] <= offset) continue;
      if (rows == nullptr) {
        rows = widen_group(group_rows<T>(args, args.k_base, begin + offset), args.head_dim, args.scratch + 2048);
      }
      store(scores + i * kRun + offset, mul(score_group(args.q[first_query + i], rows, args.head_dim), scale));
    }
  }
}

/// Turns `count` scores into exponentials relative to their maximum; lanes past the count become 0.
TESSERA_INLINE float exponentiate(float* scores, uint32_t count, float* sum) {
  const float infinity = __builtin_inff();
  const uint32_t whole = count / kLanes * kLanes;
  const uint32_t rest = count - whole;
  if (rest != 0) {
    float* last = scores + whole;
    store(last, first_of(rest, load(last), broadcast(-infinity)));
  }
  Lanes most = broadcast(-infinity);
  for (uint32_t i = 0; i < count; i += kLanes) most = max(most, load(scores + i));
  const float m = largest(most);
  Lanes total = zero();
  for (uint32_t i = 0; i < count; i += kLanes) {
    const Lanes e = exp_lanes(sub(load(scores + i), broadcast(m)));
    store(scores + i, e);
    total = add(total, e);  // adds +0 for lanes past the count: sums of exponentials are never -0
  }
  *sum = fold(total);
  return m;
}

void fold_softmax(Softmax& softmax, uint32_t queries, float* scores) {
  alignas(64) float l_run[kQueries] = {};
  for (uint32_t i = 0; i < queries; ++i) {
    softmax.keep[i] = 0.0f;
    softmax.join[i] = 0.0f;
    if (softmax.counts[i] == 0) continue;
    const float m_run = exponentiate(scores + i * kRun, softmax.counts[i], &l_run[i]);
    if (softmax.first) {
      softmax.m[i] = m_run;
      softmax.l[i] = l_run[i];
      continue;
    }
    const float m = m_run > softmax.m[i] ? m_run : softmax.m[i];
    softmax.keep[i] = softmax.m[i] - m;
    softmax.join[i] = m_run - m;
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
#pragma GCC unroll 4
  for (int i = 1; i < Queries; ++i) shared = counts[i] < shared ? counts[i] : shared;
  Lanes acc[Queries][Chunks];
#pragma GCC unroll 4
  for (int i = 0; i < Queries; ++i) {
#pragma GCC unroll 4
    for (int c = 0; c < Chunks; ++c) acc[i][c] = zero();
  }
  const auto at = [&](uint32_t position) TESSERA_LAMBDA {
    return values.groups[position / kGroup] + position % kGroup * values.head_dim + d;
  };
  const auto value = [&](const T* row, int c) TESSERA_LAMBDA {
    if constexpr (IsTail) return load_first(row, rest);
    return load(row + c * kLanes);
  };
  for (uint32_t p = 0; p < shared; ++p) {
    const T* row = at(p);
    Lanes v[Chunks];
#pragma GCC unroll 4
    for (int c = 0; c < Chunks; ++c) v[c] = value(row, c);
#pragma GCC unroll 4
    for (int i = 0; i < Queries; ++i) {
      const Lanes e = broadcast(values.e[i * kRun + p]);
#pragma GCC unroll 4
      for (int c = 0; c < Chunks; ++c) acc[i][c] = fma(e, v[c], acc[i][c]);
    }
  }
  // Queries of one block may see different lengths: the last positions are each query's own.
#pragma GCC unroll 4
  for (int i = 0; i < Queries; ++i) {
    for (uint32_t p = shared; p < counts[i]; ++p) {
      const T* row = at(p);
      const Lanes e = broadcast(values.e[i * kRun + p]);
#pragma GCC unroll 4
      for (int c = 0; c < Chunks; ++c) acc[i][c] = fma(e, value(row, c), acc[i][c]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < Queries; ++i) {
    if (counts[i] == 0) continue;
    const Lanes keep = broadcast(values.softmax->keep[values.query + i]);
    const Lanes join = broadcast(values.softmax->join[values.query + i]);
#pragma GCC unroll 4
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

template <typename T>
void weigh_run(const tessera_attention_args& args, uint32_t first_query, uint32_t queries, uint32_t begin, uint32_t end,
               const Softmax& softmax, const float* scores) {
  Values<T> values{};
  values.head_dim = args.head_dim;
  values.softmax = &softmax;
  for (uint32_t offset = 0; begin + offset < end && offset < kRun; offset += kGroup) {
    values.groups[offset / kGroup] = group_rows<T>(args, args.v_base, begin + offset);
  }
  uint32_t step = 0;
  for (uint32_t i = 0; i < queries; i += step) {
    values.e = scores + i * kRun;
    values.query = i;
    values.out = args.out + first_query + i;
    step = queries - i >= 4 ? 4 : queries - i >= 2 ? 2 : 1;
    if (step == 4) {
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

template <typename T>
void attend(const tessera_attention_args& args, uint32_t first_query, uint32_t queries) {
  const uint32_t* lengths = args.lengths + first_query;
  uint32_t end = 0;
  for (uint32_t i = 0; i < queries; ++i) end = lengths[i] > end ? lengths[i] : end;
  Softmax softmax{};
  for (uint32_t begin = 0; begin < end; begin += kRun) {
    for (uint32_t i = 0; i < queries; ++i) {
      const uint32_t left = lengths[i] > begin ? lengths[i] - begin : 0;
      softmax.counts[i] = left < kRun ? left : kRun;
    }
    softmax.first = begin == 0;
    score_run<T>(args, first_query, queries, begin, softmax, args.scratch);
    fold_softmax(softmax, queries, args.scratch);
    weigh_run<T>(args, first_query, queries, begin, end, softmax, args.scratch);
  }
  for (uint32_t i = 0; i < queries; ++i) normalise(args.out[first_query + i], softmax.l[i], args.head_dim);
}

}  // namespace

void attention(const tessera_attention_args* args) {
  for (uint32_t query = 0; query < args->queries; query += kQueries) {
    const uint32_t left = args->queries - query;
    const uint32_t queries = left < kQueries ? left : kQueries;
    if (args->kv_type == TESSERA_KV_BF16) {
      attend<uint16_t>(*args, query, queries);
    } else {
      attend<float>(*args, query, queries);
    }
  }
}

}  // namespace tessera::TESSERA_ISA
