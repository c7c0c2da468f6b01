// A Llama forward pass in float64, written as the formulas stand and apart from everything that is tested: the weights
// of a checkpoint, dequantised, times activations that nobody rounds.
#pragma once

#include <span>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/checkpoint/checkpoint.hpp"

namespace tessera::test {

/// Logits of every position of one sequence, [tokens][vocab].
std::vector<double> float64_logits(const Checkpoint& checkpoint, std::span<const TokenId> tokens);

/// Root of the mean square of the difference, over that of `expected`.
double relative_error(std::span<const float> got, std::span<const double> expected);

}  // namespace tessera::test
