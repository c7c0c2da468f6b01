#include "runtime/importers/export_model.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <system_error>
#include <tbb/parallel_for.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/output_file.hpp"
#include "runtime/importers/packing.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/tensor/half.hpp"

namespace tessera {

namespace {

using nlohmann::json;

/// Bytes of rows that are made at a time.
constexpr std::size_t group_bytes = std::size_t{16} << 20;
constexpr std::size_t header_alignment = 8;

constexpr std::pair<std::string_view, std::string_view> layer_names[] = {
    {"attn_norm", "input_layernorm"}, {"attn_q", "self_attn.q_proj"},   {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},   {"attn_out", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},    {"ffn_up", "mlp.up_proj"},        {"ffn_down", "mlp.down_proj"},
};

/// Empty: a tensor that a Llama does not have.
std::string name_outside(const std::string& name) {
  if (name == embedding_name) return "model.embed_tokens.weight";
  if (name == final_norm_name) return "model.norm.weight";
  if (name == head_name) return "lm_head.weight";
  const std::size_t dot = name.rfind('.') + 1;
  for (const auto& [ours, theirs] : layer_names) {
    if (std::string_view(name).substr(dot) == ours)
      return "model." + name.substr(0, dot) + std::string(theirs) + ".weight";
  }
  return {};
}

std::size_t bytes_of(ExportDType dtype) { return dtype == ExportDType::f32 ? sizeof(float) : sizeof(std::uint16_t); }

const char* name_of(ExportDType dtype) {
  switch (dtype) {
    case ExportDType::f32:
      return "F32";
    case ExportDType::bf16:
      return "BF16";
    case ExportDType::f16:
      return "F16";
  }
  TESSERA_ENSURE(false);
}

const char* torch_name_of(ExportDType dtype) {
  switch (dtype) {
    case ExportDType::f32:
      return "float32";
    case ExportDType::bf16:
      return "bfloat16";
    case ExportDType::f16:
      return "float16";
  }
  TESSERA_ENSURE(false);
}

/// False: a value that the dtype cannot hold.
bool encode(ExportDType dtype, const float* values, std::size_t count, std::byte* out) {
  if (dtype == ExportDType::f32) {
    std::memcpy(out, values, count * sizeof(float));
    return true;
  }
  bool fits = true;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t bits = dtype == ExportDType::bf16 ? f32_to_bf16(values[i]) : f32_to_f16(values[i]);
    fits = fits && std::isfinite(dtype == ExportDType::bf16 ? bf16_to_f32(bits) : f16_to_f32(bits));
    std::memcpy(out + i * sizeof bits, &bits, sizeof bits);
  }
  return fits;
}

bool holds_exactly(ExportDType dtype, std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [&](float value) {
    if (dtype == ExportDType::f32) return true;
    return (dtype == ExportDType::bf16 ? bf16_to_f32(f32_to_bf16(value)) : f16_to_f32(f32_to_f16(value))) == value;
  });
}

/// One tensor on its way out.
struct Outgoing {
  const TensorEntry* entry = nullptr;
  std::string name;
  MatrixSize size;
  ExportDType dtype = ExportDType::f32;
  std::uint32_t file = 0;
  std::uint64_t begin = 0;  // in the data of its file

  std::uint64_t bytes() const { return size.count() * bytes_of(dtype); }
  bool is_vector() const { return std::holds_alternative<VectorLayout>(entry->spec.layout); }
};

