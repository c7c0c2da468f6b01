#include "runtime/importers/import_model.hpp"

#include <array>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "runtime/base/limits.hpp"
#include "runtime/checkpoint/checkpoint_writer.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/hugging_face.hpp"
#include "runtime/importers/import_chat_template.hpp"
#include "runtime/importers/llama2c.hpp"
#include "runtime/importers/llama2c_tokenizer.hpp"
#include "runtime/importers/packing.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

namespace {

/// Formats that come into the same hands, by how they begin.
constexpr std::pair<std::string_view, const char*> foreign_formats[] = {
    {"\x89HDF\r\n\x1a\n", "an HDF5 file; if it is a Tessera checkpoint, it needs no import"},
    {"GGUF", "a GGUF file, which cannot be imported; give the model's safetensors files"},
    {"PK\x03\x04", "a PyTorch archive, which cannot be imported; save the model as safetensors"},
    {"\x80\x02", "a pickle of Python, which cannot be imported; save the model as safetensors"},
};

bool begins_like_safetensors(std::span<const char> start) {
  std::uint64_t header_bytes;
  if (start.size() <= sizeof header_bytes) return false;
  std::memcpy(&header_bytes, start.data(), sizeof header_bytes);
  return header_bytes <= limits::safetensors_header_bytes_max && start[sizeof header_bytes] == '{';
}

Result<std::unique_ptr<WeightSource>> open_file(const std::string& path) {
  TESSERA_TRY(auto file, open_byte_source(path));
  std::array<char, 16> bytes{};
  const std::span<char> start = std::span(bytes).first(file->size() < bytes.size() ? file->size() : bytes.size());
  TESSERA_CHECK(file->read(0, std::as_writable_bytes(start)));
  const std::string_view text(start.data(), start.size());
  for (const auto& [magic, what] : foreign_formats) {
    if (text.starts_with(magic)) return Error{ErrorCode::unsupported, path + ": is " + what};
  }
  if (path.ends_with(".safetensors") || begins_like_safetensors(start)) return open_hf_file(path);
  if (path.ends_with(".json") || text.starts_with('{')) return open_hf_index(path);
  return open_llama2c(std::move(file));
}

Result<void> pack_tensor(WeightSource& source, CheckpointWriter& writer, std::uint32_t number,
                         std::vector<float>& values, PackBuffer& buffer, ProgressMeter& meter,
                         const std::string& destination) {
  const TensorEntry& entry = writer.tensors()[number];
  const TensorLayout& layout = entry.spec.layout;
  const MatrixSize size = matrix_size(layout);
  TESSERA_CHECK(source.read_tensor(entry.spec.name, values));
  const auto* const packed = std::get_if<PackedLayout>(&layout);
  TESSERA_CHECK(check_values(packed ? packed->dtype : DType::f32, values, size, source.describe(entry.spec.name)));
  if (!packed) {
    TESSERA_CHECK(writer.write_unit(number, 0, std::as_bytes(std::span(values))));
    return meter.add(values.size() * sizeof(float), destination);
  }
  const MatrixView view{values.data(), size.rows, size.columns};
  return make_and_write(
      packed->units(), [&](std::uint32_t unit) { return packed->unit_offset(unit); }, buffer,
      [&](std::uint32_t unit, std::byte* out) { pack_unit(*packed, unit, view, out); },
      [&](std::uint32_t unit, std::span<const std::byte> bytes) -> Result<void> {
        TESSERA_CHECK(writer.write_unit(number, unit, bytes));
        return meter.add(bytes.size(), destination);
      });
}

Manifest header_of(const WeightSource& source, const ImportOptions& options) {
  Manifest header;
  header.shape = source.shape();
  header.geometry = SliceGeometry::of(header.shape);
  header.dtype = options.dtype;
  header.name = options.name;
  header.source_format = source.format();
  header.rope_frequencies = rope_frequencies(header.shape);
  return header;
}

Result<ImportReport> write_all(WeightSource& source, const std::string& destination, const ImportOptions& options,
                               const std::vector<std::byte>& tokenizer_blob, const std::string& chat_template) {
  TESSERA_CHECK(check_tensor_sizes(source));
  Manifest header = header_of(source, options);
  header.chat_template = chat_template;
  TESSERA_TRY(const auto writer, CheckpointWriter::create(destination, header));
  std::uint64_t total = tokenizer_blob.size();
  for (const TensorEntry& entry : writer->tensors()) total += layout_bytes(entry.spec.layout);
  ProgressMeter meter(options.progress, total);
  TESSERA_CHECK(meter.add(0, destination));
  std::vector<float> values;
  PackBuffer buffer;
  for (std::uint32_t number = 0; number < writer->tensors().size(); ++number) {
    TESSERA_CHECK(pack_tensor(source, *writer, number, values, buffer, meter, destination));
  }
  if (!tokenizer_blob.empty()) {
    TESSERA_CHECK(writer->write_tokenizer(tokenizer_blob));
    TESSERA_CHECK(meter.add(tokenizer_blob.size(), destination));
  }
  TESSERA_TRY(std::string content_id, writer->finish());
  std::error_code failed;
  const std::uintmax_t bytes = std::filesystem::file_size(destination, failed);
  return ImportReport{std::move(content_id), failed ? meter.done() : bytes, {}};
}

Result<std::vector<std::byte>> import_tokenizer(const std::string& path, const WeightSource& source) {
  TESSERA_TRY(const auto file, open_byte_source(path));
  TESSERA_TRY(const std::vector<std::byte> bytes, read_whole(*file, limits::tokenizer_bytes_max, "a tokenizer"));
  TESSERA_TRY(TokenizerData data, parse_llama2c_tokenizer(bytes, source.shape().vocab_size, path));
  ModelIds ids = source.ids();
  if (ids.bos >= 0) data.bos = ids.bos;
  if (!ids.eos.empty()) data.eos = std::move(ids.eos);
  TESSERA_TRY(const Tokenizer tokenizer, Tokenizer::create(std::move(data), path));
  return tokenizer.serialize();
}

/// Replacing a file while reading it works, but nobody means it.
Result<void> refuse_same_file(const std::string& source, const std::string& destination) {
  std::error_code ignored;
  if (!std::filesystem::equivalent(source, destination, ignored)) return {};
  return Error{ErrorCode::invalid_argument,
               destination + ": is the file that is read; choose another name for the checkpoint"};
}

}  // namespace

