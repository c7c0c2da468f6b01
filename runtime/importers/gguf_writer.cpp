#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/gguf_header.hpp"
#include "runtime/importers/gguf_names.hpp"
#include "runtime/importers/llama2c_tokenizer.hpp"
#include "runtime/importers/output_file.hpp"
#include "runtime/importers/packing.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/tensor/half.hpp"
#include "runtime/tensor/quantise.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

namespace {

/// Values of a matrix that one thread encodes at a time.
constexpr std::size_t piece_values = std::size_t{1} << 18;

bool has_blocks(DType dtype) { return dtype == DType::q8 || dtype == DType::q4; }

Result<std::vector<GgufTensor>> lay_out(const ModelShape& shape, const WeightTypes& types,
                                        const std::string& destination) {
  std::vector<GgufTensor> tensors;
  std::uint64_t offset = 0;
  for (NamedMatrix& matrix : model_matrices(shape)) {
    const DType dtype = matrix.name == head_matrix(shape) ? types.head : types.layers;
    const DType own = matrix.is_vector ? DType::f32 : dtype;
    GgufTensor tensor{std::move(matrix), own, offset};
    if (has_blocks(own) && tensor.matrix.size.columns % gguf_block_values != 0) {
      return Error{ErrorCode::unsupported, destination + ": the rows of " + tensor.matrix.name + " have " +
                                               std::to_string(tensor.matrix.size.columns) + " values; " +
                                               to_string(own) + " in a GGUF file needs a multiple of " +
                                               std::to_string(gguf_block_values) + ": use f32 or bf16"};
    }
    offset += gguf_aligned(tensor.bytes());
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void encode_q8_0(const float* values, std::uint32_t columns, std::byte* out) {
  for (std::uint32_t column = 0; column < columns; column += gguf_block_values) {
    std::int8_t quantised[gguf_block_values];
    const std::uint16_t scale = quantize_q8_block(values + column, gguf_block_values, quantised);
    std::memcpy(out, &scale, sizeof scale);
    std::memcpy(out + sizeof scale, quantised, sizeof quantised);
    out += sizeof scale + sizeof quantised;
  }
}

void encode_row(const GgufTensor& tensor, const float* values, std::byte* out) {
  const std::uint32_t columns = tensor.matrix.size.columns;
  switch (tensor.dtype) {
    case DType::f32:
      std::memcpy(out, values, tensor.row_bytes());
      return;
    case DType::bf16:
      for (std::uint32_t column = 0; column < columns; ++column) {
        const std::uint16_t value = f32_to_bf16(values[column]);
        std::memcpy(out + column * sizeof value, &value, sizeof value);
      }
      return;
    case DType::q8:
      return encode_q8_0(values, columns, out);
    case DType::q4:
      for (std::uint32_t column = 0; column < columns; column += gguf_block_values, out += sizeof(Q4Block)) {
        const Q4Block block = quantize_q4_block(values + column, gguf_block_values);
        std::memcpy(out, &block, sizeof block);
      }
      return;
  }
}

/// Writes one tensor after the other.
class TensorWriter {
 public:
  TensorWriter(WeightSource& source, OutputFile& file, ProgressMeter& meter, const std::string& destination)
      : source_(source), file_(file), meter_(meter), destination_(destination) {}

  Result<void> write(const GgufTensor& tensor) {
    const std::string& name = tensor.matrix.name;
    const MatrixSize& size = tensor.matrix.size;
    TESSERA_CHECK(source_.read_tensor(name, values_));
    TESSERA_CHECK(check_values(tensor.dtype, values_, size, source_.describe(name)));
    const auto piece_rows = static_cast<std::uint32_t>(std::max<std::size_t>(1, piece_values / size.columns));
    const std::uint32_t pieces = (size.rows + piece_rows - 1) / piece_rows;
    const auto first_row = [&](std::uint32_t piece) { return std::min(size.rows, piece * piece_rows); };
    TESSERA_CHECK(make_and_write(
        pieces, [&](std::uint32_t piece) { return first_row(piece) * tensor.row_bytes(); }, buffer_,
        [&](std::uint32_t piece, std::byte* out) {
          for (std::uint32_t row = first_row(piece); row < first_row(piece + 1); ++row, out += tensor.row_bytes()) {
            const std::size_t from = canonical_row_of_gguf(name, row, source_.shape().head_dim);
            encode_row(tensor, values_.data() + from * size.columns, out);
          }
        },
        [&](std::uint32_t, std::span<const std::byte> bytes) { return append(bytes); }));
    constexpr std::array<std::byte, gguf_alignment> zeros{};
    return append(std::span(zeros).first(gguf_aligned(tensor.bytes()) - tensor.bytes()));
  }

 private:
  Result<void> append(std::span<const std::byte> bytes) {
    TESSERA_CHECK(file_.append(bytes));
    return meter_.add(bytes.size(), destination_);
  }

  WeightSource& source_;
  OutputFile& file_;
  ProgressMeter& meter_;
  const std::string& destination_;
  std::vector<float> values_;
  PackBuffer buffer_;
};

Result<TokenizerData> tokenizer_for(const ImportOptions& options, std::uint32_t vocab_size) {
  if (options.tokenizer_path.empty()) return synthetic_byte_tokenizer(vocab_size);
  TESSERA_TRY(const auto file, open_byte_source(options.tokenizer_path));
  TESSERA_TRY(const std::vector<std::byte> bytes, read_whole(*file, limits::tokenizer_bytes_max, "a tokenizer"));
  return parse_llama2c_tokenizer(bytes, vocab_size, options.tokenizer_path);
}

Result<ImportReport> write_all(WeightSource& source, const std::string& destination, const ImportOptions& options) {
  TESSERA_CHECK(check_tensor_sizes(source));
  TESSERA_TRY(const TokenizerData tokenizer, tokenizer_for(options, source.shape().vocab_size));
  TESSERA_TRY(const WeightTypes types, weight_types(source, options));
  TESSERA_TRY(const std::vector<GgufTensor> tensors, lay_out(source.shape(), types, destination));
  const std::string header = gguf_header(source.shape(), options, tokenizer, tensors);
  ProgressMeter meter(options.progress, header.size() + tensors.back().offset + gguf_aligned(tensors.back().bytes()));
  TESSERA_TRY(OutputFile file, OutputFile::create(destination));
  TESSERA_CHECK(file.append(std::as_bytes(std::span(header))));
  TESSERA_CHECK(meter.add(header.size(), destination));
  TensorWriter writer(source, file, meter, destination);
  for (const GgufTensor& tensor : tensors) {
    TESSERA_ENSURE(file.size() == header.size() + tensor.offset);
    TESSERA_CHECK(writer.write(tensor));
  }
  TESSERA_CHECK(file.publish());
  return ImportReport{{}, file.size(), 0, {}};
}

}  // namespace

Result<ImportReport> write_gguf(WeightSource& source, const std::string& destination, const ImportOptions& options) {
  try {
    return write_all(source, destination, options);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::exhausted, destination + ": not enough memory to encode a tensor; close other programs"};
  }
}

}  // namespace tessera
