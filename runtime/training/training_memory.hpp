// What a training will need, known before it begins.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/training/trainer.hpp"

namespace tessera {

/// Bytes.
struct TrainingMemory {
  std::uint64_t weights = 0, moments = 0, gradients = 0, activations = 0;
  std::uint64_t total() const { return weights + moments + gradients + activations; }
};

TrainingMemory training_memory(const TrainingPlan& plan, std::uint32_t length, std::uint32_t threads);

/// Errors: exhausted, with the arithmetic, when `available` bytes are too few (0: not known, then anything goes).
Result<void> check_memory(const TrainingMemory& memory, std::uint64_t available);

}  // namespace tessera
