#include "runtime/training/training_memory.hpp"

#include <cstdio>

#include "runtime/training/gradient_tree.hpp"

namespace tessera {

namespace {

std::string megabytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

}  // namespace

TrainingMemory training_memory(const TrainingPlan& plan, std::uint32_t length, std::uint32_t threads) {
  const std::uint64_t array = ParameterLayout(plan.shape).size() * sizeof(float);
  return {array, 2 * array, GradientTree::buffers(plan.micro_batches) * array,
          LlamaGradient::memory_bytes(plan.shape, plan.micro_batch_sequences, length, threads)};
}

Result<void> check_memory(const TrainingMemory& memory, std::uint64_t available) {
  if (available == 0 || memory.total() <= available) return {};
  return Error{ErrorCode::exhausted,
               "the training needs " + megabytes(memory.total()) + " of memory (weights " + megabytes(memory.weights) +
                   ", moments " + megabytes(memory.moments) + ", gradients " + megabytes(memory.gradients) +
                   ", activations " + megabytes(memory.activations) + "), but " + megabytes(available) +
                   " can be had; lower micro_batch_sequences or length, or train a smaller model"};
}

}  // namespace tessera
