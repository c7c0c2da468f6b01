#include "runtime/importers/gguf_source.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <tbb/parallel_for.h>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/gguf_blocks.hpp"
#include "runtime/importers/gguf_config.hpp"
#include "runtime/importers/gguf_names.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/importers/tokenizer_gguf.hpp"
#include "runtime/tensor/quantise.hpp"

namespace tessera {

namespace {

constexpr const char* embedding_tensor = "token_embd.weight";
constexpr const char* head_tensor = "output.weight";
/// Bytes of a tensor that are read at a time.
constexpr std::uint64_t chunk_bytes = std::uint64_t{8} << 20;

/// Where one tensor lies.
struct GgufPlace {
  const GgufFile* file = nullptr;
  const GgufTensorInfo* info = nullptr;

  std::string describe() const { return file->name() + ": tensor " + info->name; }
};

/// Tables that are functions of the metadata.
bool is_ignored(const std::string& name) { return name.ends_with(".attn_rot_embd.weight") || name == "rope.freqs"; }

class GgufSource final : public WeightSource {
 public:
  explicit GgufSource(std::vector<GgufFile> files) : files_(std::move(files)) {}

  Result<void> locate();

  const ModelShape& shape() const override { return config_.shape; }
  const char* format() const override { return "gguf"; }
  ModelIds ids() const override { return config_.ids; }
  DType natural_dtype() const override { return natural_dtype_; }

  Result<std::string> identity() const override {
    std::string all;
    for (const GgufFile& file : files_) {
      TESSERA_TRY(const std::string one, file.source().identity());
      if (one.empty()) return one;
      all += one + "\n";
    }
    return all;
  }

  std::string chat_template() const override { return config_.chat_template; }
  Result<std::optional<TokenizerData>> tokenizer(std::string& notice) const override {
    notice.clear();
    auto data = tokenizer_from_gguf(files_.front());
    if (data) return std::optional<TokenizerData>(*std::move(data));
    if (data.error().code == ErrorCode::not_found) return std::optional<TokenizerData>();
    if (data.error().code != ErrorCode::unsupported) return data.error();
    notice = data.error().message + "; the checkpoint has no tokenizer, unless you give one";
    return std::optional<TokenizerData>();
  }

  std::string describe(const std::string& name) const override {
    const auto found = places_.find(name);
    return found == places_.end() ? "gguf: tensor " + name : found->second.describe();
  }

  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
    TESSERA_TRY(const GgufPlace place, find(name));
    TESSERA_CHECK(resize_values(out, place.info->count(), describe(name)));
    const GgufDequantise dequantise = gguf_dequantiser(place.info->type);
    return read_rows(name, place, [&](const std::byte* row, std::uint64_t canonical) {
      const std::uint64_t columns = place.info->dimensions.front();
      dequantise(row, columns / place.info->format().block_values, out.data() + canonical * columns);
    });
  }

  bool has_blocks(const std::string& name, DType dtype) const override {
    const auto found = places_.find(name);
    return found != places_.end() && gguf_block_taker(found->second.info->type, dtype) != nullptr;
  }

  Result<void> read_blocks(const std::string& name, DType dtype, std::vector<std::byte>& out) override {
    TESSERA_TRY(const GgufPlace place, find(name));
    const GgufTakeOver take_over = gguf_block_taker(place.info->type, dtype);
    TESSERA_ENSURE(take_over);
    const std::uint64_t row_blocks = place.info->dimensions.front() / place.info->format().block_values;
    const std::uint64_t row_bytes = row_blocks * (dtype == DType::q8 ? sizeof(Q8Block) : sizeof(Q4Block));
    const std::uint64_t rows = place.info->count() / place.info->dimensions.front();
    TESSERA_CHECK(resize_values(out, rows * row_bytes, describe(name)));
    return read_rows(name, place, [&](const std::byte* row, std::uint64_t canonical) {
      take_over(row, row_blocks, out.data() + canonical * row_bytes);
    });
  }

