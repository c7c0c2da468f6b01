#include "runtime/importers/hf_quantised.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <tbb/parallel_for.h>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

constexpr std::uint64_t chunk_bytes = std::uint64_t{8} << 20;
constexpr std::uint64_t nibbles = 8;  // in an int32

/// One stored tensor: where it lies.
struct Part {
  const SafetensorsFile* file = nullptr;
  SafetensorsEntry entry;

  std::uint64_t bytes() const { return entry.end - entry.begin; }
  Result<void> read_raw(std::uint64_t offset, std::span<std::byte> out) const {
    return file->source().read(entry.begin + offset, out);
  }
};

using Shape = std::vector<std::uint64_t>;

std::string text_of(const Shape& shape) {
  std::string text;
  for (const std::uint64_t dimension : shape) text += (text.empty() ? "[" : ", ") + std::to_string(dimension);
  return text.empty() ? "[]" : text + "]";
}

std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

/// The int32 words of a small tensor.
Result<std::vector<std::uint32_t>> read_words(const Part& part) {
  std::vector<std::uint32_t> words(part.bytes() / sizeof(std::uint32_t));
  TESSERA_CHECK(part.read_raw(0, std::as_writable_bytes(std::span(words))));
  return words;
}

Result<std::vector<float>> read_floats(const Part& part) {
  std::vector<float> values(part.entry.count());
  TESSERA_CHECK(part.file->read(part.entry, values));
  return values;
}

/// Rows [begin, end) of a matrix with `columns` columns, from the run of values that a reader was asked for.
struct Rows {
  std::uint64_t begin = 0, end = 0;

  static Rows of(std::uint64_t first, std::size_t count, std::uint64_t columns) {
    TESSERA_ENSURE(first % columns == 0 && count % columns == 0);
    return {first / columns, first / columns + count / columns};
  }
};

// Which of the 8 nibbles of a word holds output o.
std::uint32_t gptq_shift(std::uint64_t output) { return static_cast<std::uint32_t>(output % nibbles * 4); }
std::uint32_t awq_shift(std::uint64_t output) {
  constexpr std::uint32_t place[nibbles] = {0, 4, 1, 5, 2, 6, 3, 7};
  return place[output % nibbles] * 4;
}

/// GPTQ or AWQ in 4 bits.
class Int4Reader final : public SafetensorsReader {
 public:
  Int4Reader(const HfQuantisation& quantisation, Part weights, Part zeros, Part scales, std::optional<Part> groups,
             std::uint64_t inputs, std::uint64_t outputs)
      : quantisation_(quantisation),
        weights_(std::move(weights)),
        zeros_(std::move(zeros)),
        scales_(std::move(scales)),
        groups_(std::move(groups)),
        inputs_(inputs),
        outputs_(outputs) {}

  Result<void> read(std::uint64_t first, std::span<float> out) const override {
    const Rows rows = Rows::of(first, out.size(), inputs_);
    TESSERA_TRY(const std::vector<std::uint32_t> zeros, read_words(zeros_));
    TESSERA_TRY(const std::vector<float> scales, read_floats(scales_));
    TESSERA_TRY(const std::vector<std::uint32_t> groups, groups_of_inputs());
    const bool gptq = quantisation_.method == HfQuantMethod::gptq;
    const std::uint64_t word_inputs = gptq ? nibbles : 1, row_words = gptq ? outputs_ : outputs_ / nibbles;
    const std::uint64_t stored_rows = inputs_ / word_inputs;
    const std::uint64_t chunk_rows = std::clamp<std::uint64_t>(chunk_bytes / (row_words * 4), 1, stored_rows);
    std::vector<std::uint32_t> words(chunk_rows * row_words);
    for (std::uint64_t begin = 0; begin < stored_rows; begin += chunk_rows) {
      const std::uint64_t count = std::min(chunk_rows, stored_rows - begin);
      TESSERA_CHECK(
          weights_.read_raw(begin * row_words * 4, std::as_writable_bytes(std::span(words).first(count * row_words))));
      tbb::parallel_for(rows.begin, rows.end, [&](std::uint64_t output) {
        float* const row = out.data() + (output - rows.begin) * inputs_;
        for (std::uint64_t input = begin * word_inputs; input < (begin + count) * word_inputs; ++input) {
          const std::uint64_t stored = input / word_inputs - begin;
          const std::uint32_t value = gptq ? words[stored * row_words + output] >> gptq_shift(input) & 15
                                           : words[stored * row_words + output / nibbles] >> awq_shift(output) & 15;
          row[input] = value_of(value, groups[input], output, zeros, scales);
        }
      });
    }
    return {};
  }

