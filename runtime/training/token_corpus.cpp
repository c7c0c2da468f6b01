#include "runtime/training/token_corpus.hpp"

#include <algorithm>

#include "runtime/base/ensure.hpp"
#include "runtime/base/rng.hpp"

namespace tessera {

Result<TokenCorpus> TokenCorpus::create(std::vector<TokenId> tokens, std::uint32_t length, std::uint32_t vocab_size,
                                        const std::string& name, std::vector<std::size_t> begins) {
  TESSERA_ENSURE(length > 0);
  if (tokens.size() < std::size_t{length} + 1) {
    return Error{ErrorCode::invalid_argument,
                 name + ": has " + std::to_string(tokens.size()) + " tokens, but a training sequence takes " +
                     std::to_string(std::size_t{length} + 1) + "; give more text or a smaller length"};
  }
  const auto outside = std::find_if(tokens.begin(), tokens.end(),
                                    [&](TokenId id) { return id < 0 || static_cast<std::uint32_t>(id) >= vocab_size; });
  if (outside != tokens.end()) {
    return Error{ErrorCode::invalid_argument, name + ": token " + std::to_string(*outside) +
                                                  " is outside of the model's vocabulary of " +
                                                  std::to_string(vocab_size) + "; use the model's own tokenizer"};
  }
  const std::size_t last = tokens.size() - length - 1;
  std::erase_if(begins, [&](std::size_t begin) { return begin > last; });
  return TokenCorpus(std::move(tokens), length, std::move(begins));
}

void TokenCorpus::take(std::size_t place, std::uint32_t window, OwnedMicroBatch& batch) const {
  const auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(place);
  batch.inputs.insert(batch.inputs.end(), begin, begin + window);
  batch.targets.insert(batch.targets.end(), begin + 1, begin + 1 + window);
}

OwnedMicroBatch TokenCorpus::random(std::uint64_t seed, std::uint64_t step, std::uint32_t index,
                                    std::uint32_t sequences, std::uint32_t window) const {
  TESSERA_ENSURE(window > 0 && window <= length_);
  OwnedMicroBatch batch;
  const std::size_t places = begins_.empty() ? tokens_.size() - window : begins_.size();
  for (std::uint32_t sequence = 0; sequence < sequences; ++sequence) {
    const double uniform = uniform_double(
        philox_key(seed), {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32), index, sequence});
    const std::size_t drawn = std::min(places - 1, static_cast<std::size_t>(uniform * static_cast<double>(places)));
    take(begins_.empty() ? drawn : begins_[drawn], window, batch);
  }
  batch.view = {sequences, window, batch.inputs, batch.targets};
  return batch;
}

OwnedMicroBatch TokenCorpus::in_order(std::size_t first_window, std::uint32_t sequences) const {
  TESSERA_ENSURE(first_window + sequences <= windows());
  OwnedMicroBatch batch;
  for (std::size_t window = first_window; window < first_window + sequences; ++window)
    take(begins_.empty() ? window * length_ : begins_[window], length_, batch);
  batch.view = {sequences, length_, batch.inputs, batch.targets};
  return batch;
}

}  // namespace tessera
