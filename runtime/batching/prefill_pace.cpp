#include "runtime/batching/prefill_pace.hpp"

#include <algorithm>

namespace tessera {

void PrefillPace::add(std::uint32_t decodes, std::uint32_t prompts, double seconds, const StepCost& cost) {
  if (seconds <= 0 || (decodes > 0 && !cost.known())) return;
  // Few rows alone cost what reading the weights costs.
  if (decodes == 0 && prompts < rows_unmeasured) return;
  const double alone = decodes > 0 ? cost.seconds(decodes) : 0;
  // Never nothing, and no outlier beyond what a step beside others can be late.
  double row = std::max(seconds - alone, 0.05 * seconds) / prompts;
  if (count_ > 0) row = std::min(row, StepCost::outlier_factor * row_seconds_);
  ++count_;
  const double weight = std::max(weight_min, 1.0 / count_);
  row_seconds_ += weight * (row - row_seconds_);
}

std::uint32_t PrefillPace::rows(std::uint32_t decodes, double stretch, const StepCost& cost) const {
  if (count_ == 0 || !cost.known()) return rows_unmeasured;
  const double rows = (stretch - 1) * cost.seconds(decodes) / row_seconds_;
  return static_cast<std::uint32_t>(std::clamp(rows, double{rows_min}, 1e6));
}

}  // namespace tessera