std::string file_name(std::uint32_t file, std::uint32_t files) {
  if (files == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05u-of-%05u.safetensors", file + 1, files);
  return name;
}

std::string config_text(const ModelShape& shape, ExportDType dtype) {
  // The shortest text of the f32, so that it is read back as the same.
  char eps[32];
  const std::to_chars_result end = std::to_chars(eps, eps + sizeof eps, shape.norm_eps);
  double norm_eps = 0;
  std::from_chars(eps, end.ptr, norm_eps);
  const json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"attention_bias", false},
                       {"head_dim", shape.head_dim},
                       {"hidden_act", "silu"},
                       {"hidden_size", shape.dim},
                       {"intermediate_size", shape.ffn_dim},
                       {"max_position_embeddings", shape.context_length},
                       {"mlp_bias", false},
                       {"model_type", "llama"},
                       {"num_attention_heads", shape.heads},
                       {"num_hidden_layers", shape.layers},
                       {"num_key_value_heads", shape.kv_heads},
                       {"rms_norm_eps", norm_eps},
                       {"rope_theta", shape.rope_theta},
                       {"tie_word_embeddings", shape.tied_head},
                       {"torch_dtype", torch_name_of(dtype)},
                       {"vocab_size", shape.vocab_size}};
  return config.dump(2) + "\n";
}

Result<void> write_file(const std::string& path, std::string_view text) {
  TESSERA_TRY(OutputFile file, OutputFile::create(path));
  TESSERA_CHECK(file.append(std::as_bytes(std::span(text))));
  return file.publish();
}

/// The folder under its hidden name; removed unless it was published.
class PartialFolder {
 public:
  static Result<PartialFolder> create(const std::string& destination);
  PartialFolder(PartialFolder&& other) noexcept
      : destination_(std::move(other.destination_)), path_(std::exchange(other.path_, {})) {}
  PartialFolder& operator=(PartialFolder&&) = delete;
  ~PartialFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  std::string file(const std::string& name) const { return (path_ / name).string(); }

  Result<void> publish() {
    std::error_code failed;
    // Replaces an empty folder, and nothing else.
    std::filesystem::rename(path_, destination_, failed);
    if (failed) {
      return Error{ErrorCode::io, destination_.string() + ": cannot be renamed into place: " + failed.message()};
    }
    path_.clear();
    const std::filesystem::path parent = destination_.parent_path();
    const int folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
      ::fsync(folder);  // where a file system cannot, the rename is as durable as it gets
      ::close(folder);
    }
    return {};
  }

 private:
  PartialFolder(std::filesystem::path destination, std::filesystem::path path)
      : destination_(std::move(destination)), path_(std::move(path)) {}

  std::filesystem::path destination_, path_;
};

Result<PartialFolder> PartialFolder::create(const std::string& destination) {
  std::error_code failed;
  std::filesystem::path target = std::filesystem::absolute(destination, failed).lexically_normal();
  if (!failed && !target.has_filename()) target = target.parent_path();  // "folder/"
  if (destination.empty() || failed || !target.has_filename()) {
    return Error{ErrorCode::invalid_argument, destination + ": cannot be the name of a folder"};
  }
  if (std::filesystem::exists(target, failed) &&
      (!std::filesystem::is_directory(target, failed) || !std::filesystem::is_empty(target, failed))) {
    return Error{ErrorCode::invalid_argument,
                 destination + ": exists and is no empty folder; give the name of a new one"};
  }
  if (!std::filesystem::is_directory(target.parent_path(), failed)) {
    return Error{ErrorCode::not_found,
                 destination + ": its folder " + target.parent_path().string() + " does not exist; create it first"};
  }
  const std::filesystem::path path =
      target.parent_path() / ("." + target.filename().string() + ".partial-" + std::to_string(::getpid()));
  std::filesystem::remove_all(path, failed);
  if (!std::filesystem::create_directory(path, failed)) {
    return Error{ErrorCode::io, destination + ": cannot be written: " + failed.message()};
  }
  return PartialFolder(target, path);
}

class Exporter {
 public:
  Exporter(const Checkpoint& checkpoint, const ExportOptions& options, std::string destination)
      : checkpoint_(checkpoint), options_(options), destination_(std::move(destination)) {
    const bool is_bf16 = checkpoint.manifest().dtype == DType::bf16;
    dtype_ = options.dtype.value_or(is_bf16 ? ExportDType::bf16 : ExportDType::f32);
  }

