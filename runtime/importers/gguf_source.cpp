#include "runtime/importers/gguf_source.hpp"

#include <algorithm>
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

/// Where one tensor of ours lies: in one of theirs, from a row on (of a vector: an element).
struct GgufPlace {
  const GgufFile* file = nullptr;
  const GgufTensorInfo* info = nullptr;
  std::uint64_t first_row = 0;
  MatrixSize size;
  bool is_vector = false;

  std::string describe() const { return file->name() + ": tensor " + info->name; }
};

/// Divisors of RoPE's frequencies; the long ones are for texts beyond the context of the checkpoint.
constexpr const char* rope_divisors_tensor = "rope_freqs.weight";
constexpr const char* rope_short_divisors_tensor = "rope_factors_short.weight";
constexpr const char* rope_long_divisors_tensor = "rope_factors_long.weight";

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

  RopeTables rope() const override { return config_.rope; }

  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
    TESSERA_TRY(const GgufPlace place, find(name));
    if (place.is_vector) return read_vector(name, place, out);
    TESSERA_CHECK(resize_values(out, place.size.count(), describe(name)));
    const GgufDequantise dequantise = gguf_dequantiser(place.info->type);
    return read_rows(name, place, [&](const std::byte* row, std::uint64_t canonical) {
      const std::uint64_t columns = place.size.columns;
      dequantise(row, columns / place.info->format().block_values, out.data() + canonical * columns);
    });
  }

  bool has_blocks(const std::string& name, DType dtype) const override {
    const auto found = places_.find(name);
    return found != places_.end() && !found->second.is_vector &&
           gguf_block_taker(found->second.info->type, dtype) != nullptr;
  }

  Result<void> read_blocks(const std::string& name, DType dtype, std::vector<std::byte>& out) override {
    TESSERA_TRY(const GgufPlace place, find(name));
    const GgufTakeOver take_over = gguf_block_taker(place.info->type, dtype);
    TESSERA_ENSURE(take_over);
    const std::uint64_t row_blocks = place.size.columns / place.info->format().block_values;
    const std::uint64_t row_bytes = row_blocks * (dtype == DType::q8 ? sizeof(Q8Block) : sizeof(Q4Block));
    TESSERA_CHECK(resize_values(out, place.size.rows * row_bytes, describe(name)));
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

  std::uint32_t canonical_row(const std::string& name, std::uint32_t row) const {
    return config_.family->is_turned ? canonical_row_of_gguf(name, row, config_.shape.head_dim) : row;
  }

  /// `use(bytes of a row, its canonical number)` for all rows; in parallel.
  template <typename Use>
  Result<void> read_rows(const std::string& name, const GgufPlace& place, const Use& use) const {
    const std::uint64_t rows = place.size.rows;
    const std::uint64_t row_bytes = place.info->bytes / (place.info->count() / place.size.columns);
    const std::uint64_t chunk_rows = std::clamp<std::uint64_t>(chunk_bytes / row_bytes, 1, rows);
    std::vector<std::byte> chunk(chunk_rows * row_bytes);
    for (std::uint64_t first = 0; first < rows; first += chunk_rows) {
      const std::uint64_t count = std::min(chunk_rows, rows - first);
      TESSERA_CHECK(place.file->read(*place.info, (place.first_row + first) * row_bytes,
                                     std::span(chunk).first(count * row_bytes)));
      tbb::parallel_for(std::uint64_t{0}, count, [&](std::uint64_t row) {
        use(chunk.data() + row * row_bytes, canonical_row(name, static_cast<std::uint32_t>(first + row)));
      });
    }
    return {};
  }

  Result<void> read_vector(const std::string& name, const GgufPlace& place, std::vector<float>& out) const {
    TESSERA_TRY(const std::vector<float> whole, values_of(place));
    TESSERA_CHECK(resize_values(out, place.size.count(), describe(name)));
    for (std::uint32_t i = 0; i < place.size.columns; ++i) out[canonical_row(name, i)] = whole[place.first_row + i];
    return {};
  }

  static Result<std::vector<float>> values_of(const GgufPlace& place);
  static Result<std::vector<float>> divisors_of(const std::map<std::string, GgufPlace>& tensors, const char* name);
  Result<GgufPlace> place_of(const std::map<std::string, GgufPlace>& tensors, const NamedMatrix& matrix) const;
  Result<std::map<std::string, GgufPlace>> all_tensors() const;
  Result<GgufFacts> facts_of(const std::map<std::string, GgufPlace>& tensors) const;
  static Result<void> check(const GgufPlace& place, const GgufPart& part);

  std::vector<GgufFile> files_;
  GgufConfig config_;
  std::map<std::string, GgufPlace> places_;
  DType natural_dtype_ = DType::f32;
};

