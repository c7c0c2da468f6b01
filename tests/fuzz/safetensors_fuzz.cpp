// Safetensors models. Input: a .safetensors file, or JSON that is read as config.json and as an index. A file that is
// accepted is then taken for the weights of a small Llama (dim 32, 1 layer, FFN 40, vocabulary 20), with a tied head
// and without.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/hf_config.hpp"
#include "runtime/importers/hugging_face.hpp"
#include "runtime/importers/safetensors.hpp"
#include "runtime/importers/tensor_values.hpp"

namespace {

using namespace tessera;

HfConfig small_llama(bool tied_head) {
  HfConfig config;
  config.shape.dim = 32;
  config.shape.layers = 1;
  config.shape.heads = 2;
  config.shape.kv_heads = 1;
  config.shape.head_dim = 16;
  config.shape.ffn_dim = 40;
  config.shape.vocab_size = 20;
  config.shape.context_length = 64;
  config.shape.tied_head = tied_head;
  config.family = &hf_families().front();
  return config;
}

/// Reads every tensor that is stored as floats.
void read_container(const SafetensorsFile& file, std::size_t size) {
  std::uint64_t bytes = 0;
  for (const auto& [name, entry] : file.tensors()) {
    TESSERA_ENSURE(entry.begin <= entry.end && entry.end <= size);
    bytes += entry.end - entry.begin;
    if (!SafetensorsFile::is_float(entry)) continue;
    std::vector<float> values(entry.count());
    TESSERA_ENSURE(file.read(entry, values));
  }
  TESSERA_ENSURE(bytes + 8 < size);
}

void read_model(SafetensorsFile file, bool tied_head) {
  HfTensors tensors;
  tensors.files.push_back(std::move(file));
  auto source = make_hf_source(small_llama(tied_head), std::move(tensors), "input");
  if (!source) return;
  std::vector<float> values;
  for (const NamedMatrix& matrix : model_matrices((*source)->shape())) {
    TESSERA_ENSURE((*source)->read_tensor(matrix.name, values));
    TESSERA_ENSURE(values.size() == matrix.size.count());
  }
}

void read_json(std::string_view text) {
  if (const auto config = parse_hf_config(text, "input")) {
    TESSERA_ENSURE(validate(config->shape, "input"));
    TESSERA_ENSURE(config->family != nullptr && config->rope.frequencies.size() == config->shape.rope_width() / 2);
    for (const TokenId id : config->ids.eos) {
      TESSERA_ENSURE(id >= 0 && static_cast<std::uint32_t>(id) < config->shape.vocab_size);
    }
  }
  if (const auto files = parse_hf_index(text, "input")) {
    for (const auto& [tensor, file] : *files) TESSERA_ENSURE(file.find('/') == std::string::npos && file != "..");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with('{')) read_json(text);
  const auto bytes = std::as_bytes(std::span(text));
  const auto open = [&] { return SafetensorsFile::open(memory_byte_source(bytes, "input")); };
  auto file = open();
  if (!file) return 0;
  read_container(*file, size);
  read_model(std::move(*file), true);
  read_model(std::move(*open()), false);
  return 0;
}