 private:
  float value_of(std::uint32_t value, std::uint64_t group, std::uint64_t output,
                 const std::vector<std::uint32_t>& zeros, const std::vector<float>& scales) const {
    const bool gptq = quantisation_.method == HfQuantMethod::gptq;
    const std::uint32_t word = zeros[group * (outputs_ / nibbles) + output / nibbles];
    const std::uint32_t zero =
        (word >> (gptq ? gptq_shift(output) : awq_shift(output)) & 15) + (quantisation_.zeros_less_one ? 1 : 0);
    return scales[group * outputs_ + output] * static_cast<float>(static_cast<int>(value) - static_cast<int>(zero));
  }

  /// The group of each input, which the file may name.
  Result<std::vector<std::uint32_t>> groups_of_inputs() const {
    const std::uint64_t count = scales_.entry.shape.front();
    std::vector<std::uint32_t> groups(inputs_);
    if (!groups_) {
      const std::uint64_t size = quantisation_.group_size == 0 ? inputs_ : quantisation_.group_size;
      for (std::uint64_t input = 0; input < inputs_; ++input) groups[input] = static_cast<std::uint32_t>(input / size);
      return groups;
    }
    TESSERA_TRY(groups, read_words(*groups_));
    for (std::uint64_t input = 0; input < inputs_; ++input) {
      if (groups[input] < count) continue;
      return Error{ErrorCode::corrupt, groups_->file->name() + ": the group " + std::to_string(groups[input]) +
                                           " of input " + std::to_string(input) + " is none of " +
                                           std::to_string(count) + "; the file is damaged"};
    }
    return groups;
  }

  HfQuantisation quantisation_;
  Part weights_, zeros_, scales_;
  std::optional<Part> groups_;
  std::uint64_t inputs_, outputs_;
};

/// Blocks of rows and columns that share a scale.
class F8Reader final : public SafetensorsReader {
 public:
  F8Reader(Part weights, Part scales, std::uint64_t block_rows, std::uint64_t block_columns)
      : weights_(std::move(weights)),
        scales_(std::move(scales)),
        block_rows_(block_rows),
        block_columns_(block_columns) {}

  Result<void> read(std::uint64_t first, std::span<float> out) const override {
    const std::uint64_t columns = weights_.entry.shape.back();
    const Rows rows = Rows::of(first, out.size(), columns);
    TESSERA_TRY(const std::vector<float> scales, read_floats(scales_));
    SafetensorsEntry run = weights_.entry;
    run.begin += first;
    run.end = run.begin + out.size();
    run.shape = {out.size()};
    TESSERA_CHECK(weights_.file->read(run, out));
    const std::uint64_t row_scales = divide_up(columns, block_columns_);
    tbb::parallel_for(rows.begin, rows.end, [&](std::uint64_t row) {
      float* const values = out.data() + (row - rows.begin) * columns;
      const float* const row_of_scales = scales.data() + row / block_rows_ * row_scales;
      for (std::uint64_t column = 0; column < columns; ++column)
        values[column] *= row_of_scales[column / block_columns_];
    });
    return {};
  }

 private:
  Part weights_, scales_;
  std::uint64_t block_rows_, block_columns_;
};

/// Finds the parts of quantised tensors and puts a readable entry in their place.
class Replacer {
 public:
  Replacer(const HfQuantisation& quantisation, std::vector<SafetensorsFile>& files,
           std::map<std::string, std::size_t>& file_of)
      : quantisation_(quantisation), files_(files), file_of_(file_of) {}

