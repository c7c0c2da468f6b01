// PrefillPace: how many rows of long prompts a step takes while streams decode. A step with a whole chunk of a prompt
// takes as long as dozens without, and every stream waits for it; so beside streams a long prompt gets only what
// stretches their steps by a bounded factor. What a row costs is measured: whoever drives the conductor says what a
// step took.
#pragma once

#include <cstdint>

#include "runtime/batching/speculation.hpp"

namespace tessera {

class PrefillPace {
 public:
  /// A step of `decodes` rows that decode and `prompts` > 0 rows of prompts took so long.
  void add(std::uint32_t decodes, std::uint32_t prompts, double seconds, const StepCost& cost);
  /// Rows of prompts beside `decodes` > 0 rows, so that the step takes at most `stretch` > 1 times as long as without.
  std::uint32_t rows(std::uint32_t decodes, double stretch, const StepCost& cost) const;

  /// Fewer are never asked for: somebody waits for the prompt too.
  static constexpr std::uint32_t rows_min = 8;
  /// While nothing is known.
  static constexpr std::uint32_t rows_unmeasured = 32;
  /// A mean forgets: the last measurement weighs this much at least.
  static constexpr double weight_min = 1.0 / 8;

 private:
  double row_seconds_ = 0;  ///< mean; 0: not measured
  std::uint32_t count_ = 0;
};

}  // namespace tessera
