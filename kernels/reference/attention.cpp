// Attention: each query alone, position by position, run by run.
#include "kernels/reference/numerics.hpp"
#include "kernels/reference/reference.hpp"

namespace tessera::reference {
namespace {

float key_or_value(const tessera_attention_args& args, const void* base, size_t position, size_t d) {
  const size_t page = args.page_ids[position / args.page_positions];
  const char* rows = static_cast<const char*>(base) + page * args.page_stride;
  const size_t element = position % args.page_positions * args.head_dim + d;
  if (args.kv_type == TESSERA_KV_BF16) return widen_bf16(reinterpret_cast<const uint16_t*>(rows)[element]);
  return reinterpret_cast<const float*>(rows)[element];
}

/// Softmax over one run of positions: its maximum, its sum of exponentials, and o [head_dim].
struct RunResult {
  float m;
  float l;
};

/// Positions [begin, end) of a run; a sliding window may have cut off its first ones.
RunResult attend_run(const tessera_attention_args& args, const float* q, size_t begin, size_t end, float* o) {
  float* e = args.scratch;  // [TESSERA_SOFTMAX_RUN]
  const size_t skipped = begin % TESSERA_SOFTMAX_RUN;
  for (size_t p = begin; p < end; ++p) {
    LaneSum dot;
    for (size_t d = 0; d < args.head_dim; ++d) dot.add_product(d, q[d], key_or_value(args, args.k_base, p, d));
    e[p - begin] = dot.fold() * args.scale;
    if (args.soft_cap != 0.0f) e[p - begin] = tanh_one(e[p - begin] / args.soft_cap) * args.soft_cap;
  }
  RunResult run{e[0], 0.0f};
  for (size_t i = 1; i < end - begin; ++i) run.m = e[i] > run.m ? e[i] : run.m;
  LaneSum sum;
  for (size_t i = 0; i < end - begin; ++i) {
    e[i] = exp_one(e[i] - run.m);
    sum.add(skipped + i, e[i]);
  }
  run.l = sum.fold();
  for (size_t d = 0; d < args.head_dim; ++d) {
    o[d] = 0.0f;
    for (size_t p = begin; p < end; ++p) o[d] = fma(e[p - begin], key_or_value(args, args.v_base, p, d), o[d]);
  }
  return run;
}

void attend(const tessera_attention_args& args, const float* q, size_t start, size_t length, float* out) {
  float* o = args.scratch + 2048;    // [head_dim]
  float* o_run = o + args.head_dim;  // [head_dim]
  const size_t next_run = (start / TESSERA_SOFTMAX_RUN + 1) * TESSERA_SOFTMAX_RUN;
  RunResult total = attend_run(args, q, start, length < next_run ? length : next_run, o);
  for (size_t begin = next_run; begin < length; begin += TESSERA_SOFTMAX_RUN) {
    const size_t end = length - begin < TESSERA_SOFTMAX_RUN ? length : begin + TESSERA_SOFTMAX_RUN;
    const RunResult run = attend_run(args, q, begin, end, o_run);
    const float m = run.m > total.m ? run.m : total.m;
    const float a = exp_one(total.m - m);
    const float b = exp_one(run.m - m);
    total = {m, fma(run.l, b, total.l * a)};
    for (size_t d = 0; d < args.head_dim; ++d) o[d] = fma(o_run[d], b, o[d] * a);
  }
  const float inv = 1.0f / total.l;
  for (size_t d = 0; d < args.head_dim; ++d) out[d] = o[d] * inv;
}

}  // namespace

void attention(const tessera_attention_args* args) {
  for (uint32_t i = 0; i < args->queries; ++i) {
    attend(*args, args->q[i], args->starts != nullptr ? args->starts[i] : 0, args->lengths[i], args->out[i]);
  }
}

}  // namespace tessera::reference
