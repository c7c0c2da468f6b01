#include "tests/unit/checkpoint/small_models.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/ensure.hpp"
#include "runtime/base/rng.hpp"

namespace tessera::test {

ModelShape smallest_shape() {
  ModelShape shape;
  shape.dim = 16;
  shape.layers = 1;
  shape.heads = 2;
  shape.kv_heads = 1;
  shape.head_dim = 16;
  shape.ffn_dim = 40;
  shape.vocab_size = 50;
  shape.context_length = 64;
  return shape;
}

ModelShape sliced_shape() {
  ModelShape shape;
  shape.dim = 48;
  shape.layers = 2;
  shape.heads = 6;
  shape.kv_heads = 3;
  shape.head_dim = 16;
  shape.ffn_dim = 100;
  shape.vocab_size = 2100;
  shape.context_length = 128;
  shape.tied_head = true;
  return shape;
}

Manifest header_of(const ModelShape& shape, DType dtype) {
  Manifest header;
  header.shape = shape;
  header.geometry = SliceGeometry::of(shape);
  header.dtype = dtype;
  header.name = "small";
  header.source_format = "synthetic";
  header.rope_frequencies = rope_frequencies(shape);
  header.chat_template = "{{ messages }}\n\u00e9";
  return header;
}

std::vector<std::byte> unit_bytes(std::uint32_t seed, const TensorEntry& entry, std::uint32_t tensor,
                                  std::uint32_t unit) {
  const TensorLayout& layout = entry.spec.layout;
  std::vector<std::byte> bytes(layout_unit_offset(layout, unit + 1) - layout_unit_offset(layout, unit));
  for (std::size_t i = 0; i < bytes.size(); i += 16) {
    const PhiloxCounter words = philox(philox_key(seed), {static_cast<std::uint32_t>(i), tensor, unit, 0});
    std::memcpy(bytes.data() + i, words.data(), std::min(sizeof(words), bytes.size() - i));
  }
  return bytes;
}

std::vector<std::byte> tokenizer_bytes() {
  std::vector<std::byte> bytes(5000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

Result<void> write_units(CheckpointWriter& writer, std::uint32_t seed) {
  for (std::uint32_t tensor = 0; tensor < writer.tensors().size(); ++tensor) {
    const TensorEntry& entry = writer.tensors()[tensor];
    for (std::uint32_t unit = 0; unit < entry.unit_crc32c.size(); ++unit) {
      TESSERA_CHECK(writer.write_unit(tensor, unit, unit_bytes(seed, entry, tensor, unit)));
    }
  }
  return writer.write_tokenizer(tokenizer_bytes());
}

Result<std::string> write_model(const std::string& path, const ModelShape& shape, DType dtype, std::uint32_t seed) {
  TESSERA_TRY(auto writer, CheckpointWriter::create(path, header_of(shape, dtype)));
  TESSERA_CHECK(write_units(*writer, seed));
  return writer->finish();
}

Result<std::shared_ptr<const Checkpoint>> open_checkpoint(const std::string& path, const std::string& content_id) {
  TESSERA_TRY(auto source, open_source(path));
  return Checkpoint::open(std::move(source), content_id);
}

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> chars((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  TESSERA_ENSURE(file.good() || file.eof());
  std::vector<std::byte> bytes(chars.size());
  if (!bytes.empty()) std::memcpy(bytes.data(), chars.data(), bytes.size());
  return bytes;
}

void write_file(const std::string& path, const std::vector<std::byte>& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  TESSERA_ENSURE(file.good());
}

MemoryFile::MemoryFile() : file_(::memfd_create("checkpoint", MFD_CLOEXEC)) { TESSERA_ENSURE(file_ >= 0); }

MemoryFile::~MemoryFile() { ::close(file_); }

void MemoryFile::set(const std::vector<std::byte>& bytes) {
  const auto size = static_cast<ssize_t>(bytes.size());
  TESSERA_ENSURE(::ftruncate(file_, size) == 0 && ::pwrite(file_, bytes.data(), bytes.size(), 0) == size);
}

}  // namespace tessera::test
