#include "runtime/model/step.hpp"

#include <algorithm>
#include <string>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

namespace {

Error bad_row(const Step& step, std::size_t row, const std::string& what) {
  return Error{ErrorCode::corrupt,
               "step " + std::to_string(step.number) + ", row " + std::to_string(row) + ": " + what};
}

}  // namespace

void StepSink::take_hidden(std::uint32_t, std::span<const float>) { TESSERA_ENSURE(false); }
void StepSink::take_logits(std::uint32_t, std::span<const float>) { TESSERA_ENSURE(false); }

Result<void> validate(const Step& step, const ModelShape& shape, std::uint32_t kv_pages) {
  const std::uint32_t rows_max = step_rows_max(shape);
  if (step.rows.empty() || step.rows.size() > rows_max) {
    return Error{ErrorCode::corrupt, "step " + std::to_string(step.number) + " has " +
                                         std::to_string(step.rows.size()) + " rows; 1 to " + std::to_string(rows_max) +
                                         " are allowed"};
  }
  for (const StepSequence& sequence : step.sequences) {
    const bool inside =
        std::all_of(sequence.pages.begin(), sequence.pages.end(), [&](PageId page) { return page.value < kv_pages; });
    if (!inside) {
      return Error{ErrorCode::corrupt, "step " + std::to_string(step.number) + " names a KV page beyond the " +
                                           std::to_string(kv_pages) + " of this replica"};
    }
  }
  std::vector<bool> seen(step.sequences.size());
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    const StepRow& row = step.rows[i];
    if (row.token < 0 || static_cast<std::uint32_t>(row.token) >= shape.vocab_size) {
      return bad_row(step, i, "token " + std::to_string(row.token) + " is outside the vocabulary");
    }
    if (row.sequence >= step.sequences.size()) {
      return bad_row(step, i, "sequence " + std::to_string(row.sequence) + " is not in the step");
    }
    if (shape.plan.positions == PositionKind::learned && row.position >= shape.context_length) {
      return bad_row(step, i, "position " + std::to_string(row.position) + " is beyond those that the model learned");
    }
    if (row.position / kv_page_positions >= step.sequences[row.sequence].pages.size()) {
      return bad_row(step, i, "position " + std::to_string(row.position) + " has no KV page");
    }
    if (row.wants_logits && !shape.plan.head) {
      return bad_row(step, i, "it wants logits of a model that has no head");
    }
    const bool follows = i > 0 && step.rows[i - 1].sequence == row.sequence;
    if (follows && row.position != step.rows[i - 1].position + 1) {
      return bad_row(step, i, "its position does not follow the row before");
    }
    if (!follows && shape.plan.bidirectional && row.position != 0) {
      return bad_row(step, i, "its sequence is not whole, which the tokens of an encoder have to see");
    }
    if (!follows && seen[row.sequence]) return bad_row(step, i, "the rows of its sequence are not together");
    seen[row.sequence] = true;
  }
  return {};
}

}  // namespace tessera
