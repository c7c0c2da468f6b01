#include "runtime/model/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "runtime/base/exact_math.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/device/float_mode.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t vocabulary_slice_rows = 1024;

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

/// The lowest id among equals.
TokenId best_of(const tessera_op_table& ops, std::span<const float> values) {
  const float max = ops.max(values.data(), values.size());
  return static_cast<TokenId>(std::find(values.begin(), values.end(), max) - values.begin());
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
    : logits_(logits), best_(best_of(ops, logits)) {
  const float max = logits[static_cast<std::size_t>(best_)];
  max_ = static_cast<double>(max);
  log_sum_ = exact::log(static_cast<double>(vocabulary_exp_sum(ops, logits, max)));
}

float LogProbabilities::of(TokenId token) const {
  return static_cast<float>(static_cast<double>(logits_[static_cast<std::size_t>(token)]) - max_ - log_sum_);
}

TokenAlternatives LogProbabilities::best(std::uint32_t count, SamplingScratch& scratch) const {
  TokenAlternatives alternatives;
  if (count == 0) return alternatives;
  OrderedCandidates candidates(logits_, logits_[static_cast<std::size_t>(best_)], scratch.candidates);
  for (std::size_t i = 0; i < std::min<std::size_t>(count, candidates.size()); ++i)
    alternatives.push_back({candidates[i], of(candidates[i])});
  return alternatives;
}

TokenHistory::TokenHistory(std::span<const TokenId> prompt) {
  std::vector<TokenId> tokens(prompt.begin(), prompt.end());
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  entries_.reserve(tokens.size());
  for (const TokenId token : tokens) entries_.push_back({token, 0});
}

void TokenHistory::take(TokenId token) {
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), token,
                                   [](const Entry& entry, TokenId id) { return entry.token < id; });
  if (at != entries_.end() && at->token == token) {
    ++at->sampled;
  } else {
    entries_.insert(at, {token, 1});
  }
}

Sampler::Sampler(const tessera_op_table& ops, SamplingParameters parameters, std::span<const TokenId> prompt)
    : ops_(ops),
      parameters_(std::move(parameters)),
      penalties_(parameters_.repeat_penalty != 1 || parameters_.presence_penalty != 0 ||
                 parameters_.frequency_penalty != 0),
      history_(penalties_ ? prompt : std::span<const TokenId>{}) {}

TokenId Sampler::sample(std::span<const float> logits, std::uint32_t position, SamplingScratch& scratch) {
  const FlushDenormals mode;
  adjust(logits, scratch.values);
  const TokenId token = parameters_.temperature == 0 ? best_of(ops_, scratch.values) : draw(position, scratch);
  take(token);
  return token;
}

void Sampler::take(TokenId token) {
  if (penalties_) history_.take(token);
}

void Sampler::adjust(std::span<const float> logits, std::vector<float>& values) const {
  values.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : parameters_.logit_bias) values[static_cast<std::size_t>(token)] += bias;
  if (penalties_) {
    for (const auto& [token, sampled] : history_.entries()) {
      float& value = values[static_cast<std::size_t>(token)];
      value = value > 0 ? value / parameters_.repeat_penalty : value * parameters_.repeat_penalty;
      if (sampled > 0) {
        value = value - parameters_.frequency_penalty * static_cast<float>(sampled);
        value = value - parameters_.presence_penalty;
      }
    }
  }
  if (parameters_.temperature > 0) {
    // Relative to the best, so that a tiny temperature sends all others to -infinity and the best stays at 0.
    const float max = ops_.max(values.data(), values.size());
    for (float& value : values) value = (value - max) / parameters_.temperature;
  }
}

TokenId Sampler::draw(std::uint32_t position, SamplingScratch& scratch) const {
  OrderedCandidates candidates(scratch.values, 0, scratch.candidates);  // adjust() has made them relative to the best
  const auto weight = [&](std::size_t i) { return candidates.weight(ops_, i); };
  std::size_t count = candidates.size();
  double total;
  if (parameters_.top_k > 0 && parameters_.top_k < count) {
    count = parameters_.top_k;
    total = 0;
    for (std::size_t i = 0; i < count; ++i) total += static_cast<double>(weight(i));
  } else {
    total = static_cast<double>(vocabulary_exp_sum(ops_, scratch.values, 0));
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
