#include "runtime/model/sampling.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/device/float_mode.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t vocabulary_slice_rows = 1024;
/// Candidates that are put in order at first; nearly every draw ends among them.
constexpr std::size_t first_candidates = 64;

float tree_sum(std::span<const float> slices) {
  if (slices.size() == 1) return slices[0];
  const std::size_t middle = slices.size() / 2;
  return tree_sum(slices.first(middle)) + tree_sum(slices.subspan(middle));
}

Result<void> in_range(const char* name, float value, float low, float high, bool low_allowed) {
  if (std::isfinite(value) && value <= high && (low_allowed ? value >= low : value > low)) return {};
  return Error{ErrorCode::invalid_argument, std::string(name) + " is " + std::to_string(value) + "; it must be " +
                                                (low_allowed ? "at least " : "above ") + std::to_string(low) +
                                                " and at most " + std::to_string(high)};
}

/// The candidates in order (value descending, id ascending), sorted only as far as somebody looks: mostly that is the
/// best few of thousands. They are taken out of the vocabulary in bands below the best value, and large bands are
/// sorted piece by piece.
class OrderedCandidates {
 public:
  /// `best` is the largest of the values.
  OrderedCandidates(std::span<const float> values, float best) : values_(values), best_(best) {}
  std::size_t size() const { return values_.size(); }
  /// i < size().
  TokenId operator[](std::size_t i) {
    while (i >= sorted_) sort_more();
    return static_cast<TokenId>(static_cast<std::uint32_t>(keys_[i]));
  }

 private:
  static constexpr float band_edges[] = {4, 16};  // below the best value; the last band has no end

  /// Ascending keys are candidates in order: 0 and -0 are one value, as for comparisons.
  static std::uint64_t key(float value, std::size_t id) {
    const auto bits = std::bit_cast<std::uint32_t>(value + 0.0f);
    const std::uint32_t ascending = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    return std::uint64_t{~ascending} << 32 | id;
  }

  void take_band() {
    const auto edge = [&](std::size_t i) { return best_ - band_edges[i]; };
    const bool first = bands_ == 0, last = bands_ == std::size(band_edges);
    const float above = first ? 0 : edge(bands_ - 1), below = last ? 0 : edge(bands_);
    for (std::size_t id = 0; id < values_.size(); ++id) {
      const float value = values_[id];
      if ((first || !(value > above)) && (last || value > below)) keys_.push_back(key(value, id));
    }
    ++bands_;
  }

  void sort_more() {
    while (sorted_ == keys_.size()) take_band();
    const std::size_t end = std::min(keys_.size(), std::max(first_candidates, sorted_ * 8));
    const auto from = keys_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    const auto to = keys_.begin() + static_cast<std::ptrdiff_t>(end);
    if (to != keys_.end()) std::nth_element(from, to, keys_.end());
    std::sort(from, to);
    sorted_ = end;
  }

  std::span<const float> values_;
  float best_;
  std::vector<std::uint64_t> keys_;  // of the bands that were taken
  std::size_t bands_ = 0;
  std::size_t sorted_ = 0;  // keys in order
};

TokenId best_of(std::span<const float> values) {
  return static_cast<TokenId>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

Result<void> validate(const SamplingParameters& parameters, std::uint32_t vocab_size) {
  constexpr float large = 1e6f;
  TESSERA_CHECK(in_range("temperature", parameters.temperature, 0, large, true));
  TESSERA_CHECK(in_range("top-p", parameters.top_p, 0, 1, false));
  TESSERA_CHECK(in_range("min-p", parameters.min_p, 0, 1, true));
  TESSERA_CHECK(in_range("repeat-penalty", parameters.repeat_penalty, 0, large, false));
  TESSERA_CHECK(in_range("presence-penalty", parameters.presence_penalty, -large, large, true));
  TESSERA_CHECK(in_range("frequency-penalty", parameters.frequency_penalty, -large, large, true));
  for (const auto& [token, bias] : parameters.logit_bias) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= vocab_size) {
      return Error{ErrorCode::invalid_argument, "logit-bias names token " + std::to_string(token) +
                                                    "; the vocabulary has 0 to " + std::to_string(vocab_size - 1)};
    }
    TESSERA_CHECK(in_range("logit-bias", bias, -large, large, true));
  }
  return {};
}

float vocabulary_exp_sum(const tessera_op_table& ops, std::span<const float> x, float shift) {
  const FlushDenormals mode;
  std::vector<float> slices;
  for (std::size_t begin = 0; begin < x.size(); begin += vocabulary_slice_rows) {
    slices.push_back(
        ops.exp_sum(x.data() + begin, std::min<std::size_t>(vocabulary_slice_rows, x.size() - begin), shift));
  }
  return tree_sum(slices);
}

