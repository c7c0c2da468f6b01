// GGUF models. Input: a GGUF file; all of its metadata is read, and what is accepted as a model is read tensor by
// tensor, as floats and in blocks, with its tokenizer.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/gguf_blocks.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/importers/gguf_source.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/text/tokenizer.hpp"

namespace {

using namespace tessera;

/// Whatever kind a value has, the other kinds are errors.
void read_metadata(const GgufFile& file) {
  for (const std::string& key : file.keys()) {
    const int kinds = static_cast<int>(bool(file.text(key))) + static_cast<int>(bool(file.flag(key))) +
                      static_cast<int>(bool(file.number(key)));
    const int lists = static_cast<int>(bool(file.texts(key))) + static_cast<int>(bool(file.integers(key))) +
                      static_cast<int>(bool(file.floats(key)));
    TESSERA_ENSURE(file.is_array(key) ? kinds == 0 && lists <= 1 : kinds <= 1 && lists == 0);
    if (const auto texts = file.texts(key)) {
      std::size_t bytes = 0;
      for (std::size_t i = 0; i < texts->size(); ++i) bytes += std::string((*texts)[i]).size();
      TESSERA_ENSURE(bytes <= file.source().size());
    }
  }
}

void read_tensors(const GgufFile& file) {
  for (const GgufTensorInfo& tensor : file.tensors()) {
    TESSERA_ENSURE(file.find_tensor(tensor.name) == &tensor);
    TESSERA_ENSURE(tensor.begin <= file.source().size() && tensor.bytes <= file.source().size() - tensor.begin);
    const GgufDequantise dequantise = gguf_dequantiser(tensor.type);
    if (!dequantise) continue;
    std::vector<std::byte> blocks(tensor.bytes);
    TESSERA_ENSURE(file.read(tensor, 0, blocks));
    std::vector<float> values(tensor.count());
    dequantise(blocks.data(), values.size() / tensor.format().block_values, values.data());
  }
}

void read_model(GgufFile file) {
  std::vector<GgufFile> files;
  files.push_back(std::move(file));
  const auto source = make_gguf_source(std::move(files));
  if (!source) return;
  TESSERA_ENSURE(validate((*source)->shape(), "input"));
  std::string notice;
  if (auto tokenizer = (*source)->tokenizer(notice); tokenizer && *tokenizer) {
    TESSERA_ENSURE(!(*tokenizer)->pieces.empty() && notice.empty());
    const auto created = Tokenizer::create(std::move(**tokenizer), "input");
    if (created) static_cast<void>(created->decode(created->encode("a ab <s> \xff")));
  }
  std::vector<float> values;
  std::vector<std::byte> blocks;
  for (const NamedMatrix& matrix : model_matrices((*source)->shape())) {
    TESSERA_ENSURE((*source)->read_tensor(matrix.name, values));
    TESSERA_ENSURE(values.size() == matrix.size.count());
    for (const DType dtype : {DType::q8, DType::q4}) {
      if (!(*source)->has_blocks(matrix.name, dtype)) continue;
      TESSERA_ENSURE((*source)->read_blocks(matrix.name, dtype, blocks));
      static_cast<void>(check_blocks(dtype, blocks, matrix.size, matrix.name));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto file = GgufFile::open(memory_byte_source(std::as_bytes(std::span(data, size)), "input"));
  if (!file) return 0;
  read_metadata(*file);
  read_tensors(*file);
  read_model(std::move(*file));
  return 0;
}
