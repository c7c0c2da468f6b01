// The loss of a Llama in float64, written as the formulas stand and apart from what is tested.
#pragma once

#include <span>
#include <vector>

#include "runtime/training/micro_batch.hpp"
#include "runtime/training/parameters.hpp"

namespace tessera::test {

/// Σ −log p(target). `weights` is laid out by ParameterLayout.
double float64_loss(const ModelShape& shape, std::span<const double> weights, const MicroBatch& batch);

}  // namespace tessera::test