LogProbabilities::LogProbabilities(const tessera_op_table& ops, std::span<const float> logits)
    : logits_(logits), best_(best_of(logits)) {
  const float max = logits[static_cast<std::size_t>(best_)];
  max_ = static_cast<double>(max);
  log_sum_ = exact::log(static_cast<double>(vocabulary_exp_sum(ops, logits, max)));
}

float LogProbabilities::of(TokenId token) const {
  return static_cast<float>(static_cast<double>(logits_[static_cast<std::size_t>(token)]) - max_ - log_sum_);
}

TokenAlternatives LogProbabilities::best(std::uint32_t count) const {
  TokenAlternatives alternatives;
  if (count == 0) return alternatives;
  OrderedCandidates candidates(logits_, logits_[static_cast<std::size_t>(best_)]);
  for (std::size_t i = 0; i < std::min<std::size_t>(count, candidates.size()); ++i)
    alternatives.push_back({candidates[i], of(candidates[i])});
  return alternatives;
}

Sampler::Sampler(const tessera_op_table& ops, SamplingParameters parameters, std::span<const TokenId> prompt,
                 std::uint32_t vocab_size)
    : ops_(ops), parameters_(std::move(parameters)), seen_(vocab_size), output_count_(vocab_size), values_(vocab_size) {
  for (const TokenId token : prompt) seen_[static_cast<std::size_t>(token)] = 1;
}

TokenId Sampler::sample(std::span<const float> logits, std::uint32_t position) {
  TESSERA_ENSURE(logits.size() == values_.size());
  const FlushDenormals mode;
  adjust(logits);
  const TokenId token = parameters_.temperature == 0 ? best_of(values_) : draw(position);
  take(token);
  return token;
}

void Sampler::take(TokenId token) {
  seen_[static_cast<std::size_t>(token)] = 1;
  ++output_count_[static_cast<std::size_t>(token)];
}

void Sampler::adjust(std::span<const float> logits) {
  std::copy(logits.begin(), logits.end(), values_.begin());
  for (const auto& [token, bias] : parameters_.logit_bias) values_[static_cast<std::size_t>(token)] += bias;
  const bool penalties =
      parameters_.repeat_penalty != 1 || parameters_.presence_penalty != 0 || parameters_.frequency_penalty != 0;
  if (penalties) {
    for (std::size_t token = 0; token < values_.size(); ++token) {
      float& value = values_[token];
      if (seen_[token] != 0) {
        value = value > 0 ? value / parameters_.repeat_penalty : value * parameters_.repeat_penalty;
      }
      if (output_count_[token] > 0) {
        value = value - parameters_.frequency_penalty * static_cast<float>(output_count_[token]);
        value = value - parameters_.presence_penalty;
      }
    }
  }
  if (parameters_.temperature > 0) {
    // Relative to the best, so that a tiny temperature sends all others to -infinity and the best stays at 0.
    const float max = ops_.max(values_.data(), values_.size());
    for (float& value : values_) value = (value - max) / parameters_.temperature;
  }
}

TokenId Sampler::draw(std::uint32_t position) {
  OrderedCandidates candidates(values_, 0);  // adjust() has made them relative to the best
  const auto weight = [&](std::size_t i) {
    float result;
    ops_.exp(&values_[static_cast<std::size_t>(candidates[i])], 1, &result);
    return result;
  };
  std::size_t count = candidates.size();
  double total;
  if (parameters_.top_k > 0 && parameters_.top_k < count) {
    count = parameters_.top_k;
    total = 0;
    for (std::size_t i = 0; i < count; ++i) total += static_cast<double>(weight(i));
  } else {
    total = static_cast<double>(vocabulary_exp_sum(ops_, values_, 0));
  }
  if (parameters_.top_p < 1 || parameters_.min_p > 0) {
    const double enough = static_cast<double>(parameters_.top_p) * total;
    double sum = 0;
    std::size_t kept = 0;
    while (kept < count) {
      const float w = weight(kept);
      if (kept > 0 && w < parameters_.min_p) break;
      sum += static_cast<double>(w);
      ++kept;
      if (parameters_.top_p < 1 && sum >= enough) break;
    }
    count = kept;
    total = sum;
  }
  const double target = uniform_double(philox_key(parameters_.seed), {position, parameters_.choice, 0, 0}) * total;
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    sum += static_cast<double>(weight(i));
    if (sum > target) return candidates[i];
  }
  // Rounding: the weights add up to a little less than the total. The last candidate with any weight takes the rest.
  std::size_t last = count;
  while (last > 1 && weight(last - 1) == 0) --last;
  return candidates[last - 1];
}

}  // namespace tessera