  Result<ExportReport> run() {
    TESSERA_CHECK(plan());
    TESSERA_TRY(PartialFolder folder, PartialFolder::create(destination_));
    std::uint64_t total = 0;
    for (const Outgoing& tensor : tensors_) total += tensor.bytes();
    ProgressMeter meter(options_.progress, total);
    TESSERA_CHECK(meter.add(0, destination_));
    ExportReport report{0, files_};
    for (std::uint32_t file = 0; file < files_; ++file) {
      TESSERA_TRY(const std::uint64_t bytes, write_weights(folder.file(file_name(file, files_)), file, meter));
      report.bytes_written += bytes;
    }
    const std::string config = config_text(checkpoint_.manifest().shape, dtype_);
    TESSERA_CHECK(write_file(folder.file("config.json"), config));
    report.bytes_written += config.size();
    if (files_ > 1) {
      const std::string index = index_text(total);
      TESSERA_CHECK(write_file(folder.file("model.safetensors.index.json"), index));
      report.bytes_written += index.size();
    }
    TESSERA_CHECK(folder.publish());
    return report;
  }

 private:
  std::string describe(const Outgoing& tensor) const {
    return checkpoint_.source().uri() + ": tensor " + tensor.entry->spec.name;
  }

  /// Names, dtypes and places of all tensors.
  Result<void> plan() {
    const Manifest& manifest = checkpoint_.manifest();
    if (manifest.shape.family != "llama") {
      return Error{ErrorCode::unsupported, checkpoint_.source().uri() + ": is of the family '" + manifest.shape.family +
                                               "'; only llama can be exported"};
    }
    // config.json is written without a scaling of RoPE.
    if (manifest.rope_frequencies != rope_frequencies(manifest.shape)) {
      return Error{ErrorCode::unsupported,
                   checkpoint_.source().uri() + ": its rotary frequencies are scaled; only plain RoPE can be exported"};
    }
    std::uint64_t file_bytes = 0;
    for (const TensorEntry& entry : manifest.tensors) {
      Outgoing tensor{&entry, name_outside(entry.spec.name), matrix_size(entry.spec.layout), dtype_, 0, 0};
      if (tensor.name.empty())
        return Error{ErrorCode::unsupported, describe(tensor) + " has no place in a Hugging Face folder"};
      if (tensor.is_vector()) {
        TESSERA_TRY(const MappedTensor mapped, checkpoint_.map_all(entry.spec.name));
        const auto* const values = reinterpret_cast<const float*>(mapped.unit(0));
        if (!holds_exactly(dtype_, {values, tensor.size.columns})) tensor.dtype = ExportDType::f32;
      }
      if (file_bytes > 0 && tensor.bytes() > options_.file_bytes_max - std::min(file_bytes, options_.file_bytes_max)) {
        file_bytes = 0;
        ++files_;
      }
      tensor.file = files_ - 1;
      tensor.begin = file_bytes;
      file_bytes += tensor.bytes();
      tensors_.push_back(std::move(tensor));
    }
    if (files_ <= limits::export_files_max) return {};
    return Error{ErrorCode::invalid_argument, destination_ + ": would take " + std::to_string(files_) +
                                                  " files; at most " + std::to_string(limits::export_files_max) +
                                                  " are written: allow larger ones"};
  }

  std::string header_text(std::uint32_t file) const {
    json header = {{"__metadata__", {{"format", "pt"}}}};
    for (const Outgoing& tensor : tensors_) {
      if (tensor.file != file) continue;
      json shape = json::array({tensor.size.columns});
      if (!tensor.is_vector()) shape.insert(shape.begin(), tensor.size.rows);
      header[tensor.name] = {{"dtype", name_of(tensor.dtype)},
                             {"shape", shape},
                             {"data_offsets", {tensor.begin, tensor.begin + tensor.bytes()}}};
    }
    std::string text = header.dump();
    text.resize((text.size() + header_alignment - 1) / header_alignment * header_alignment, ' ');
    return text;
  }

  std::string index_text(std::uint64_t total) const {
    json map = json::object();
    for (const Outgoing& tensor : tensors_) map[tensor.name] = file_name(tensor.file, files_);
    return json({{"metadata", {{"total_size", total}}}, {"weight_map", map}}).dump(2) + "\n";
  }

