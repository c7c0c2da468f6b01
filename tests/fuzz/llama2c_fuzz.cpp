// llama2.c model files. Input: a whole .bin file. What is accepted is read tensor by tensor, and has exactly the size
// that its shape asks for.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/llama2c.hpp"
#include "runtime/importers/tensor_values.hpp"

namespace {

using namespace tessera;

void read_all(WeightSource& source, std::size_t size) {
  TESSERA_ENSURE(validate(source.shape(), "input"));
  std::vector<float> values;
  std::uint64_t count = 0;
  for (const NamedMatrix& matrix : model_matrices(source.shape())) {
    TESSERA_ENSURE(source.read_tensor(matrix.name, values));
    TESSERA_ENSURE(values.size() == matrix.size.count());
    count += values.size();
  }
  TESSERA_ENSURE(count * sizeof(float) < size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto source = open_llama2c(memory_byte_source(std::as_bytes(std::span(data, size)), "input"));
  if (source) read_all(**source, size);
  return 0;
}
