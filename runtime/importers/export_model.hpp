// Export: a checkpoint becomes a folder in the Hugging Face layout, for other programs.
//
//   DIR/config.json, DIR/model.safetensors            or, beyond the limit of one file,
//   DIR/config.json, DIR/model-00001-of-00003.safetensors, …, DIR/model.safetensors.index.json
//
// A model of any family that is imported (hf_family.hpp) is written as one of that family: its config.json is read
// again before anything is written, and must give the very model. Checkpoints in f32 and bf16 come out exactly, and
// import to the same weights again; q8 and q4 are dequantised. Norms are stored in the chosen dtype where it holds them
// exactly, else as F32. Tokenizer and chat template come along (export_tokenizer.hpp), and what the model's makers say
// of vectors of texts (export_pooling.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/import_model.hpp"

namespace tessera {

enum class ExportDType : std::uint8_t { f32, bf16, f16 };

/// "f32", "bf16", "f16"
std::optional<ExportDType> parse_export_dtype(std::string_view name);

namespace limits {
/// Files that one model may be cut into.
inline constexpr std::uint32_t export_files_max = 512;
}  // namespace limits

struct ExportOptions {
  std::optional<ExportDType> dtype;                       ///< empty: bf16 of a bf16 checkpoint, else f32
  std::uint64_t file_bytes_max = std::uint64_t{5} << 30;  ///< of tensors in one file; a larger tensor has one alone
  Progress progress;
};

struct ExportReport {
  std::uint64_t bytes_written = 0;
  std::uint32_t files = 0;           ///< with weights
  std::vector<std::string> notices;  ///< what the user should know of a model that was exported all the same
};

/// Writes `folder`, which must not exist or be empty, and appears only when it is complete; what was cancelled or
/// failed leaves nothing. Every byte is compared with its checksum on the way. Errors: corrupt (also a value that is
/// too large for f16, named with its tensor and row), invalid_argument, unsupported (a
/// model that no config.json describes), cancelled, io.
Result<ExportReport> export_model(const Checkpoint& checkpoint, const std::string& folder,
                                  const ExportOptions& options);

}  // namespace tessera
