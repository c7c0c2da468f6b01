// config.json and model.safetensors.index.json of a Hugging Face model folder.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/importers/hf_family.hpp"
#include "runtime/importers/hf_quantised.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

namespace limits {
inline constexpr std::size_t hf_config_bytes_max = std::size_t{1} << 20;
inline constexpr std::size_t hf_index_bytes_max = std::size_t{16} << 20;
/// Files that one model may be spread over; each is held open.
inline constexpr std::size_t hf_files_max = 512;
}  // namespace limits

struct HfConfig {
  ModelShape shape;
  RopeTables rope;
  ModelIds ids;
  const HfFamily* family = nullptr;  ///< of hf_families()
  HfQuantisation quantisation;
};

/// Any family of hf_families(). Errors: corrupt, or unsupported for an architecture that is not in the list and for
/// whatever would change the mathematics (other activations, unknown quantisation, …), by its name.
Result<HfConfig> parse_hf_config(std::string_view json, const std::string& where);

/// The file of each tensor. A file is named without any folder, since it must lie beside the index.
Result<std::map<std::string, std::string>> parse_hf_index(std::string_view json, const std::string& where);

}  // namespace tessera
