// A model in the Hugging Face layout: config.json and one or more safetensors files in a folder; what it is called
// there and how it is cut, its family says (hf_family.hpp).
//
// Q and K rows are in rotate-half order already, which is the canonical one. Where the head is tied, a stored
// lm_head is not used: that is what the model's own code does.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/hf_config.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/safetensors.hpp"

namespace tessera {

/// The tensors of a model, and which of `files` holds each. With an empty map: all of the first file.
struct HfTensors {
  std::vector<SafetensorsFile> files;
  std::map<std::string, std::size_t> file_of;
};

/// Checks that every tensor is there with its size and a float dtype, and none that its family does not have. `where`
/// names the model.
Result<std::unique_ptr<WeightSource>> make_hf_source(HfConfig config, HfTensors tensors, const std::string& where);

/// The path of a .safetensors file, of an index, or of a folder that has either (the index counts first).
Result<std::unique_ptr<WeightSource>> open_hf_file(const std::string& path);
Result<std::unique_ptr<WeightSource>> open_hf_index(const std::string& path);
Result<std::unique_ptr<WeightSource>> open_hf_folder(const std::string& path);

}  // namespace tessera
