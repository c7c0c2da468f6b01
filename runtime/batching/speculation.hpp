// Speculation: when guessed tokens are worth their rows. A draft is computed beside the token before it, in the same
// step, and counts only if the sampler draws the same token there: so no stream ever has another token for it, and all
// that is decided here is time.
//
//   worth it:   (tokens of the step + expected drafts that are right) / seconds with their rows  >  without them
//
// Both are measured. DraftRecord counts how often guesses for one sequence were right in its last 64 steps; also those
// that were not computed, as the next token tells of the first one whether it was right: so while drafts are not worth
// it, every step probes whether they would be, at no cost. StepCost has how long steps of so many rows take. No clock
// here: whoever drives the conductor says what a step took.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tessera {

/// Of all sequences, since the beginning.
struct SpeculationCounts {
  std::uint64_t drafted = 0;   ///< tokens that were guessed and computed
  std::uint64_t accepted = 0;  ///< of these, those that were right
};

/// The guesses for one sequence in its last `steps` steps, of which each gave it a token or more.
class DraftRecord {
 public:
  static constexpr std::uint32_t steps = 64;

  /// Of so many guessed tokens in a row, the first `accepted` were right.
  void add(std::uint32_t guessed, std::uint32_t accepted);
  /// How likely a guess is right if those before it are. What is behind the first wrong one says nothing. A sequence
  /// without guesses is given one chance in ten.
  double acceptance() const;

 private:
  struct Step {
    std::uint8_t tried = 0;  ///< accepted, and the first that was wrong
    std::uint8_t accepted = 0;
  };
  std::array<Step, steps> window_{};
  std::uint32_t next_ = 0;
  std::uint32_t tried_ = 0, accepted_ = 0;
};

/// What steps cost, by the number of their rows, where every row wants logits. Rows that were not measured (lately) lie
/// between those that were; beyond the largest, a row costs a share of what the measured ones cost.
class StepCost {
 public:
  void add(std::uint32_t rows, double seconds);
  bool known() const { return added_ > 0; }
  /// Seconds of a step of `rows` > 0 rows; only ratios mean something before it is known().
  double seconds(std::uint32_t rows) const;

  /// Weights are read once for all rows of a step, so a row more costs little.
  static constexpr double row_share_assumed = 0.125;
  /// A mean forgets: the last measurement weighs this much at least.
  static constexpr double weight_min = 1.0 / 16;
  /// One that was not confirmed in so many steps counts no longer.
  static constexpr std::uint64_t fresh_steps = 1024;
  /// A step can be this much longer than the mean; what is above it was something else on the machine.
  static constexpr double outlier_factor = 3;

 private:
  struct Mean {
    double seconds = 0;
    std::uint32_t count = 0;
    std::uint64_t last = 0;  ///< of added_
  };
  bool fresh(const Mean& mean) const { return mean.count > 0 && added_ - mean.last < fresh_steps; }

  std::vector<Mean> means_;  ///< by rows
  std::uint64_t added_ = 0;
};

/// How many of `proposed` drafts make most tokens a second of a step that has `rows` rows and gives `tokens` tokens
/// without them; 0: none is worth it.
std::uint32_t drafts_worth(const StepCost& cost, std::uint32_t rows, double tokens, double acceptance,
                           std::uint32_t proposed);
/// Of so many drafts in a row.
double expected_accepted(double acceptance, std::uint32_t drafts);

}  // namespace tessera
