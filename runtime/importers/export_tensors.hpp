// The tensors of a Hugging Face folder on their way out of a checkpoint: a tensor of theirs holds one of ours or parts
// of several, as the family's rules say (hf_family.hpp). What was added up on the way in (HfPart::added_row) comes out
// as the sum, beside a tensor that adds nothing.
//
//   model.layers.3.self_attn.qkv_proj.weight of Phi-3   =   the rows of layers.3.attn_q, attn_k and attn_v
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/export_model.hpp"
#include "runtime/importers/hf_family.hpp"
#include "runtime/importers/tensor_values.hpp"

namespace tessera {

std::size_t bytes_of(ExportDType dtype);
/// "BF16"
const char* export_name_of(ExportDType dtype);
/// "bfloat16"
const char* torch_name_of(ExportDType dtype);

/// A tensor of ours inside one of theirs.
struct ExportPart {
  const TensorEntry* entry = nullptr;
  HfPart part;
  MatrixSize size;  ///< of ours; a vector is a column
};

/// One tensor of theirs.
struct ExportTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<ExportPart> parts;  ///< together all of it, but for rows that no token reads
  float filler = 0;               ///< every value of rows that no part has
  ExportDType dtype = ExportDType::f32;
  std::uint32_t file = 0;
  std::uint64_t begin = 0;  ///< in the data of its file

  std::uint64_t count() const;
  std::uint64_t bytes() const { return count() * bytes_of(dtype); }
  bool is_vector() const { return shape.size() == 1; }
};

/// All of them in file order of the checkpoint, without file and place, in `dtype`; what checkpoints always hold as f32
/// (vectors, routers, learned positions) is F32 where the dtype does not hold it exactly. Errors: unsupported, for a
/// tensor that the family has not.
Result<std::vector<ExportTensor>> export_tensors_of(const Checkpoint& checkpoint, const HfFamily& family,
                                                    ExportDType dtype);

/// Gives the bytes of one tensor in order, in pieces of bounded size, after comparing those of the checkpoint with
/// their checksums. Matrices that lie in the folder as they are here are streamed; vectors and transposed matrices are
/// made as a whole first. Errors: corrupt (also a value that is too large for f16), io, those of `write`.
class ExportEncoder {
 public:
  explicit ExportEncoder(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  Result<void> encode(const ExportTensor& tensor, const std::function<Result<void>(std::span<const std::byte>)>& write);
  /// Norm weights that no number less 1 stands for exactly.
  std::uint64_t rounded() const { return rounded_; }

 private:
  Result<std::vector<float>> whole_of(const ExportTensor& tensor);

  const Checkpoint& checkpoint_;
  std::vector<std::byte> buffer_;
  std::uint64_t rounded_ = 0;
};

}  // namespace tessera
