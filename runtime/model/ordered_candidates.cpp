#include "runtime/model/ordered_candidates.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>

namespace tessera {

namespace {

/// Below the best value; the last band has no end.
constexpr std::array<float, 2> band_edges = {4, 16};
/// How much of the last band is cut into buckets; what is lower still is in the last bucket.
constexpr float last_band_width = 64;
constexpr std::size_t keys_per_bucket = 8, buckets_max = 4096;

/// Ascending keys are candidates in order: 0 and -0 are one value, as for comparisons.
std::uint64_t key_of(float value, std::size_t id) {
  const auto bits = std::bit_cast<std::uint32_t>(value + 0.0f);
  const std::uint32_t ascending = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return std::uint64_t{~ascending} << 32 | id;
}

float value_of(std::uint64_t key) {
  const auto ascending = ~static_cast<std::uint32_t>(key >> 32);
  return std::bit_cast<float>((ascending >> 31) != 0 ? ascending & 0x7fffffffu : ~ascending);
}

/// The buckets of a band: a value that is not lower is in no later one, whatever is rounded.
class Buckets {
 public:
  Buckets(float upper, float width, std::size_t count)
      : upper_(upper), scale_(static_cast<float>(count) / width), last_(static_cast<float>(count - 1)) {}
  std::size_t operator()(std::uint64_t key) const {
    return static_cast<std::size_t>(std::clamp((upper_ - value_of(key)) * scale_, 0.0f, last_));
  }

 private:
  float upper_, scale_, last_;
};

}  // namespace

OrderedCandidates::OrderedCandidates(std::span<const float> values, float best, CandidateScratch& scratch)
    : values_(values), best_(best), scratch_(scratch) {
  if (scratch_.keys.size() >= values.size()) return;
  scratch_.found.resize(values.size());
  scratch_.keys.resize(values.size());
  scratch_.weights.resize(values.size());
}

/// The keys of the next band, in the order of the ids, into scratch_.found. Without branches that depend on single
/// values: in a flat distribution nobody could predict them.
std::size_t OrderedCandidates::find_band() {
  const bool first = bands_ == 0, last = bands_ == band_edges.size();
  const float above = first ? 0 : best_ - band_edges[bands_ - 1], below = last ? 0 : best_ - band_edges[bands_];
  const auto inside = [&](float value) -> unsigned {
    return (unsigned{first} | unsigned{!(value > above)}) & (unsigned{last} | unsigned{value > below});
  };
  constexpr std::size_t block = 32;
  std::size_t found = 0;
  std::uint64_t* const keys = scratch_.found.data();
  for (std::size_t begin = 0; begin < values_.size(); begin += block) {
    const std::span<const float> part = values_.subspan(begin, std::min(block, values_.size() - begin));
    unsigned any = 0;
    for (const float value : part) any |= inside(value);
    if (any == 0) continue;
    for (std::size_t i = 0; i < part.size(); ++i) {
      keys[found] = key_of(part[i], begin + i);  // found <= begin + i: there is room, also when it is not inside
      found += inside(part[i]);
    }
  }
  return found;
}

/// A counting sort by bucket, behind the keys that are there.
void OrderedCandidates::take_band() {
  const std::size_t found = find_band();
  const float upper = bands_ == 0 ? best_ : best_ - band_edges[bands_ - 1];
  const float width =
      bands_ == band_edges.size() ? last_band_width : band_edges[bands_] - (bands_ == 0 ? 0 : band_edges[bands_ - 1]);
  const std::size_t count = std::clamp(std::bit_ceil(found / keys_per_bucket), std::size_t{1}, buckets_max);
  const Buckets bucket_of(upper, width, count);
  const std::span<const std::uint64_t> keys(scratch_.found.data(), found);
  std::vector<std::uint32_t>& ends = scratch_.bucket_ends;
  ends.assign(count + 1, 0);
  for (const std::uint64_t key : keys) ++ends[bucket_of(key) + 1];
  auto sum = static_cast<std::uint32_t>(taken_);
  for (std::uint32_t& end : ends) sum = end += sum;
  // ends[i] is where bucket i begins, and, once its keys are in place, where it ends.
  for (const std::uint64_t key : keys) scratch_.keys[ends[bucket_of(key)]++] = key;
  ends.pop_back();
  bucket_ = 0;
  taken_ += found;
  ++bands_;
}

void OrderedCandidates::sort_more() {
  while (sorted_ == taken_) take_band();
  while (scratch_.bucket_ends[bucket_] == sorted_) ++bucket_;
  const std::size_t end = scratch_.bucket_ends[bucket_++];
  std::sort(scratch_.keys.begin() + static_cast<std::ptrdiff_t>(sorted_),
            scratch_.keys.begin() + static_cast<std::ptrdiff_t>(end));
  sorted_ = end;
}

float OrderedCandidates::weight(const tessera_op_table& ops, std::size_t i) {
  while (i >= sorted_) sort_more();
  if (i >= weighted_) {
    float* const weights = scratch_.weights.data();
    for (std::size_t k = weighted_; k < sorted_; ++k) weights[k] = value_of(scratch_.keys[k]);
    ops.exp(weights + weighted_, sorted_ - weighted_, weights + weighted_);
    weighted_ = sorted_;
  }
  return scratch_.weights[i];
}

}  // namespace tessera
