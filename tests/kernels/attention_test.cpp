// Attention: every module against the reference; independence of pages and of the queries that share a call; accuracy.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/guarded_buffer.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/random_values.hpp"

using namespace tessera::test;

namespace {

constexpr std::uint32_t kHeadDims[] = {2, 6, 8, 12, 16, 24, 40, 64, 80, 128, 256};
constexpr std::uint32_t kPageSizes[] = {16, 32, 64, 128};

/// What is attended to, apart from how it is stored.
struct Problem {
  std::uint32_t head_dim = 0, positions = 0;
  tessera_kv_type type = TESSERA_KV_F32;
  std::vector<float> k, v;              // [positions][head_dim]
  std::vector<GuardedBuffer<float>> q;  // [queries] of [head_dim]
  std::vector<std::uint32_t> lengths;   // [queries]
  std::vector<std::uint32_t> starts;    // [queries], or empty
  float soft_cap = 0;

  std::string text(std::uint64_t seed) const {
    return "seed " + std::to_string(seed) + ", head_dim " + std::to_string(head_dim) + ", positions " +
           std::to_string(positions) + ", queries " + std::to_string(q.size()) +
           (type == TESSERA_KV_BF16 ? ", bf16" : ", f32") + (starts.empty() ? "" : ", windows") +
           (soft_cap == 0 ? "" : ", capped");
  }
};

Problem make_problem(Random& random, std::uint32_t queries, std::uint32_t positions) {
  Problem problem;
  problem.head_dim = random.pick(kHeadDims);
  problem.positions = positions;
  problem.type = random.chance(2) ? TESSERA_KV_F32 : TESSERA_KV_BF16;
  const Values kind = random.chance(3) ? Values::extremes : Values::plain;
  problem.k.resize(std::size_t{positions} * problem.head_dim);
  problem.v.resize(problem.k.size());
  random.fill(problem.k, kind);
  random.fill(problem.v, kind);
  for (std::uint32_t i = 0; i < queries; ++i) {
    problem.q.emplace_back(problem.head_dim);
    random.fill(problem.q.back(), kind);
    if (random.chance(4)) {  // sharp: scores far apart, exponentials that vanish
      for (float& value : problem.q.back()) value *= 200.0f;
    }
    problem.lengths.push_back(random.between(1, positions));
  }
  problem.lengths[random.between(0, queries - 1)] = positions;
  return problem;
}

/// A cache of pages in an order of its own; one page more than needed, and a stride with a gap.
class Pages {
 public:
  Pages(const Problem& problem, std::uint32_t page_positions, Random& random)
      : page_positions_(page_positions),
        element_((problem.type == TESSERA_KV_BF16) ? 2 : 4),
        stride_(page_positions * problem.head_dim * element_ + 64),
        ids_((problem.positions + page_positions - 1) / page_positions),
        k_((ids_.size() + 1) * stride_ - 64),
        v_(k_.size()) {
    for (std::uint32_t i = 0; i < ids_.size(); ++i) ids_[i] = i + 1;
    for (std::size_t i = ids_.size(); i > 1; --i)
      std::swap(ids_[i - 1], ids_[random.between(0, static_cast<std::uint32_t>(i) - 1)]);
    // Rows that no query sees hold NaN: nothing of them may reach a result.
    std::memset(k_.data(), 0xff, k_.size());
    std::memset(v_.data(), 0xff, v_.size());
    for (std::size_t p = 0; p < problem.positions; ++p) {
      put(problem, problem.k, k_, p);
      put(problem, problem.v, v_, p);
    }
  }

  tessera_attention_args args(const Problem& problem) const {
    tessera_attention_args args{};
    args.kv_type = problem.type;
    args.k_base = k_.data();
    args.v_base = v_.data();
    args.page_stride = stride_;
    args.page_ids = ids_.data();
    args.page_positions = page_positions_;
    args.head_dim = problem.head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(problem.head_dim));
    return args;
  }

