// Models of a Hugging Face folder. Input: a config.json, a zero byte, a .safetensors file; so what a family asks for
// meets tensors of any dtype and shape, also in the forms that GPTQ, AWQ and F8 leave. What is accepted as a small
// model is read tensor by tensor.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/hf_config.hpp"
#include "runtime/importers/hugging_face.hpp"
#include "runtime/importers/safetensors.hpp"
#include "runtime/importers/tensor_values.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  // A tied head and a matrix of one value may ask for more than the file holds, but not for much more.
  constexpr std::uint64_t values_max = std::uint64_t{1} << 22;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  if (end == std::string_view::npos) return 0;
  auto config = parse_hf_config(input.substr(0, end), "config.json");
  if (!config) return 0;
  TESSERA_ENSURE(validate(config->shape, "config.json") && config->family != nullptr);
  auto file = SafetensorsFile::open(memory_byte_source(std::as_bytes(std::span(input)).subspan(end + 1), "input"));
  if (!file) return 0;
  // Models of thousands of layers are refused by the first tensor that is missing; their names take time.
  if (config->shape.layers > 64 || config->shape.plan.experts > 64) return 0;
  HfTensors tensors;
  tensors.files.push_back(std::move(*file));
  const auto source = make_hf_source(*std::move(config), std::move(tensors), "input");
  if (!source) return 0;
  std::uint64_t total = 0;
  const std::vector<NamedMatrix> matrices = model_matrices((*source)->shape());
  for (const NamedMatrix& matrix : matrices) total += matrix.size.count();
  if (total > values_max) return 0;
  std::vector<float> values;
  for (const NamedMatrix& matrix : matrices) {
    if (!(*source)->read_tensor(matrix.name, values)) continue;
    TESSERA_ENSURE(values.size() == matrix.size.count());
  }
  return 0;
}