  Result<std::uint64_t> write_weights(const std::string& path, std::uint32_t number, ProgressMeter& meter) {
    TESSERA_TRY(OutputFile file, OutputFile::create(path));
    const std::string header = header_text(number);
    const std::uint64_t length = header.size();
    TESSERA_CHECK(file.append(std::as_bytes(std::span(&length, 1))));
    TESSERA_CHECK(file.append(std::as_bytes(std::span(header))));
    for (const Outgoing& tensor : tensors_) {
      if (tensor.file == number) TESSERA_CHECK(write_tensor(tensor, file, meter));
    }
    TESSERA_CHECK(file.publish());
    return file.size();
  }

  Result<void> write_tensor(const Outgoing& tensor, OutputFile& file, ProgressMeter& meter) {
    for (std::uint32_t unit = 0; unit < layout_units(tensor.entry->spec.layout); ++unit)
      TESSERA_CHECK(checkpoint_.verify_unit(*tensor.entry, unit));
    TESSERA_TRY(const MappedTensor mapped, checkpoint_.map_all(tensor.entry->spec.name));
    const std::size_t row_bytes = tensor.size.columns * bytes_of(tensor.dtype);
    const auto group_rows =
        static_cast<std::uint32_t>(std::clamp<std::size_t>(group_bytes / row_bytes, 1, tensor.size.rows));
    buffer_.resize(group_rows * row_bytes);
    for (std::uint32_t begin = 0; begin < tensor.size.rows; begin += group_rows) {
      const std::uint32_t count = std::min(group_rows, tensor.size.rows - begin);
      std::atomic<std::uint32_t> bad{count};
      tbb::parallel_for(std::uint32_t{0}, count, [&](std::uint32_t row) {
        if (!encode_row(tensor, mapped, begin + row, buffer_.data() + row * row_bytes)) {
          std::uint32_t least = bad.load();
          while (row < least && !bad.compare_exchange_weak(least, row)) {
          }
        }
      });
      if (mapped.failed()) {
        return Error{ErrorCode::io, describe(tensor) + " could not be read to its end; the file was truncated"};
      }
      if (bad != count) {
        return Error{ErrorCode::corrupt, describe(tensor) + ", row " + std::to_string(begin + bad) +
                                             ": a value is too large for " + name_of(tensor.dtype) +
                                             "; export as f32 or bf16"};
      }
      TESSERA_CHECK(file.append(std::span(buffer_).first(count * row_bytes)));
      TESSERA_CHECK(meter.add(count * row_bytes, destination_));
    }
    return {};
  }

  static bool encode_row(const Outgoing& tensor, const MappedTensor& mapped, std::uint32_t row, std::byte* out) {
    if (tensor.is_vector()) {
      return encode(tensor.dtype, reinterpret_cast<const float*>(mapped.unit(0)), tensor.size.columns, out);
    }
    std::vector<float> values(tensor.size.columns);
    unpack_row(mapped.packed(), mapped.unit(0), row, values.data());
    return encode(tensor.dtype, values.data(), values.size(), out);
  }

  const Checkpoint& checkpoint_;
  const ExportOptions& options_;
  std::string destination_;
  ExportDType dtype_ = ExportDType::f32;
  std::vector<Outgoing> tensors_;
  std::uint32_t files_ = 1;
  std::vector<std::byte> buffer_;
};

}  // namespace

std::optional<ExportDType> parse_export_dtype(std::string_view name) {
  for (const auto& [known, dtype] : {std::pair<std::string_view, ExportDType>{"f32", ExportDType::f32},
                                     {"bf16", ExportDType::bf16},
                                     {"f16", ExportDType::f16}}) {
    if (known == name) return dtype;
  }
  return std::nullopt;
}

Result<ExportReport> export_model(const Checkpoint& checkpoint, const std::string& folder,
                                  const ExportOptions& options) {
  try {
    return Exporter(checkpoint, options, folder).run();
  } catch (const std::exception& exception) {  // of std::filesystem and of allocation
    return Error{ErrorCode::io, folder + ": cannot be written: " + exception.what()};
  }
}

}  // namespace tessera
