// embed(): texts, as tokens, become vectors: the last hidden states of a model, pooled. For encoders, which are made
// for it, and for every other model too, where a token has seen those before it.
//
//   EmbeddingOptions options = embedding_options(replica->manifest());
//   TESSERA_CHECK(embed(*replica, texts, options, [&](std::size_t text, std::span<const float> vector) { … }, go_on));
//
// A vector is a function of the checkpoint and of its own text: the same bits whatever other texts there are, however
// they are cut into steps, for any number of shards and threads (docs/exactness.md, "Vectors of texts").
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/base/result.hpp"
#include "runtime/checkpoint/manifest.hpp"
#include "runtime/model/local_replica.hpp"
#include "runtime/tensor/pooling.hpp"

namespace tessera {

namespace limits {
/// Texts that one step takes a part of.
inline constexpr std::uint32_t step_texts_max = 64;
}  // namespace limits

struct EmbeddingOptions {
  Pooling pooling = Pooling::mean;
  bool normalised = false;
  std::uint32_t tokens_max = 0;                         ///< of a text; 0: embedding_tokens_max()
  std::uint32_t rows_per_step = limits::step_rows_max;  ///< a longer text of an encoder gets a step of its own
};

/// What the checkpoint says; where it says nothing, the mean for encoders, else the last token, not normalised.
EmbeddingOptions embedding_options(const Manifest& manifest);

/// The longest text that a model takes, in tokens.
std::uint32_t embedding_tokens_max(const ModelShape& shape);

/// Options and texts against the model: text lengths, ids, pooling; the error names the text (counted from 1) and what
/// to change.
Result<void> validate(std::span<const std::vector<TokenId>> texts, const EmbeddingOptions& options,
                      const ModelShape& shape);

/// Positions of a KV cache in which these texts run well; with less (but pages for the longest text) they run in
/// smaller steps.
std::uint32_t embedding_positions(std::span<const std::vector<TokenId>> texts);

/// Takes tokens off the end of a text, but for the last `kept`, until it has tokens_max. Whether it took any.
bool shorten_text(std::vector<TokenId>& text, std::uint32_t tokens_max, std::size_t kept);

/// The vector of a text, [dim], valid during the call.
using VectorCallback = std::function<void(std::size_t text, std::span<const float> vector)>;

/// Validates, then computes; `on_vector` gets the texts in order. `keep_going` is asked before every step (Ctrl-C):
/// false gives an error `cancelled`. The replica's pages are returned at the end.
Result<void> embed(LocalReplica& replica, std::span<const std::vector<TokenId>> texts, const EmbeddingOptions& options,
                   const VectorCallback& on_vector, const std::function<bool()>& keep_going);

}  // namespace tessera
