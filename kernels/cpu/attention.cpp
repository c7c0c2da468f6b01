// Attention in two sweeps per run of 128 positions: scores of all queries (attention_scores.hpp), then their weighted
// values (attention_values.hpp); between them the softmax: m_j, e, l_j of the run and the factors that fold it into
// what came before.
//
// Sixteen queries are taken per pass: their scores of one run fill the first 2,048 floats of the scratch. Behind them
// lies what all queries of the run share: K, turned, and V, widened. A page is whole in memory: K rows beyond the last
// visible position, up to a multiple of 16, are read and their scores dropped.
#include "kernels/cpu/attention_values.hpp"
#include "kernels/cpu/memory_streams.hpp"

namespace tessera::TESSERA_ISA {
namespace {

/// The largest of the scores skip .. count - 1; those before, and those past the count up to a whole vector, become
/// -infinity.
TESSERA_INLINE float largest_score(float* scores, uint32_t skip, uint32_t count) {
  const Lanes nothing = broadcast(-__builtin_inff());
  for (uint32_t i = 0; i < skip; i += kLanes) {
    if (skip - i >= kLanes) {
      store(scores + i, nothing);
    } else {
      store_first(scores + i, skip - i, nothing);
    }
  }
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
  // Step by step for all queries at once: the steps of one query wait for each other, those of several do not.
  for (uint32_t i = 0; i < queries; ++i) {
    if (softmax.counts[i] != 0) m_run[i] = largest_score(scores + i * kRun, softmax.skips[i], softmax.counts[i]);
  }
  for (uint32_t i = 0; i < queries; ++i) {
    if (softmax.counts[i] != 0) l_run[i] = exponentiate(scores + i * kRun, softmax.counts[i], m_run[i]);
  }
  bool any_begun = false;
  for (uint32_t i = 0; i < queries; ++i) {
    softmax.keep[i] = 0.0f;
    softmax.join[i] = 0.0f;
    if (softmax.counts[i] == 0) continue;
    any_begun |= softmax.begun[i];
    if (!softmax.begun[i]) {
      softmax.m[i] = m_run[i];
      softmax.l[i] = l_run[i];
      continue;
    }
    const float m = m_run[i] > softmax.m[i] ? m_run[i] : softmax.m[i];
    softmax.keep[i] = softmax.m[i] - m;
    softmax.join[i] = m_run[i] - m;
    softmax.m[i] = m;
  }
  if (!any_begun) return;
  store(softmax.keep, exp_lanes(load(softmax.keep)));
  store(softmax.join, exp_lanes(load(softmax.join)));
  for (uint32_t i = 0; i < queries; ++i) {
    if (softmax.counts[i] == 0 || !softmax.begun[i]) continue;
    softmax.l[i] = __builtin_fmaf(l_run[i], softmax.join[i], softmax.l[i] * softmax.keep[i]);
  }
}

/// Caps the scores of a run, also those that their queries do not see.
void cap_scores(const Softmax& softmax, uint32_t queries, float cap, float* scores) {
  for (uint32_t i = 0; i < queries; ++i) {
    if (softmax.counts[i] == 0) continue;
    const uint32_t skip = softmax.skips[i] / kLanes * kLanes;
    soft_cap(scores + i * kRun + skip, softmax.counts[i] - skip, cap, scores + i * kRun + skip);
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

/// Rows of K or V [begin, end), into the second cache. Pages lie anywhere, so the hardware does not see them coming.
template <typename T>
TESSERA_INLINE void prefetch_rows(const tessera_attention_args& args, const void* base, uint32_t begin, uint32_t end) {
  for (uint32_t position = begin; position < end; position += kGroup) {
    const auto* const rows = reinterpret_cast<const char*>(group_rows<T>(args, base, position));
    const uint32_t count = end - position < kGroup ? end - position : kGroup;
    for (size_t i = 0; i < count * args.head_dim * sizeof(T); i += kLine) prefetch_second(rows + i);
  }
}

/// Up to kPasses * kQueries queries.
template <typename T>
void attend(const tessera_attention_args& args, uint32_t first_query, uint32_t queries) {
  const uint32_t* const lengths = args.lengths + first_query;
  const uint32_t* const starts = args.starts != nullptr ? args.starts + first_query : nullptr;
  uint32_t end = 0, seen_from = starts != nullptr ? starts[0] : 0;
  for (uint32_t i = 0; i < queries; ++i) end = lengths[i] > end ? lengths[i] : end;
  for (uint32_t i = 0; starts != nullptr && i < queries; ++i) seen_from = starts[i] < seen_from ? starts[i] : seen_from;
  Shared shared{};
  shared.turned = args.scratch + kQueries * kRun;
  shared.all_turned = queries > kShare && args.head_dim >= kLanes;
  if (sizeof(T) != sizeof(float) && shared.all_turned) shared.values = shared.turned + kRun * args.head_dim;
  Softmax softmax[kPasses];
  for (uint32_t pass = 0; pass * kQueries < queries; ++pass) {
    for (uint32_t i = 0; i < kQueries; ++i) {
      softmax[pass].skips[i] = 0;
      softmax[pass].begun[i] = false;
    }
  }
  const uint32_t first_run = seen_from / kRun * kRun;
  prefetch_rows<T>(args, args.k_base, first_run, end - first_run < kRun ? end : first_run + kRun);
  for (uint32_t begin = first_run; begin < end; begin += kRun) {
    // The V of this run, while its K is read, and the K of the next.
    const uint32_t next = end - begin < kRun ? end : begin + kRun;
    prefetch_rows<T>(args, args.v_base, begin, next);
    prefetch_rows<T>(args, args.k_base, next, end - next < kRun ? end : next + kRun);
    if (shared.all_turned) share_run<T>(args, begin, end, shared);
    const RunRows<T> rows(args, begin, end, shared);
    for (uint32_t pass = 0; pass * kQueries < queries; ++pass) {
      const uint32_t first = pass * kQueries, count = queries - first < kQueries ? queries - first : kQueries;
      Softmax& own = softmax[pass];
      uint32_t seen = 0;
      for (uint32_t i = 0; i < count; ++i) {
        uint32_t left = lengths[first + i] > begin ? lengths[first + i] - begin : 0;
        left = left < kRun ? left : kRun;
        if (starts != nullptr) {
          own.skips[i] = starts[first + i] > begin ? starts[first + i] - begin : 0;
          if (own.skips[i] >= left) own.skips[i] = left = 0;
        }
        own.counts[i] = left;
        seen |= left;
      }
      if (seen == 0) continue;
      score_run<T>(args, first_query + first, count, begin, own, shared, args.scratch);
      if (args.soft_cap != 0.0f) cap_scores(own, count, args.soft_cap, args.scratch);
      fold_softmax(own, count, args.scratch);
      if (shared.values != nullptr) {
        weigh_run(args, first_query + first, count, rows.widened, own, args.scratch);
      } else {
        weigh_run(args, first_query + first, count, rows.lying, own, args.scratch);
      }
      for (uint32_t i = 0; i < count; ++i) own.begun[i] |= own.counts[i] != 0;
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