 private:
  void put(const Problem& problem, const std::vector<float>& from, GuardedBuffer<char>& to, std::size_t p) {
    char* row = to.data() + ids_[p / page_positions_] * stride_ + p % page_positions_ * problem.head_dim * element_;
    const float* values = from.data() + p * problem.head_dim;
    if (problem.type == TESSERA_KV_F32) {
      std::memcpy(row, values, problem.head_dim * sizeof(float));
    } else {
      scalar().round_bf16(values, problem.head_dim, reinterpret_cast<std::uint16_t*>(row));
    }
  }

  std::uint32_t page_positions_;
  std::size_t element_;
  std::size_t stride_;
  std::vector<std::uint32_t> ids_;
  GuardedBuffer<char> k_, v_;
};

/// Queries begin .. end-1 of the problem in one call: [queries * head_dim].
std::vector<float> attend(const tessera_op_table& table, const Problem& problem, const Pages& pages, std::size_t begin,
                          std::size_t end) {
  std::vector<GuardedBuffer<float>> out;
  std::vector<const float*> q_rows;
  std::vector<float*> out_rows;
  for (std::size_t i = begin; i < end; ++i) {
    q_rows.push_back(problem.q[i].data());
    out.emplace_back(problem.head_dim);
    out_rows.push_back(out.back().data());
  }
  GuardedBuffer<float> scratch(TESSERA_ATTENTION_SCRATCH(problem.head_dim));
  tessera_attention_args args = pages.args(problem);
  args.queries = static_cast<std::uint32_t>(end - begin);
  args.q = q_rows.data();
  args.out = out_rows.data();
  args.lengths = problem.lengths.data() + begin;
  args.starts = problem.starts.empty() ? nullptr : problem.starts.data() + begin;
  args.soft_cap = problem.soft_cap;
  args.scratch = scratch.data();
  table.attention(&args);
  std::vector<float> result;
  for (auto& row : out) result.insert(result.end(), row.begin(), row.end());
  return result;
}

std::vector<float> attend_all(const tessera_op_table& table, const Problem& problem, const Pages& pages) {
  return attend(table, problem, pages, 0, problem.q.size());
}

}  // namespace

KERNEL_TEST(attention_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < 250; ++seed) {
    Random random(seed);
    const std::uint32_t queries = random.chance(16)  ? random.between(120, 150)
                                  : random.chance(3) ? random.between(10, 35)
                                                     : random.between(1, 9);
    const Problem problem =
        make_problem(random, queries, random.chance(3) ? random.between(129, 400) : random.between(1, 140));
    const Pages pages(problem, random.pick(kPageSizes), random);
    require_same_bits<float>(attend_all(scalar(), problem, pages), attend_all(table, problem, pages),
                             problem.text(seed));
  }
}

KERNEL_TEST(attention_in_windows_and_with_capped_scores_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < 250; ++seed) {
    Random random(seed + 1000);
    const std::uint32_t queries = random.chance(16)  ? random.between(120, 150)
                                  : random.chance(3) ? random.between(10, 35)
                                                     : random.between(1, 9);
    Problem problem =
        make_problem(random, queries, random.chance(3) ? random.between(129, 700) : random.between(1, 140));
    const bool neighbours = random.chance(2);  // as a prompt's rows lie, and with one window
    const std::uint32_t window = random.between(1, 300);
    for (std::uint32_t i = 0; i < queries; ++i) {
      if (neighbours) problem.lengths[i] = problem.positions - std::min(problem.positions - 1, i);
      const std::uint32_t length = problem.lengths[i];
      problem.starts.push_back(neighbours ? length - std::min(length, window) : random.between(0, length - 1));
    }
    if (random.chance(2)) problem.soft_cap = 1.5f;
    const Pages pages(problem, random.pick(kPageSizes), random);
    const std::vector<float> together = attend_all(table, problem, pages);
    require_same_bits<float>(attend_all(scalar(), problem, pages), together, problem.text(seed));
    const std::size_t one = random.between(0, queries - 1);
    require_same_bits<float>(std::span<const float>(together.data() + one * problem.head_dim, problem.head_dim),
                             attend(table, problem, pages, one, one + 1), "alone, " + problem.text(seed));
  }
}

