// Synthetic models: seeded random weights of a given shape, for benchmarks and demos. Their text is noise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// Names that synth knows: "llama-134m", "llama-1.1b", "llama-8b", "tiny".
std::vector<std::string> synthetic_shape_names();
Result<ModelShape> synthetic_shape(const std::string& name);

/// Weights are a pure function of (seed, tensor name, element index): uniform with the variance of a usual
/// initialisation.
std::unique_ptr<WeightSource> synthetic_source(const ModelShape& shape, std::uint64_t seed);

/// Writes the same weights as a GGUF v3 file (f32 → F32, q8 → Q8_0 with the very blocks of the checkpoint) for
/// llama.cpp and others. Appears under its final name only when complete.
Result<ImportReport> write_gguf(WeightSource& source, const std::string& destination, const ImportOptions& options);

}  // namespace tessera