  Result<void> replace_all() {
    constexpr std::string_view int4_end = ".qweight", f8_end = ".weight";
    const bool f8 = quantisation_.method == HfQuantMethod::f8;
    const std::string_view end = f8 ? f8_end : int4_end;
    std::vector<std::string> modules;
    for (const auto& [name, file] : file_of_) {
      if (!name.ends_with(end)) continue;
      if (f8 && files_[file].tensors().find(name) != files_[file].tensors().end() &&
          files_[file].tensors().at(name).dtype != "F8_E4M3") {
        continue;
      }
      modules.push_back(name.substr(0, name.size() - end.size()));
    }
    for (const std::string& module : modules) {
      if (f8) {
        TESSERA_CHECK(replace_f8(module));
      } else {
        TESSERA_CHECK(replace_int4(module));
      }
    }
    return {};
  }

 private:
  std::optional<Part> find(const std::string& name) const {
    const auto file = file_of_.find(name);
    if (file == file_of_.end()) return std::nullopt;
    const auto entry = files_[file->second].tensors().find(name);
    if (entry == files_[file->second].tensors().end()) return std::nullopt;
    return Part{&files_[file->second], entry->second};
  }

  Result<Part> require(const std::string& name) const {
    if (std::optional<Part> part = find(name)) return *std::move(part);
    const std::string where = files_.empty() ? std::string() : files_.front().name() + ": ";
    return Error{ErrorCode::corrupt,
                 where + "tensor " + name.substr(0, 200) + " is missing; the quantised model is incomplete"};
  }

  static Result<void> check(const Part& part, const std::string& name, const Shape& shape, bool words) {
    const std::string what = part.file->name() + ": tensor " + name.substr(0, 200);
    if (words ? part.entry.dtype != "I32" : !SafetensorsFile::is_float(part.entry)) {
      return Error{ErrorCode::unsupported,
                   what + " has the dtype " + part.entry.dtype + ", but should have " + (words ? "I32" : "a float")};
    }
    if (part.entry.shape == shape) return {};
    return Error{ErrorCode::corrupt, what + " has the shape " + text_of(part.entry.shape) + ", but should have " +
                                         text_of(shape) + "; the files do not belong together"};
  }

  Result<void> replace_int4(const std::string& module) {
    const bool gptq = quantisation_.method == HfQuantMethod::gptq;
    TESSERA_TRY(const Part weights, require(module + ".qweight"));
    const std::string what = weights.file->name() + ": tensor " + module.substr(0, 200) + ".qweight";
    if (weights.entry.dtype != "I32" || weights.entry.shape.size() != 2) {
      return Error{ErrorCode::unsupported, what + " has the dtype " + weights.entry.dtype + " and the shape " +
                                               text_of(weights.entry.shape) + ", but should be an I32 matrix"};
    }
    const std::uint64_t inputs = weights.entry.shape[0] * (gptq ? nibbles : 1);
    const std::uint64_t outputs = weights.entry.shape[1] * (gptq ? 1 : nibbles);
    if (inputs == 0 || outputs == 0 || outputs % nibbles != 0) {
      return Error{ErrorCode::corrupt, what + " has the shape " + text_of(weights.entry.shape) +
                                           ", of which no 4-bit matrix can be made; the file is damaged"};
    }
    const std::uint64_t groups = quantisation_.group_size == 0 ? 1 : divide_up(inputs, quantisation_.group_size);
    TESSERA_TRY(const Part zeros, require(module + ".qzeros"));
    TESSERA_TRY(const Part scales, require(module + ".scales"));
    TESSERA_CHECK(check(zeros, module + ".qzeros", {groups, outputs / nibbles}, true));
    TESSERA_CHECK(check(scales, module + ".scales", {groups, outputs}, false));
    std::optional<Part> group_indices = gptq ? find(module + ".g_idx") : std::nullopt;
    if (group_indices) TESSERA_CHECK(check(*group_indices, module + ".g_idx", {inputs}, true));
    SafetensorsEntry entry;
    entry.dtype = gptq ? "GPTQ" : "AWQ";
    entry.shape = {outputs, inputs};
    entry.reader = std::make_shared<Int4Reader>(quantisation_, weights, zeros, scales, group_indices, inputs, outputs);
    return put(module, {".qweight", ".qzeros", ".scales", ".g_idx"}, std::move(entry));
  }

