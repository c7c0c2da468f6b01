#include "runtime/importers/import_model.hpp"

#include <algorithm>
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
#include "runtime/importers/gguf_source.hpp"
#include "runtime/importers/hugging_face.hpp"
#include "runtime/importers/import_chat_template.hpp"
#include "runtime/importers/import_pooling.hpp"
#include "runtime/importers/llama2c.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/importers/packing.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

namespace {

/// Formats that come into the same hands, by how they begin.
constexpr std::pair<std::string_view, const char*> foreign_formats[] = {
    {"\x89HDF\r\n\x1a\n", "an HDF5 file; if it is a Tessera checkpoint, it needs no import"},
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
  if (text.starts_with("GGUF")) return open_gguf(path);
  if (path.ends_with(".safetensors") || begins_like_safetensors(start)) return open_hf_file(path);
  if (path.ends_with(".json") || text.starts_with('{')) return open_hf_index(path);
  return open_llama2c(std::move(file));
}

/// Writes the tensors of a source one after the other, and keeps the memory for it.
class TensorPacker {
 public:
  TensorPacker(WeightSource& source, CheckpointWriter& writer, ProgressMeter& meter, const std::string& destination)
      : source_(source), writer_(writer), meter_(meter), destination_(destination) {}

  Result<void> pack(std::uint32_t number) {
    const TensorEntry& entry = writer_.tensors()[number];
    const std::string& name = entry.spec.name;
    const MatrixSize size = matrix_size(entry.spec.layout);
    const auto* const packed = std::get_if<PackedLayout>(&entry.spec.layout);
    if (packed && source_.has_blocks(name, packed->dtype)) {
      std::vector<float>().swap(values_);
      TESSERA_CHECK(source_.read_blocks(name, packed->dtype, blocks_));
      TESSERA_CHECK(check_blocks(packed->dtype, blocks_, size, source_.describe(name)));
      return write_units(number, *packed, BlockMatrixView{blocks_.data(), size.rows, size.columns});
    }
    std::vector<std::byte>().swap(blocks_);
    TESSERA_CHECK(source_.read_tensor(name, values_));
    TESSERA_CHECK(check_values(packed ? packed->dtype : DType::f32, values_, size, source_.describe(name)));
    if (packed) return write_units(number, *packed, MatrixView{values_.data(), size.rows, size.columns});
    const auto bytes = std::as_bytes(std::span(values_));
    const TensorLayout& layout = entry.spec.layout;
    for (std::uint32_t unit = 0; unit < layout_units(layout); ++unit) {
      const std::size_t begin = layout_unit_offset(layout, unit), end = layout_unit_offset(layout, unit + 1);
      TESSERA_CHECK(writer_.write_unit(number, unit, bytes.subspan(begin, end - begin)));
    }
    return meter_.add(bytes.size(), destination_);
  }

 private:
  template <typename View>
  Result<void> write_units(std::uint32_t number, const PackedLayout& layout, const View& view) {
    return make_and_write(
        layout.units(), [&](std::uint32_t unit) { return layout.unit_offset(unit); }, buffer_,
        [&](std::uint32_t unit, std::byte* out) { pack_unit(layout, unit, view, out); },
        [&](std::uint32_t unit, std::span<const std::byte> bytes) -> Result<void> {
          TESSERA_CHECK(writer_.write_unit(number, unit, bytes));
          return meter_.add(bytes.size(), destination_);
        });
  }

