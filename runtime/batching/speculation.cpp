#include "runtime/batching/speculation.hpp"

#include <algorithm>
#include <optional>

#include "runtime/base/ensure.hpp"

namespace tessera {

void DraftRecord::add(std::uint32_t guessed, std::uint32_t accepted) {
  TESSERA_ENSURE(accepted <= guessed && guessed < 256);
  Step& oldest = window_[next_];
  tried_ -= oldest.tried;
  accepted_ -= oldest.accepted;
  oldest = {static_cast<std::uint8_t>(accepted < guessed ? accepted + 1 : accepted),
            static_cast<std::uint8_t>(accepted)};
  tried_ += oldest.tried;
  accepted_ += oldest.accepted;
  next_ = (next_ + 1) % steps;
}

double DraftRecord::acceptance() const { return (accepted_ + 0.1) / (tried_ + 1.0); }

void StepCost::add(std::uint32_t rows, double seconds) {
  if (seconds <= 0) return;  // the clock did not see it
  if (means_.size() <= rows) means_.resize(rows + 1);
  Mean& mean = means_[rows];
  ++added_;
  if (!fresh(mean)) mean = {seconds, 0, added_};
  ++mean.count;
  mean.last = added_;
  const double weight = std::max(weight_min, 1.0 / mean.count);
  mean.seconds += weight * (std::min(seconds, outlier_factor * mean.seconds) - mean.seconds);
}

double StepCost::seconds(std::uint32_t rows) const {
  std::optional<std::uint32_t> below, above;
  for (std::uint32_t i = 0; i < means_.size(); ++i) {
    if (!fresh(means_[i])) continue;
    if (i <= rows) below = i;
    if (i >= rows && !above) above = i;
  }
  if (!below && !above) return 1 + row_share_assumed * (rows - 1);
  if (below && above) {
    const double from = means_[*below].seconds, to = means_[*above].seconds;
    return *below == *above ? from : from + (to - from) * (rows - *below) / (*above - *below);
  }
  const std::uint32_t known = below ? *below : *above;
  const double ratio = (1 + row_share_assumed * (rows - 1)) / (1 + row_share_assumed * (known - 1));
  return means_[known].seconds * ratio;
}

double expected_accepted(double acceptance, std::uint32_t drafts) {
  double sum = 0, all = 1;
  for (std::uint32_t i = 0; i < drafts; ++i) sum += all *= acceptance;
  return sum;
}

std::uint32_t drafts_worth(const StepCost& cost, std::uint32_t rows, double tokens, double acceptance,
                           std::uint32_t proposed) {
  std::uint32_t best = 0;
  if (proposed == 0) return best;
  double best_rate = tokens / cost.seconds(rows);
  for (std::uint32_t drafts = 1; drafts <= proposed; ++drafts) {
    const double rate = (tokens + expected_accepted(acceptance, drafts)) / cost.seconds(rows + drafts);
    if (rate <= best_rate) continue;
    best = drafts;
    best_rate = rate;
  }
  return best;
}

}  // namespace tessera
