// Quantised weights in safetensors files, as other tools leave them. Each becomes an entry that reads as floats, so
// that whoever takes the tensors sees a model like any other:
//
//   q_proj.qweight, .qzeros, .scales, .g_idx                   →  q_proj.weight [outputs, inputs]
//   q_proj.weight (F8_E4M3), .weight_scale or _inv              →  q_proj.weight [outputs, inputs]
//
// GPTQ (E. Frantar et al., 2022; AutoGPTQ's files): value = scale * (q - (zero + 1)), 8 inputs in an int32; the 1 is
// not there in the variant gptq_v2. AWQ (J. Lin et al., 2023; AutoAWQ's "gemm" files): value = scale * (q - zero), 8
// outputs in an int32, in the order 0 2 4 6 1 3 5 7. F8: value = f8 * scale, of the tensor, an output, or a block
// (DeepSeek's files, whose scale is called an inverse and multiplies).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"
#include "runtime/importers/safetensors.hpp"
#include "runtime/tensor/dtype.hpp"

namespace tessera {

enum class HfQuantMethod : std::uint8_t { none, gptq, awq, f8 };

/// quantization_config of a config.json.
struct HfQuantisation {
  HfQuantMethod method = HfQuantMethod::none;
  std::uint32_t group_size = 0;  ///< inputs with a scale of their own (gptq, awq); 0: all of them together
  bool zeros_less_one = false;   ///< gptq, but not gptq_v2
  std::uint32_t block_rows = 0;  ///< f8 with a scale for each block; 0: of the tensor or the output
  std::uint32_t block_columns = 0;

  /// The dtype of a checkpoint that is nearest.
  DType natural_dtype() const;
};

/// Errors: corrupt, or unsupported for any other method, width or layout, by its name.
Result<HfQuantisation> parse_hf_quantisation(const nlohmann::json& config, const std::string& where);

/// Replaces the quantised tensors in `files` and in `file_of` (the file of each tensor). The entries read from the
/// files, which must outlive them (moving the vector is fine). Errors: corrupt (parts missing or misshapen), naming the
/// tensor.
Result<void> replace_quantised_tensors(const HfQuantisation& quantisation, std::vector<SafetensorsFile>& files,
                                       std::map<std::string, std::size_t>& file_of);

}  // namespace tessera