Result<std::unique_ptr<WeightSource>> open_weight_source(const std::string& path) {
  try {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored) ? open_hf_folder(path) : open_file(path);
  } catch (const std::exception& exception) {  // of std::filesystem and of allocation
    return Error{ErrorCode::exhausted, path + ": cannot be opened: " + exception.what()};
  }
}

Result<ImportReport> write_checkpoint(WeightSource& source, const std::string& destination,
                                      const ImportOptions& options, const std::vector<std::byte>& tokenizer_blob,
                                      const std::string& chat_template) {
  try {
    return write_all(source, destination, options, tokenizer_blob, chat_template);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::exhausted, destination + ": not enough memory to pack a tensor; close other programs"};
  }
}

Result<ImportReport> import_model(const std::string& source_path, const std::string& destination,
                                  const ImportOptions& options) {
  TESSERA_CHECK(refuse_same_file(source_path, destination));
  if (!options.tokenizer_path.empty()) TESSERA_CHECK(refuse_same_file(options.tokenizer_path, destination));
  TESSERA_TRY(const auto source, open_weight_source(source_path));
  std::vector<std::byte> tokenizer_blob;
  if (!options.tokenizer_path.empty()) {
    TESSERA_TRY(tokenizer_blob, import_tokenizer(options.tokenizer_path, *source));
  }
  TESSERA_TRY(ImportedChatTemplate chat, import_chat_template(options.chat_template_path, source_path, *source));
  ImportOptions named = options;
  if (named.name.empty()) named.name = model_name_of(source_path);
  TESSERA_TRY(ImportReport report, write_checkpoint(*source, destination, named, tokenizer_blob, chat.text));
  if (!chat.notice.empty()) report.notices.push_back(std::move(chat.notice));
  return report;
}

}  // namespace tessera