Result<std::map<std::string, GgufPlace>> GgufSource::all_tensors() const {
  std::map<std::string, GgufPlace> tensors;
  for (const GgufFile& file : files_) {
    for (const GgufTensorInfo& info : file.tensors()) {
      if (tensors.emplace(info.name, GgufPlace{&file, &info, 0, {}, false}).second) continue;
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
  GgufFacts facts;
  facts.embedding_rows = static_cast<std::uint32_t>(rows);
  facts.has_head = tensors.contains(head_tensor);
  for (const auto& [name, place] : tensors) facts.kinds.emplace(gguf_kind_of(name));
  TESSERA_TRY(facts.rope_divisors, divisors_of(tensors, rope_divisors_tensor));
  TESSERA_TRY(facts.rope_short_divisors, divisors_of(tensors, rope_short_divisors_tensor));
  return facts;
}

/// All of a tensor of moderate size.
Result<std::vector<float>> GgufSource::values_of(const GgufPlace& place) {
  std::vector<std::byte> bytes;
  std::vector<float> values;
  TESSERA_CHECK(resize_values(bytes, place.info->bytes, place.describe()));
  TESSERA_CHECK(resize_values(values, place.info->count(), place.describe()));
  TESSERA_CHECK(place.file->read(*place.info, 0, bytes));
  gguf_dequantiser(place.info->type)(bytes.data(), values.size() / place.info->format().block_values, values.data());
  return values;
}

/// Empty: there are none.
Result<std::vector<float>> GgufSource::divisors_of(const std::map<std::string, GgufPlace>& tensors, const char* name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return std::vector<float>();
  const GgufTensorInfo& info = *found->second.info;
  if (info.type != GgufTensorType::f32 || info.dimensions.size() != 1 || info.count() > limits::head_dim_max) {
    return Error{ErrorCode::corrupt, found->second.describe() + " should be a vector of at most " +
                                         std::to_string(limits::head_dim_max) + " F32; the file is damaged"};
  }
  return values_of(found->second);
}

Result<void> GgufSource::check(const GgufPlace& place, const GgufPart& part) {
  if (place.info->dimensions != part.dimensions) {
    const auto text_of = [](const std::vector<std::uint64_t>& dimensions) {
      std::string text;
      for (const std::uint64_t dimension : dimensions) text += (text.empty() ? "[" : ", ") + std::to_string(dimension);
      return text + "]";
    };
    return Error{ErrorCode::corrupt, place.describe() + " has the dimensions " + text_of(place.info->dimensions) +
                                         ", but the metadata asks for " + text_of(part.dimensions) +
                                         "; the file is damaged"};
  }
  if (!gguf_dequantiser(place.info->type)) {
    return Error{ErrorCode::unsupported, place.describe() + " has the type " + place.info->format().name +
                                             ", which cannot be imported; these can: " + gguf_importable_types()};
  }
  return {};
}

/// The first of the possible places that is there with its dimensions; else what is wrong with the most usual one.
Result<GgufPlace> GgufSource::place_of(const std::map<std::string, GgufPlace>& tensors,
                                       const NamedMatrix& matrix) const {
  const std::vector<GgufPart> parts = gguf_parts_of(config_.shape, matrix);
  const auto fits = [&](const GgufPart& part) {
    const auto found = tensors.find(part.name);
    return found != tensors.end() && found->second.info->dimensions == part.dimensions;
  };
  const auto is_there = [&](const GgufPart& part) { return tensors.contains(part.name); };
  auto part = std::find_if(parts.begin(), parts.end(), fits);
  if (part == parts.end()) part = is_there(parts.front()) ? parts.begin() : parts.end();
  if (part == parts.end()) {
    return Error{ErrorCode::corrupt, files_.front().name() + ": tensor " + parts.front().name +
                                         " is missing; the model is incomplete: fetch all of its files"};
  }
  GgufPlace place = tensors.at(part->name);
  TESSERA_CHECK(check(place, *part));
  place.first_row = part->first_row;
  place.size = matrix.size;
  place.is_vector = matrix.is_vector;
  return place;
}

Result<void> GgufSource::locate() {
  TESSERA_TRY(const auto tensors, all_tensors());
  TESSERA_TRY(const GgufFacts facts, facts_of(tensors));
  TESSERA_TRY(config_, read_gguf_config(files_.front(), facts));
  std::map<DType, std::uint64_t> values;
  std::set<std::string> known;
  if (config_.shape.plan.positions == PositionKind::rotary) {
    known.insert(rope_divisors_tensor);
    if (!facts.rope_short_divisors.empty()) {
      known.insert(rope_short_divisors_tensor);
      known.insert(rope_long_divisors_tensor);
    }
  }
  for (const NamedMatrix& matrix : model_matrices(config_.shape)) {
    TESSERA_TRY(const GgufPlace place, place_of(tensors, matrix));
    if (!matrix.is_vector) values[nearest_dtype(place.info->type)] += matrix.size.count();
    places_.emplace(matrix.name, place);
    known.insert(place.info->name);
  }
  for (const auto& [name, place] : tensors) {
    if (known.contains(name) || is_ignored(name)) continue;
    return unknown_gguf_tensor(place.file->name(), name, *config_.family);
  }
  natural_dtype_ = std::max_element(values.begin(), values.end(), [](const auto& a, const auto& b) {
                     return a.second < b.second;
                   })->first;
  return {};
}

}  // namespace

Result<std::unique_ptr<WeightSource>> make_gguf_source(std::vector<GgufFile> files) {
  TESSERA_ENSURE(!files.empty());
  auto source = std::make_unique<GgufSource>(std::move(files));
  TESSERA_CHECK(source->locate());
  return std::unique_ptr<WeightSource>(std::move(source));
}

}  // namespace tessera
