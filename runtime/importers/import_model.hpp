// Import: a foreign model becomes a checkpoint. Streaming, deterministic, and canonical: the same weights give the same
// content whether they come from llama2.c or safetensors (Q and K rows in rotate-half order, tensors in the order of
// model_tensors()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/model_tensors.hpp"
#include "runtime/tensor/pooling.hpp"
#include "runtime/text/tokenizer.hpp"

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
  /// "llama2.c", "safetensors", "gguf", "synthetic"
  virtual const char* format() const = 0;
  /// Fills `out` (rows * columns floats) with a tensor of model_tensors(); errors name file and tensor.
  virtual Result<void> read_tensor(const std::string& name, std::vector<float>& out) = 0;
  /// How messages name a tensor of model_tensors(): its file, and what it is called there.
  virtual std::string describe(const std::string& name) const { return std::string(format()) + ": tensor " + name; }
  virtual ModelIds ids() const { return {}; }
  /// The dtype that is nearest to how the source stores its values.
  virtual DType natural_dtype() const { return DType::f32; }
  /// Jinja text of the model's chat template; empty: none.
  virtual std::string chat_template() const { return {}; }
  /// The tokenizer inside the source, for the vocabulary of shape(); empty: there is none. `notice`: why one that is
  /// there is left out.
  virtual Result<std::optional<TokenizerData>> tokenizer(std::string& notice) const {
    notice.clear();
    return std::optional<TokenizerData>();
  }

  /// Stands for the content of all files that the tensors come from; an interrupted import goes on only where it is the
  /// same. Empty: not known, the import begins anew.
  virtual Result<std::string> identity() const { return std::string(); }

  /// Whether a matrix can be had in blocks of q8 or q4 that hold the very values of the source.
  virtual bool has_blocks(const std::string&, DType) const { return false; }
  /// Where has_blocks(): fills `out` with the rows in canonical order, each of Q8Block or Q4Block
  /// (runtime/tensor/quantise.hpp). Scales as they are in the source.
  virtual Result<void> read_blocks(const std::string& name, DType dtype, std::vector<std::byte>& out);

  /// Plain RoPE, unless the format says otherwise.
  virtual RopeTables rope() const { return {rope_frequencies(shape()), {}}; }
};

/// Detects the format: a GGUF file (or the first of a split model), a llama2.c .bin file, a .safetensors file
/// (config.json beside it), an index file, or a Hugging Face folder.
Result<std::unique_ptr<WeightSource>> open_weight_source(const std::string& path);

/// bytes done, bytes in all; returns false to cancel (the partial file is removed, the result is `cancelled`).
using Progress = std::function<bool(std::uint64_t, std::uint64_t)>;

struct ImportOptions {
  std::optional<DType> dtype;          ///< empty: the source's natural_dtype()
  std::optional<DType> head_dtype;     ///< empty: see weight_types()
  std::string name;                    ///< of the model; empty: from the file name
  std::string tokenizer_path;          ///< file or folder; empty: the source's own, or none inside
  std::string chat_template_path;      ///< empty: the source's own, or none
  std::optional<PoolingPlan> pooling;  ///< empty: what the source's folder says, or none
  Progress progress;
  /// An import that is cancelled or killed, or whose files cannot be read any more, leaves its partial file and a
  /// journal beside `destination` (CheckpointWriter), and the next one with the same source and options goes on from
  /// there.
  bool resumable = false;
};

/// How a source's matrices are stored. A head that nobody chose a type for has that of the other matrices, but q8
/// beside q4, unless the source holds it in blocks of q4. Errors: invalid_argument, where the types do not go together
/// or the model has no head.
Result<WeightTypes> weight_types(const WeightSource& source, const ImportOptions& options);

struct ImportReport {
  std::string content_id;
  std::uint64_t bytes_written = 0;
  std::uint64_t bytes_resumed = 0;   ///< of these, what an interrupted import had written
  std::vector<std::string> notices;  ///< what the user should know of a model that was imported all the same
};

/// Reads `source_path`, writes `destination` (see CheckpointWriter), which keeps its old content unless all went well.
/// Memory: the largest tensor as f32 and a bounded group of packed units, below one tensor + 200 MB. Values that the
/// dtype cannot hold (NaN, infinity, too large) are errors that name file, tensor, row and column (row: in
/// canonical order).
Result<ImportReport> import_model(const std::string& source_path, const std::string& destination,
                                  const ImportOptions& options);

/// The blob of a tokenizer for a model with these special ids and so many rows of the vocabulary. Errors: corrupt,
/// where it does not fit.
Result<std::vector<std::byte>> pack_tokenizer(TokenizerData data, const ModelIds& ids, std::uint32_t vocab_size,
                                              const std::string& where);

/// Packs any source into a checkpoint; import_model and synth share it. `tokenizer_blob` and
/// `chat_template` may be empty.
Result<ImportReport> write_checkpoint(WeightSource& source, const std::string& destination,
                                      const ImportOptions& options, const std::vector<std::byte>& tokenizer_blob,
                                      const std::string& chat_template = {});

}  // namespace tessera
