// Between the flat array of a training and the checkpoints of models.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/training/parameters.hpp"

namespace tessera {

/// The weights as something that can be imported (write_checkpoint). Both outlive it; `chat_template` may be empty.
std::unique_ptr<WeightSource> trained_source(const ModelShape& shape, std::span<const float> weights,
                                             const std::string& chat_template);

/// Fills `weights` [layout.size()] from a checkpoint of any dtype whose model can be trained. Errors: unsupported
/// (another family, scaled RoPE), io, corrupt (checksums are compared).
Result<void> load_weights(const Checkpoint& checkpoint, const ParameterLayout& layout, std::span<float> weights);

/// Whether the model of a checkpoint can be trained; the error says why not.
Result<void> check_trainable(const Manifest& manifest, const std::string& where);

}  // namespace tessera