  Result<void> replace_f8(const std::string& module) {
    TESSERA_TRY(const Part weights, require(module + ".weight"));
    if (weights.entry.shape.size() != 2 || weights.entry.count() == 0) {
      return Error{ErrorCode::unsupported,
                   weights.file->name() + ": tensor " + module.substr(0, 200) + ".weight is F8_E4M3 and no matrix"};
    }
    const std::uint64_t rows = weights.entry.shape[0], columns = weights.entry.shape[1];
    std::string name = module + ".weight_scale_inv";
    if (!find(name)) name = module + ".weight_scale";
    TESSERA_TRY(const Part scales, require(name));
    std::uint64_t block_rows = quantisation_.block_rows, block_columns = quantisation_.block_columns;
    Shape expected = {block_rows == 0 ? rows : divide_up(rows, block_rows),
                      block_columns == 0 ? 1 : divide_up(columns, block_columns)};
    if (block_rows == 0) {
      const Shape& stored = scales.entry.shape;
      const bool of_tensor = scales.entry.count() == 1 && stored.size() <= 2 && rows != 1;
      block_rows = of_tensor ? rows : 1;
      block_columns = columns;
      if (of_tensor || stored == Shape{rows}) expected = stored;
    }
    TESSERA_CHECK(check(scales, name, expected, false));
    SafetensorsEntry entry;
    entry.dtype = "F8_E4M3";
    entry.shape = {rows, columns};
    entry.reader = std::make_shared<F8Reader>(weights, scales, block_rows, block_columns);
    // Scales of activations are not used: they are computed in higher precision here.
    return put(module, {".weight", ".weight_scale", ".weight_scale_inv", ".input_scale"}, std::move(entry));
  }

  /// The entry in place of the parts, in the file of the first.
  Result<void> put(const std::string& module, std::initializer_list<const char*> parts, SafetensorsEntry entry) {
    // Bytes are counted as if it were F32: so runs of its values can be named.
    std::uint64_t bytes = sizeof(float);
    for (const std::uint64_t dimension : entry.shape) {
      if (!__builtin_mul_overflow(bytes, dimension, &bytes)) continue;
      return Error{ErrorCode::corrupt, "tensor " + module.substr(0, 200) + ".weight has more than 2^64 bytes"};
    }
    entry.begin = 0;
    entry.end = bytes;
    const std::size_t home = file_of_.at(module + *parts.begin());
    for (const char* const part : parts) {
      const auto file = file_of_.find(module + part);
      if (file == file_of_.end()) continue;
      files_[file->second].erase(file->first);
      file_of_.erase(file);
    }
    files_[home].put(module + ".weight", std::move(entry));
    file_of_[module + ".weight"] = home;
    return {};
  }

  const HfQuantisation& quantisation_;
  std::vector<SafetensorsFile>& files_;
  std::map<std::string, std::size_t>& file_of_;
};

}  // namespace

DType HfQuantisation::natural_dtype() const {
  switch (method) {
    case HfQuantMethod::none:
      return DType::f32;
    case HfQuantMethod::gptq:
    case HfQuantMethod::awq:
      return DType::q4;
    case HfQuantMethod::f8:
      return DType::q8;
  }
  TESSERA_ENSURE(false);
}

Result<void> replace_quantised_tensors(const HfQuantisation& quantisation, std::vector<SafetensorsFile>& files,
                                       std::map<std::string, std::size_t>& file_of) {
  if (quantisation.method == HfQuantMethod::none) return {};
  return Replacer(quantisation, files, file_of).replace_all();
}

}  // namespace tessera
