// Step: one forward pass over a batch of tokens of many sequences. Plain data, the same on every shard of a replica.
//
//   row 0: sequence 0, position 17            (decode)
//   row 1: sequence 1, position 5             (decode)
//   row 2: sequence 2, position 0  ┐
//   row 3: sequence 2, position 1  ├ a prefill chunk; only its last row wants logits
//   row 4: sequence 2, position 2  ┘
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// One token of one sequence. Its K and V are written at `position`; it attends to positions 0..position, or, in an
/// encoder, to all of its sequence.
struct StepRow {
  TokenId token = 0;
  std::uint32_t position = 0;
  std::uint32_t sequence = 0;  ///< index into Step::sequences
  bool wants_logits = false;
  bool wants_hidden = false;  ///< its last hidden state
};

/// Where a sequence's K and V lie: page i holds positions i * kv_page_positions ...
struct StepSequence {
  std::span<const PageId> pages;
};

/// Rows of one sequence are consecutive, with consecutive positions; earlier positions were written by earlier steps.
/// Of an encoder a step takes whole sequences, and may have as many rows as they need.
struct Step {
  std::uint64_t number = 0;
  std::span<const StepRow> rows;  ///< 1 .. step_rows_max(shape)
  std::span<const StepSequence> sequences;

  std::uint32_t logits_rows() const {
    std::uint32_t count = 0;
    for (const StepRow& row : rows) count += row.wants_logits ? 1 : 0;
    return count;
  }
};

/// For steps that come from another process: everything that a shard of `shape` with `kv_pages` pages relies on. Names
/// the row.
Result<void> validate(const Step& step, const ModelShape& shape, std::uint32_t kv_pages);

/// Receives what a step gives: first hidden states, row by row, then logits, block by block, both in row order. Called
/// on the thread that runs the step. What no row of a step wants is a bug to receive.
class StepSink {
 public:
  virtual ~StepSink() = default;
  /// The last hidden state of a row (after the final norm), [dim], all finite, and valid during the call only. `index`
  /// counts the rows that want one, from 0.
  virtual void take_hidden(std::uint32_t index, std::span<const float> state);
  /// `logits` is [rows of the block][vocab_size], all finite, and valid during the call only. `first` counts the rows
  /// that want logits, from 0.
  virtual void take_logits(std::uint32_t first, std::span<const float> logits);
};

}  // namespace tessera