  WeightSource& source_;
  CheckpointWriter& writer_;
  ProgressMeter& meter_;
  const std::string& destination_;
  std::vector<float> values_;
  std::vector<std::byte> blocks_;
  PackBuffer buffer_;
};

Result<Manifest> header_of(const WeightSource& source, const ImportOptions& options) {
  TESSERA_TRY(const WeightTypes types, weight_types(source, options));
  Manifest header;
  header.shape = source.shape();
  header.geometry = SliceGeometry::of(header.shape);
  header.dtype = types.layers;
  if (types.head != types.layers) header.head_dtype = types.head;
  header.name = options.name;
  header.source_format = source.format();
  RopeTables rope = source.rope();
  header.rope_frequencies = std::move(rope.frequencies);
  header.rope_local_frequencies = std::move(rope.local_frequencies);
  header.pooling = options.pooling;
  return header;
}

/// Everything besides the header that the bytes of tensors depend on; empty: an interrupted import cannot go on.
Result<std::string> resume_key_of(const WeightSource& source, const ImportOptions& options) {
  // Raised whenever the same source may become other bytes than before.
  constexpr const char* conversion = "conversion 2";
  if (!options.resumable) return std::string();
  TESSERA_TRY(const std::string identity, source.identity());
  return identity.empty() ? identity : std::string(conversion) + "\n" + identity;
}

/// Writes all tensors, but for those that an interrupted import has written. Returns the bytes of these.
Result<std::uint64_t> write_tensors(WeightSource& source, CheckpointWriter& writer, ProgressMeter& meter,
                                    const std::string& destination) {
  TensorPacker packer(source, writer, meter, destination);
  std::uint64_t resumed = 0;
  for (std::uint32_t number = 0; number < writer.tensors().size(); ++number) {
    TESSERA_TRY(const bool reused, writer.reuse_tensor());
    if (!reused) {
      TESSERA_CHECK(packer.pack(number));
      continue;
    }
    const std::uint64_t bytes = layout_bytes(writer.tensors()[number].spec.layout);
    resumed += bytes;
    TESSERA_CHECK(meter.add(bytes, destination));
  }
  return resumed;
}

/// What an interrupted import leaves, and how it goes on.
Error kept_for_later(const Error& error, CheckpointWriter& writer) {
  if ((error.code != ErrorCode::cancelled && error.code != ErrorCode::io) || !writer.keep_partial()) return error;
  return {error.code, error.message +
                          "; what is finished is kept in hidden .partial files beside it, and the same "
                          "command goes on from there"};
}

Result<ImportReport> write_all(WeightSource& source, const std::string& destination, const ImportOptions& options,
                               const std::vector<std::byte>& tokenizer_blob, const std::string& chat_template) {
  TESSERA_CHECK(check_tensor_sizes(source));
  TESSERA_TRY(const std::string resume_key, resume_key_of(source, options));
  TESSERA_TRY(Manifest header, header_of(source, options));
  header.chat_template = chat_template;
  TESSERA_TRY(const auto writer, CheckpointWriter::create(destination, header, resume_key));
  std::uint64_t total = tokenizer_blob.size();
  for (const TensorEntry& entry : writer->tensors()) total += layout_bytes(entry.spec.layout);
  ProgressMeter meter(options.progress, total);
  TESSERA_CHECK(meter.add(0, destination));
  const Result<std::uint64_t> resumed = write_tensors(source, *writer, meter, destination);
  if (!resumed) return kept_for_later(resumed.error(), *writer);
  if (!tokenizer_blob.empty()) {
    TESSERA_CHECK(writer->write_tokenizer(tokenizer_blob));
    TESSERA_CHECK(meter.add(tokenizer_blob.size(), destination));
  }
  TESSERA_TRY(std::string content_id, writer->finish());
  std::error_code failed;
  const std::uintmax_t bytes = std::filesystem::file_size(destination, failed);
  return ImportReport{std::move(content_id), failed ? meter.done() : bytes, *resumed, {}};
}

/// What the model's configuration says of special ids is added to what the tokenizer says.
void add_model_ids(const ModelIds& ids, TokenizerData& data) {
  if (ids.bos >= 0 && !data.framed) data.bos = ids.bos;
  if (!data.framed && !ids.eos.empty()) data.eos.clear();
  for (const TokenId id : ids.eos) {
    if (std::find(data.eos.begin(), data.eos.end(), id) == data.eos.end()) data.eos.push_back(id);
  }
}

Result<std::vector<std::byte>> import_tokenizer(const std::string& path, const WeightSource& source) {
  TESSERA_TRY(TokenizerData data, load_tokenizer(path));
  return pack_tokenizer(std::move(data), source.ids(), source.shape().vocab_size, path);
}

/// The tokenizer inside the source, if any.
Result<std::vector<std::byte>> own_tokenizer(const WeightSource& source, const std::string& where,
                                             std::vector<std::string>& notices) {
  std::string notice;
  TESSERA_TRY(std::optional<TokenizerData> data, source.tokenizer(notice));
  if (!notice.empty()) notices.push_back(std::move(notice));
  if (!data) return std::vector<std::byte>();
  return pack_tokenizer(*std::move(data), source.ids(), source.shape().vocab_size, where);
}

/// The one that was named, else the folder's, else the one inside the source.
Result<std::vector<std::byte>> tokenizer_of(const WeightSource& source, const std::string& source_path,
                                            const std::string& named, std::vector<std::string>& notices) {
  if (!named.empty()) return import_tokenizer(named, source);
  std::error_code ignored;
  if (std::filesystem::is_directory(source_path, ignored) && has_tokenizer(source_path))
    return import_tokenizer(source_path, source);
  return own_tokenizer(source, source_path, notices);
}

/// Replacing a file while reading it works, but nobody means it.
Result<void> refuse_same_file(const std::string& source, const std::string& destination) {
  std::error_code ignored;
  if (!std::filesystem::equivalent(source, destination, ignored)) return {};
  return Error{ErrorCode::invalid_argument,
               destination + ": is the file that is read; choose another name for the checkpoint"};
}

}  // namespace