 private:
  Result<GgufPlace> find(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end()) return Error{ErrorCode::not_found, describe(name) + " does not exist"};
    return found->second;
  }

  /// `use(bytes of a row, its canonical number)` for all rows; in parallel.
  template <typename Use>
  Result<void> read_rows(const std::string& name, const GgufPlace& place, const Use& use) const {
    const std::uint64_t rows = place.info->count() / place.info->dimensions.front();
    const std::uint64_t row_bytes = place.info->bytes / rows;
    const std::uint64_t chunk_rows = std::clamp<std::uint64_t>(chunk_bytes / row_bytes, 1, rows);
    std::vector<std::byte> chunk(chunk_rows * row_bytes);
    for (std::uint64_t first = 0; first < rows; first += chunk_rows) {
      const std::uint64_t count = std::min(chunk_rows, rows - first);
      TESSERA_CHECK(place.file->read(*place.info, first * row_bytes, std::span(chunk).first(count * row_bytes)));
      tbb::parallel_for(std::uint64_t{0}, count, [&](std::uint64_t row) {
        const auto stored = static_cast<std::uint32_t>(first + row);
        use(chunk.data() + row * row_bytes, canonical_row_of_gguf(name, stored, config_.shape.head_dim));
      });
    }
    return {};
  }

  Result<std::map<std::string, GgufPlace>> all_tensors() const;
  Result<GgufFacts> facts_of(const std::map<std::string, GgufPlace>& tensors) const;
  static Result<void> check(const GgufPlace& place, const NamedMatrix& matrix);

  std::vector<GgufFile> files_;
  GgufConfig config_;
  std::map<std::string, GgufPlace> places_;
  DType natural_dtype_ = DType::f32;
};

Result<std::map<std::string, GgufPlace>> GgufSource::all_tensors() const {
  std::map<std::string, GgufPlace> tensors;
  for (const GgufFile& file : files_) {
    for (const GgufTensorInfo& info : file.tensors()) {
      if (tensors.emplace(info.name, GgufPlace{&file, &info}).second) continue;
      return Error{ErrorCode::corrupt, file.name() + ": has the tensor " + info.name.substr(0, 100) +
                                           " that another file of the model has; the files do not belong together"};
    }
  }
  return tensors;
}

Result<GgufFacts> GgufSource::facts_of(const std::map<std::string, GgufPlace>& tensors) const {
  const auto embedding = tensors.find(embedding_tensor);
  if (embedding == tensors.end()) {
    return Error{ErrorCode::corrupt, files_.front().name() + ": has no tensor " + embedding_tensor +
                                         (tensors.empty() ? "; it holds a vocabulary only, no model" : "")};
  }
  const std::vector<std::uint64_t>& dimensions = embedding->second.info->dimensions;
  const std::uint64_t rows = embedding->second.info->count() / dimensions.front();
  if (rows > limits::vocab_size_max) {
    return Error{ErrorCode::corrupt, embedding->second.describe() + " has " + std::to_string(rows) +
                                         " rows; a vocabulary has at most " + std::to_string(limits::vocab_size_max)};
  }
  return GgufFacts{static_cast<std::uint32_t>(rows), tensors.contains(head_tensor)};
}

Result<void> GgufSource::check(const GgufPlace& place, const NamedMatrix& matrix) {
  std::vector<std::uint64_t> expected = {matrix.size.columns};
  if (!matrix.is_vector) expected.push_back(matrix.size.rows);
  if (place.info->dimensions != expected) {
    const auto text_of = [](const std::vector<std::uint64_t>& dimensions) {
      std::string text;
      for (const std::uint64_t dimension : dimensions) text += (text.empty() ? "[" : ", ") + std::to_string(dimension);
      return text + "]";
    };
    return Error{ErrorCode::corrupt, place.describe() + " has the dimensions " + text_of(place.info->dimensions) +
                                         ", but the metadata asks for " + text_of(expected) + "; the file is damaged"};
  }
  if (!gguf_dequantiser(place.info->type)) {
    return Error{ErrorCode::unsupported, place.describe() + " has the type " + place.info->format().name +
                                             ", which cannot be imported; these can: " + gguf_importable_types()};
  }
  return {};
}

