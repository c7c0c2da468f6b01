// A model in GGUF files as a WeightSource.
//
// Its tensors must be those of the architecture, each of its size; others are refused by name, but for the tables that
// old converters wrote and no computation reads. Q8_0 and Q4_0 come as blocks, everything else as f32. Q and K rows are
// put into canonical order (gguf_names.hpp).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/importers/import_model.hpp"

namespace tessera {

namespace limits {
/// Files that one model may be split into; each is held open.
inline constexpr std::uint32_t gguf_files_max = 512;
}  // namespace limits

/// `files`: the whole model, the first one with its metadata.
Result<std::unique_ptr<WeightSource>> make_gguf_source(std::vector<GgufFile> files);

/// Of a split model (NAME-00001-of-00003.gguf) the first file is given; the others are opened beside it.
Result<std::unique_ptr<WeightSource>> open_gguf(const std::string& path);

}  // namespace tessera