Result<WeightTypes> weight_types(const WeightSource& source, const ImportOptions& options) {
  const DType layers = options.dtype.value_or(source.natural_dtype());
  const std::string head = head_matrix(source.shape());
  if (head.empty()) {
    if (!options.head_dtype || *options.head_dtype == layers) return WeightTypes(layers);
    return Error{ErrorCode::invalid_argument, "the model has no head whose type could be chosen"};
  }
  const bool improves = layers == DType::q4 && !source.has_blocks(head, DType::q4);
  const WeightTypes types(layers, options.head_dtype.value_or(improves ? DType::q8 : layers));
  if (types.supported()) return types;
  return Error{ErrorCode::invalid_argument, std::string("a head in ") + to_string(types.head) +
                                                " does not go with matrices in " + to_string(layers) +
                                                "; a head has their type, or q8 where they have q4"};
}

Result<void> WeightSource::read_blocks(const std::string& name, DType, std::vector<std::byte>&) {
  return Error{ErrorCode::unsupported, describe(name) + " is not stored in blocks"};
}

Result<std::vector<std::byte>> pack_tokenizer(TokenizerData data, const ModelIds& ids, std::uint32_t vocab_size,
                                              const std::string& where) {
  TESSERA_CHECK(fit_vocabulary(data, vocab_size, where));
  add_model_ids(ids, data);
  TESSERA_TRY(const Tokenizer tokenizer, Tokenizer::create(std::move(data), where));
  return tokenizer.serialize();
}

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
  std::vector<std::string> notices;
  TESSERA_TRY(const std::vector<std::byte> tokenizer_blob,
              tokenizer_of(*source, source_path, options.tokenizer_path, notices));
  TESSERA_TRY(ImportedChatTemplate chat, import_chat_template(options.chat_template_path, source_path, *source));
  ImportOptions named = options;
  if (named.name.empty()) named.name = model_name_of(source_path);
  if (!named.pooling) {
    TESSERA_TRY(ImportedPooling pooling, import_pooling(source_path, *source));
    named.pooling = pooling.plan;
    if (!pooling.notice.empty()) notices.push_back(std::move(pooling.notice));
  }
  TESSERA_TRY(ImportReport report, write_checkpoint(*source, destination, named, tokenizer_blob, chat.text));
  report.notices = std::move(notices);
  if (!chat.notice.empty()) report.notices.push_back(std::move(chat.notice));
  return report;
}

}  // namespace tessera
