// Import: a foreign model becomes a checkpoint. Streaming, deterministic, and canonical: the same weights give the same
// content whether they come from llama2.c or safetensors (Q and K rows in rotate-half order, tensors in the order of
// model_tensors()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// Special ids that a model names besides its tokenizer.
struct ModelIds {
  TokenId bos = -1;          ///< -1: not named
  std::vector<TokenId> eos;  ///< empty: not named
};

/// A foreign model, opened and validated: its shape and its matrices, one at a time, row-major in canonical order. One
/// thread.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const ModelShape& shape() const = 0;
  /// "llama2.c", "safetensors", "synthetic"
  virtual const char* format() const = 0;
  /// Fills `out` (rows * columns floats) with a tensor of model_tensors(); errors name file and tensor.
  virtual Result<void> read_tensor(const std::string& name, std::vector<float>& out) = 0;
  /// How messages name a tensor of model_tensors(): its file, and what it is called there.
  virtual std::string describe(const std::string& name) const { return std::string(format()) + ": tensor " + name; }
  virtual ModelIds ids() const { return {}; }
  /// Empty: none.
  virtual std::string chat_template() const { return {}; }
};

/// Detects the format: a llama2.c .bin file, a .safetensors file (config.json beside it), an index file, or a Hugging
/// Face folder.
Result<std::unique_ptr<WeightSource>> open_weight_source(const std::string& path);

/// bytes done, bytes in all; returns false to cancel (the partial file is removed, the result is `cancelled`).
using Progress = std::function<bool(std::uint64_t, std::uint64_t)>;

struct ImportOptions {
  DType dtype = DType::f32;
  std::string name;                ///< of the model; empty: from the file name
  std::string tokenizer_path;      ///< empty: none inside
  std::string chat_template_path;  ///< empty: the source's own, or none
  Progress progress;
};

struct ImportReport {
  std::string content_id;
  std::uint64_t bytes_written = 0;
  std::vector<std::string> notices;  ///< what the user should know of a model that was imported all the same
};

/// Reads `source_path`, writes `destination` (see CheckpointWriter), which keeps its old content unless all went well.
/// Memory: the largest tensor as f32 and a bounded group of packed units, below one tensor + 200 MB. Values that the
/// dtype cannot hold (NaN, infinity, too large) are errors that name file, tensor, row and column (row: in
/// canonical order).
Result<ImportReport> import_model(const std::string& source_path, const std::string& destination,
                                  const ImportOptions& options);

/// Packs any source into a checkpoint; import_model and synth share it. `tokenizer_blob` and
/// `chat_template` may be empty.
Result<ImportReport> write_checkpoint(WeightSource& source, const std::string& destination,
                                      const ImportOptions& options, const std::vector<std::byte>& tokenizer_blob,
                                      const std::string& chat_template = {});

}  // namespace tessera