Result<void> GgufSource::locate() {
  TESSERA_TRY(const auto tensors, all_tensors());
  TESSERA_TRY(const GgufFacts facts, facts_of(tensors));
  TESSERA_TRY(config_, read_gguf_config(files_.front(), facts));
  std::map<DType, std::uint64_t> values;
  std::set<std::string> known;
  for (const NamedMatrix& matrix : model_matrices(config_.shape)) {
    const std::string name = gguf_name_of(matrix.name);
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      return Error{ErrorCode::corrupt, files_.front().name() + ": tensor " + name +
                                           " is missing; the model is incomplete: fetch all of its files"};
    }
    TESSERA_CHECK(check(found->second, matrix));
    if (!matrix.is_vector) values[nearest_dtype(found->second.info->type)] += matrix.size.count();
    places_.emplace(matrix.name, found->second);
    known.insert(name);
  }
  for (const auto& [name, place] : tensors) {
    if (!known.contains(name) && !is_ignored(name)) return unknown_gguf_tensor(place.file->name(), name);
  }
  natural_dtype_ = std::max_element(values.begin(), values.end(), [](const auto& a, const auto& b) {
                     return a.second < b.second;
                   })->first;
  return {};
}

/// "model-00001-of-00003.gguf" → "model-00002-of-00003.gguf"
Result<std::string> split_path(const std::string& first, std::uint32_t number, std::uint32_t count) {
  const auto suffix = [count](std::uint32_t index) {
    char text[40];
    std::snprintf(text, sizeof text, "-%05u-of-%05u.gguf", index, count);
    return std::string(text);
  };
  const std::string own = suffix(1);
  if (first.ends_with(own)) return first.substr(0, first.size() - own.size()) + suffix(number);
  return Error{ErrorCode::invalid_argument, first + ": is a part of a model in " + std::to_string(count) +
                                                " files; give the one whose name ends with " + own};
}

Result<GgufFile> open_one(const std::string& path) {
  TESSERA_TRY(auto file, open_byte_source(path));
  return GgufFile::open(std::move(file));
}

}  // namespace

Result<std::unique_ptr<WeightSource>> make_gguf_source(std::vector<GgufFile> files) {
  TESSERA_ENSURE(!files.empty());
  auto source = std::make_unique<GgufSource>(std::move(files));
  TESSERA_CHECK(source->locate());
  return std::unique_ptr<WeightSource>(std::move(source));
}

Result<std::unique_ptr<WeightSource>> open_gguf(const std::string& path) {
  std::vector<GgufFile> files;
  TESSERA_TRY(GgufFile first, open_one(path));
  TESSERA_TRY(const std::uint32_t count, first.count_or("split.count", 1));
  if (count > limits::gguf_files_max) {
    return Error{ErrorCode::exhausted, path + ": is a part of " + std::to_string(count) + " files; at most " +
                                           std::to_string(limits::gguf_files_max) + " can be imported"};
  }
  files.push_back(std::move(first));
  for (std::uint32_t number = 2; number <= count; ++number) {
    TESSERA_TRY(const std::string part, split_path(path, number, count));
    TESSERA_TRY(GgufFile file, open_one(part));
    TESSERA_TRY(const std::uint32_t index, file.count("split.no"));
    TESSERA_TRY(const std::uint32_t its_count, file.count("split.count"));
    if (index + 1 != number || its_count != count) {
      return Error{ErrorCode::corrupt, part + ": says that it is part " + std::to_string(std::uint64_t{index} + 1) +
                                           " of " + std::to_string(its_count) + "; the files do not belong together"};
    }
    files.push_back(std::move(file));
  }
  return make_gguf_source(std::move(files));
}

}  // namespace tessera
