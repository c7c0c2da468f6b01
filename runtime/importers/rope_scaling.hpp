// RoPE frequencies as config.json asks for them: plain, or scaled to a longer context. Everything is computed here,
// once, in double precision; the runtime only reads the frequencies that the checkpoint stores.
//
// Kinds (Hugging Face's names): default; linear (S. Chen et al., arXiv 2306.15595); yarn (B. Peng et al., arXiv
// 2309.00071); llama3 (as published with Llama 3.1); longrope (Y. Ding et al., arXiv 2402.13753). "dynamic" changes
// with the length of the text, so that a token's result would depend on tokens that come after it: it is refused.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/config_reader.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

struct RopeScaling {
  double theta = 10000;
  std::vector<double> frequencies;  ///< [shape.rope_width() / 2]
  double magnitude = 1;             ///< factor of cos and sin
  /// Positions for which the frequencies are those of the model: longrope has others beyond its original context, and
  /// which ones hold would depend on the length of the text.
  std::uint32_t context_length = 0;
};

/// From rope_theta (or `theta_default`) and rope_scaling or rope_parameters. `shape` has its heads, its plan's
/// rope_dims and its context. Errors: corrupt, or unsupported by name of the kind or field.
Result<RopeScaling> read_rope(const ConfigReader& config, const ModelShape& shape, double theta_default);

/// The same from one object of parameters. `config` is the whole file.
Result<RopeScaling> read_rope(const ConfigReader& config, const ConfigReader& parameters, const ModelShape& shape,
                              double theta);

/// Errors: corrupt, when one is no number above 0 and at most 1. `where` names the file.
Result<void> check_frequencies(const std::vector<double>& frequencies, const std::string& where);

}  // namespace tessera