KERNEL_TEST(attention_agrees_at_every_length_around_a_run) {
  Random random(7);
  Problem problem = make_problem(random, 1, 260);
  problem.head_dim = 40;
  problem.type = TESSERA_KV_BF16;
  problem.k.resize(260 * 40);
  problem.v.resize(260 * 40);
  random.fill(problem.k, Values::plain);
  random.fill(problem.v, Values::plain);
  problem.q.clear();
  problem.lengths.clear();
  for (const std::uint32_t length :
       {1u, 2u, 15u, 16u, 17u, 31u, 126u, 127u, 128u, 129u, 130u, 143u, 144u, 145u, 255u, 256u, 257u, 258u, 260u}) {
    problem.q.emplace_back(problem.head_dim);
    random.fill(problem.q.back(), Values::plain);
    problem.lengths.push_back(length);
  }
  const Pages pages(problem, 32, random);
  require_same_bits<float>(attend_all(scalar(), problem, pages), attend_all(table, problem, pages), problem.text(7));
}

KERNEL_TEST(attention_does_not_depend_on_page_size_or_page_order) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Random random(seed);
    const Problem problem = make_problem(random, random.between(1, 6), random.between(100, 300));
    const std::vector<float> expected = attend_all(table, problem, Pages(problem, 16, random));
    for (const std::uint32_t page_positions : kPageSizes) {
      for (int order = 0; order < 2; ++order) {
        const Pages pages(problem, page_positions, random);
        require_same_bits<float>(expected, attend_all(table, problem, pages),
                                 problem.text(seed) + ", pages of " + std::to_string(page_positions));
      }
    }
  }
}

KERNEL_TEST(a_query_has_the_same_bits_alone_and_in_company) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Random random(seed);
    const Problem problem = make_problem(random, random.between(2, 40), random.between(100, 300));
    const Pages pages(problem, random.pick(kPageSizes), random);
    const std::vector<float> together = attend_all(table, problem, pages);
    for (std::size_t begin = 0; begin < problem.q.size();) {
      const std::size_t end = std::min<std::size_t>(problem.q.size(), begin + random.between(1, 7));
      const std::span<const float> part(together.data() + begin * problem.head_dim, (end - begin) * problem.head_dim);
      require_same_bits<float>(part, attend(table, problem, pages, begin, end), problem.text(seed));
      begin = end;
    }
  }
}

BOOST_FIXTURE_TEST_CASE(reference_attention_is_accurate, FlushDenormals) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    Problem problem = make_problem(random, 3, random.between(1, 400));
    problem.type = TESSERA_KV_F32;
    random.fill(problem.k, Values::plain);
    random.fill(problem.v, Values::plain);
    for (auto& q : problem.q) random.fill(q, Values::plain);
    if (seed % 2 == 1) {
      for (const std::uint32_t length : problem.lengths) problem.starts.push_back(random.between(0, length - 1));
      problem.soft_cap = 0.8f;
    }
    const Pages pages(problem, 64, random);
    const std::vector<float> actual = attend_all(scalar(), problem, pages);
    for (std::size_t i = 0; i < problem.q.size(); ++i) {
      std::vector<double> scores(problem.lengths[i]), out(problem.head_dim);
      double sum = 0.0;
      for (std::size_t p = 0; p < scores.size(); ++p) {
        for (std::size_t d = 0; d < problem.head_dim; ++d)
          scores[p] += double{problem.q[i][d]} * double{problem.k[p * problem.head_dim + d]};
        scores[p] /= std::sqrt(double{problem.head_dim * 1.0});
        const double cap = double{problem.soft_cap};
        if (cap != 0) scores[p] = std::tanh(scores[p] / cap) * cap;
        scores[p] = std::exp(scores[p]);
        if (!problem.starts.empty() && p < problem.starts[i]) scores[p] = 0;
        sum += scores[p];
      }
      for (std::size_t d = 0; d < problem.head_dim; ++d) {
        for (std::size_t p = 0; p < scores.size(); ++p)
          out[d] += scores[p] / sum * double{problem.v[p * problem.head_dim + d]};
        // Values lie in [-1, 1): a few hundred roundings of weights that sum to 1.
        BOOST_REQUIRE_SMALL(double{actual[i * problem.head_dim + d]} - out[d], 2e-5);
      }
    }
  }
}
