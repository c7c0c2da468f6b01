#include "runtime/importers/export_model.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <span>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/importers/export_folder.hpp"
#include "runtime/importers/export_pooling.hpp"
#include "runtime/importers/export_tensors.hpp"
#include "runtime/importers/export_tokenizer.hpp"
#include "runtime/importers/hf_config.hpp"
#include "runtime/importers/hf_family.hpp"
#include "runtime/importers/output_file.hpp"
#include "runtime/importers/packing.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::size_t header_alignment = 8;

std::string file_name(std::uint32_t file, std::uint32_t files) {
  if (files == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05u-of-%05u.safetensors", file + 1, files);
  return name;
}

/// A family and the config.json that describes the model as one of it.
struct ExportConfig {
  const HfFamily* family = nullptr;
  json config;
};

/// Whether an import of the config would give this model; its label aside.
bool describes(const json& config, const Manifest& manifest) {
  auto parsed = parse_hf_config(config.dump(), "config.json");
  if (!parsed) return false;
  parsed->shape.family = manifest.shape.family;
  return parsed->shape == manifest.shape && parsed->rope.frequencies == manifest.rope_frequencies &&
         parsed->rope.local_frequencies == manifest.rope_local_frequencies;
}

/// A Llama with other blocks has a label of its own.
bool is_own(const HfFamily& family, const Manifest& manifest) {
  return family.model_type == manifest.shape.family ||
         (family.model_type == "llama" && manifest.shape.family == "llama-variant");
}

/// The checkpoint's own family where it can say what the model is, else the first that can.
Result<ExportConfig> config_of(const Manifest& manifest, const std::string& where) {
  const HfModel model{manifest.shape, manifest.rope_frequencies, manifest.rope_local_frequencies};
  std::vector<const HfFamily*> families;
  for (const HfFamily& family : hf_families()) {
    if (family.write) families.push_back(&family);
  }
  std::stable_partition(families.begin(), families.end(),
                        [&](const HfFamily* family) { return is_own(*family, manifest); });
  for (const HfFamily* const family : families) {
    json config = {{"architectures", {family->architecture}}, {"model_type", family->model_type}};
    family->write(model, config);
    if (describes(config, manifest)) return ExportConfig{family, std::move(config)};
  }
  return Error{ErrorCode::unsupported, where +
                                           ": no config.json of a known family describes this model, which is of '" +
                                           manifest.shape.family + "'; it cannot be exported"};
}

class Exporter {
 public:
  Exporter(const Checkpoint& checkpoint, const ExportOptions& options, std::string destination)
      : checkpoint_(checkpoint), options_(options), destination_(std::move(destination)), encoder_(checkpoint) {
    const bool is_bf16 = checkpoint.manifest().dtype == DType::bf16;
    dtype_ = options.dtype.value_or(is_bf16 ? ExportDType::bf16 : ExportDType::f32);
  }

  Result<ExportReport> run() {
    TESSERA_TRY(ExportConfig config, config_of(checkpoint_.manifest(), checkpoint_.source().uri()));
    TESSERA_CHECK(plan(*config.family));
    TESSERA_TRY(PartialFolder folder, PartialFolder::create(destination_));
    std::uint64_t total = 0;
    for (const ExportTensor& tensor : tensors_) total += tensor.bytes();
    ProgressMeter meter(options_.progress, total);
    TESSERA_CHECK(meter.add(0, destination_));
    ExportReport report{0, files_, {}};
    for (std::uint32_t file = 0; file < files_; ++file) {
      TESSERA_TRY(const std::uint64_t bytes, write_weights(folder.file(file_name(file, files_)), file, meter));
      report.bytes_written += bytes;
    }
    config.config["torch_dtype"] = torch_name_of(dtype_);
    const auto write_text = [&](const char* name, const std::string& text) {
      report.bytes_written += text.size();
      return folder.write(name, text);
    };
    TESSERA_TRY(ExportedTokenizer tokenizer, export_tokenizer(checkpoint_, folder, config.config));
    report.bytes_written += tokenizer.bytes_written;
    if (!tokenizer.notice.empty()) report.notices.push_back(std::move(tokenizer.notice));
    TESSERA_CHECK(write_text("config.json", config.config.dump(2) + "\n"));
    if (files_ > 1) TESSERA_CHECK(write_text("model.safetensors.index.json", index_text(total)));
    if (const auto& pooling = checkpoint_.manifest().pooling) {
      TESSERA_TRY(const std::uint64_t bytes, export_pooling(*pooling, checkpoint_.manifest().shape.dim, folder));
      report.bytes_written += bytes;
    }
    TESSERA_CHECK(folder.publish());
    add_notices(*config.family, report);
    return report;
  }

 private:
  void add_notices(const HfFamily& family, ExportReport& report) const {
    if (!is_own(family, checkpoint_.manifest())) {
      report.notices.push_back("the model is of '" + checkpoint_.manifest().shape.family + "' and was written as " +
                               std::string(family.model_type) + ", which computes the same");
    }
    if (encoder_.rounded() > 0) {
      report.notices.push_back(std::to_string(encoder_.rounded()) +
                               " norm weights are stored less 1 in this family, and were rounded by that");
    }
  }

  /// Tensors and their places in the files.
  Result<void> plan(const HfFamily& family) {
    TESSERA_TRY(tensors_, export_tensors_of(checkpoint_, family, dtype_));
    std::uint64_t file_bytes = 0;
    for (ExportTensor& tensor : tensors_) {
      if (file_bytes > 0 && tensor.bytes() > options_.file_bytes_max - std::min(file_bytes, options_.file_bytes_max)) {
        file_bytes = 0;
        ++files_;
      }
      tensor.file = files_ - 1;
      tensor.begin = file_bytes;
      file_bytes += tensor.bytes();
    }
    if (files_ <= limits::export_files_max) return {};
    return Error{ErrorCode::invalid_argument, destination_ + ": would take " + std::to_string(files_) +
                                                  " files; at most " + std::to_string(limits::export_files_max) +
                                                  " are written: allow larger ones"};
  }

  std::string header_text(std::uint32_t file) const {
    json header = {{"__metadata__", {{"format", "pt"}}}};
    for (const ExportTensor& tensor : tensors_) {
      if (tensor.file != file) continue;
      header[tensor.name] = {{"dtype", export_name_of(tensor.dtype)},
                             {"shape", tensor.shape},
                             {"data_offsets", {tensor.begin, tensor.begin + tensor.bytes()}}};
    }
    std::string text = header.dump();
    text.resize((text.size() + header_alignment - 1) / header_alignment * header_alignment, ' ');
    return text;
  }

  std::string index_text(std::uint64_t total) const {
    json map = json::object();
    for (const ExportTensor& tensor : tensors_) map[tensor.name] = file_name(tensor.file, files_);
    return json({{"metadata", {{"total_size", total}}}, {"weight_map", map}}).dump(2) + "\n";
  }

  Result<std::uint64_t> write_weights(const std::string& path, std::uint32_t number, ProgressMeter& meter) {
    TESSERA_TRY(OutputFile file, OutputFile::create(path));
    const std::string header = header_text(number);
    const std::uint64_t length = header.size();
    TESSERA_CHECK(file.append(std::as_bytes(std::span(&length, 1))));
    TESSERA_CHECK(file.append(std::as_bytes(std::span(header))));
    for (const ExportTensor& tensor : tensors_) {
      if (tensor.file != number) continue;
      TESSERA_CHECK(encoder_.encode(tensor, [&](std::span<const std::byte> bytes) -> Result<void> {
        TESSERA_CHECK(file.append(bytes));
        return meter.add(bytes.size(), destination_);
      }));
    }
    TESSERA_CHECK(file.publish());
    return file.size();
  }

  const Checkpoint& checkpoint_;
  const ExportOptions& options_;
  std::string destination_;
  ExportDType dtype_ = ExportDType::f32;
  std::vector<ExportTensor> tensors_;
  std::uint32_t files_ = 1;
  ExportEncoder encoder_;
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
