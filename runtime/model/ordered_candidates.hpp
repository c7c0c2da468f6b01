// OrderedCandidates: the tokens of a vocabulary from the most to the least probable, as far as somebody looks. Mostly
// that is the best few of thousands; of a flat distribution it can be half of them.
//
//   values ─ bands below the best ─► buckets of a band, by how far below ─► a bucket in order
//            one by one as needed     all at once, unordered                one by one as needed
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/abi/kernel_abi.h"
#include "runtime/base/ids.hpp"

namespace tessera {

/// Memory for OrderedCandidates, a few vectors as long as the vocabulary, to be used again and again by one thread.
struct CandidateScratch {
  std::vector<std::uint64_t> found, keys;
  std::vector<std::uint32_t> bucket_ends;
  std::vector<float> weights;
};

/// The order is value descending, id ascending among equals (0 and -0 are equal). Confined to one thread.
class OrderedCandidates {
 public:
  /// `best` is the largest of `values`, which hold no NaN and outlive the object; so does `scratch`, which nobody else
  /// uses meanwhile.
  OrderedCandidates(std::span<const float> values, float best, CandidateScratch& scratch);

  std::size_t size() const { return values_.size(); }
  /// i < size().
  TokenId operator[](std::size_t i) {
    while (i >= sorted_) sort_more();
    return static_cast<TokenId>(static_cast<std::uint32_t>(scratch_.keys[i]));
  }
  /// exp(value) of a candidate; i < size(). The same bits as one by one: they are computed for a bucket at a time.
  float weight(const tessera_op_table& ops, std::size_t i);

 private:
  void take_band();
  std::size_t find_band();
  void sort_more();

  std::span<const float> values_;
  float best_;
  CandidateScratch& scratch_;
  std::size_t bands_ = 0;     // that were taken; their keys are in scratch_.keys
  std::size_t taken_ = 0;     // keys of these
  std::size_t bucket_ = 0;    // the next of the last band that is to be sorted
  std::size_t sorted_ = 0;    // keys in order
  std::size_t weighted_ = 0;  // of these, those with a weight
};

}  // namespace tessera
