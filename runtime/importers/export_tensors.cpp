#include "runtime/importers/export_tensors.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <tbb/parallel_for.h>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/tensor_key.hpp"
#include "runtime/tensor/half.hpp"

namespace tessera {

namespace {

/// Bytes of rows that are made at a time.
constexpr std::size_t group_bytes = std::size_t{16} << 20;

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

std::string describe(const Checkpoint& checkpoint, const ExportPart& part) {
  return checkpoint.source().uri() + ": tensor " + part.entry->spec.name;
}

bool is_vector(const TensorEntry& entry) { return std::holds_alternative<VectorLayout>(entry.spec.layout); }

/// Our row (of a vector: element) that lies at a row of theirs; -1: another tensor's.
std::int64_t own_row(const ExportPart& part, std::uint64_t row) {
  if (row < part.part.first) return -1;
  std::uint64_t own = row - part.part.first;
  if (part.part.block != 0) {
    if (own % part.part.stride >= part.part.block) return -1;
    own = own / part.part.stride * part.part.block + own % part.part.stride;
  }
  return own < part.size.rows ? static_cast<std::int64_t>(own) : -1;
}

std::uint64_t their_row(const HfPart& part, std::uint64_t own) {
  return part.first + (part.block == 0 ? own : own / part.block * part.stride + own % part.block);
}

Error truncated(const std::string& what) {
  return {ErrorCode::io, what + " could not be read to its end; the file was truncated"};
}

/// Verified and mapped.
Result<MappedTensor> mapped_part(const Checkpoint& checkpoint, const ExportPart& part) {
  for (std::uint32_t unit = 0; unit < layout_units(part.entry->spec.layout); ++unit) {
    TESSERA_CHECK(checkpoint.verify_unit(*part.entry, unit));
  }
  return checkpoint.map_all(part.entry->spec.name);
}

/// Whether checkpoints of every dtype hold the tensor as f32: vectors, routers, learned positions.
bool is_always_f32(const TensorEntry& entry) {
  return is_vector(entry) || entry.spec.name == positions_name || entry.spec.name.ends_with(".router");
}

/// The first row is added to another tensor's rows, and changes none of them: not even a zero below 0.
ExportTensor neutral_row(std::string name, std::uint64_t columns, ExportDType dtype) {
  ExportTensor tensor{std::move(name), {1, columns}, {}};
  tensor.filler = -0.0f;
  tensor.dtype = dtype;
  return tensor;
}

/// Whether the dtype holds every value exactly.
Result<bool> part_fits(const Checkpoint& checkpoint, const ExportPart& part, ExportDType dtype) {
  TESSERA_TRY(const MappedTensor mapped, checkpoint.map_all(part.entry->spec.name));
  if (is_vector(*part.entry)) {
    const auto* const values = reinterpret_cast<const float*>(mapped.unit(0));
    std::vector<float> stored(values, values + part.size.rows);
    for (float& value : stored) value -= part.part.added;
    return holds_exactly(dtype, stored);
  }
  std::vector<float> row(part.size.columns);
  bool fits = true;
  for (std::uint32_t own = 0; own < part.size.rows && fits; ++own) {
    unpack_row(mapped.packed(), mapped.unit(0), own, row.data());
    fits = holds_exactly(dtype, row);
  }
  return fits;
}

}  // namespace

std::size_t bytes_of(ExportDType dtype) { return dtype == ExportDType::f32 ? sizeof(float) : sizeof(std::uint16_t); }

const char* export_name_of(ExportDType dtype) {
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

std::uint64_t ExportTensor::count() const {
  std::uint64_t count = 1;
  for (const std::uint64_t dimension : shape) count *= dimension;
  return count;
}

Result<std::vector<ExportTensor>> export_tensors_of(const Checkpoint& checkpoint, const HfFamily& family,
                                                    ExportDType dtype) {
  std::vector<ExportTensor> tensors;
  std::map<std::string, std::size_t> number_of;
  std::vector<ExportTensor> neutral;
  for (const TensorEntry& entry : checkpoint.manifest().tensors) {
    const TensorKey key(entry.spec.name);
    const HfRule* const rule = find_rule(family, key.kind);
    const MatrixSize size = matrix_size(entry.spec.layout);
    ExportPart part{&entry, {}, is_vector(entry) ? MatrixSize{size.columns, 1} : size};
    if (!rule) {
      return Error{ErrorCode::unsupported, describe(checkpoint, part) + " has no place in a Hugging Face folder of " +
                                               std::string(family.model_type)};
    }
    part.part = rule->form(checkpoint.manifest().shape, {entry.spec.name, size, is_vector(entry)});
    const std::string name = fill_name(rule->theirs, family.prefixes.front(), key);
    const auto [place, is_new] = number_of.emplace(name, tensors.size());
    if (is_new) tensors.push_back({name, part.part.shape, {}, 0, dtype, 0, 0});
    ExportTensor& tensor = tensors[place->second];
    TESSERA_ENSURE(tensor.shape == part.part.shape);
    if (is_always_f32(entry) && tensor.dtype == dtype) {
      TESSERA_TRY(const bool fits, part_fits(checkpoint, part, dtype));
      if (!fits) tensor.dtype = ExportDType::f32;
    }
    if (const std::string_view added = part.part.added_row; !added.empty()) {
      neutral.push_back(neutral_row(fill_name(added, family.prefixes.front(), key), size.columns, dtype));
    }
    tensor.parts.push_back(std::move(part));
  }
  for (const ExportTensor& tensor : tensors) {
    std::uint64_t count = 0;
    for (const ExportPart& part : tensor.parts) {
      count += part.size.count() + std::uint64_t{part.part.unread_rows} * part.size.columns;
    }
    TESSERA_ENSURE(count == tensor.count());
  }
  tensors.insert(tensors.end(), neutral.begin(), neutral.end());
  return tensors;
}

Result<std::vector<float>> ExportEncoder::whole_of(const ExportTensor& tensor) {
  std::vector<float> whole;
  TESSERA_CHECK(resize_values(whole, tensor.count(), tensor.name));
  for (const ExportPart& part : tensor.parts) {
    TESSERA_TRY(const MappedTensor mapped, mapped_part(checkpoint_, part));
    const std::uint64_t width = tensor.is_vector() ? 0 : tensor.shape[1];
    std::vector<float> row(part.size.columns);
    for (std::uint32_t own = 0; own < part.size.rows; ++own) {
      const std::uint64_t theirs = their_row(part.part, own);
      if (tensor.is_vector()) {
        const float value = reinterpret_cast<const float*>(mapped.unit(0))[own];
        whole[theirs] = value - part.part.added;
        if (whole[theirs] + part.part.added != value) ++rounded_;
        continue;
      }
      unpack_row(mapped.packed(), mapped.unit(0), own, row.data());
      for (std::uint32_t column = 0; column < part.size.columns; ++column) whole[column * width + theirs] = row[column];
    }
    if (mapped.failed()) return truncated(describe(checkpoint_, part));
  }
  return whole;
}

Result<void> ExportEncoder::encode(const ExportTensor& tensor,
                                   const std::function<Result<void>(std::span<const std::byte>)>& write) {
  const bool is_whole = tensor.is_vector() || (!tensor.parts.empty() && tensor.parts.front().part.transposed);
  std::vector<float> whole;
  std::vector<MappedTensor> mapped;
  if (is_whole) {
    TESSERA_TRY(whole, whole_of(tensor));
  } else {
    for (const ExportPart& part : tensor.parts) {
      TESSERA_TRY(MappedTensor one, mapped_part(checkpoint_, part));
      mapped.push_back(std::move(one));
    }
  }
  const std::uint64_t columns = tensor.shape.back(), rows = tensor.count() / columns;
  const std::size_t row_bytes = columns * bytes_of(tensor.dtype);
  const std::uint64_t group_rows = std::clamp<std::uint64_t>(group_bytes / row_bytes, 1, rows);
  TESSERA_CHECK(resize_values(buffer_, group_rows * row_bytes, tensor.name));
  const auto encode_row = [&](std::uint64_t row, std::byte* out) {
    if (is_whole) return tessera::encode(tensor.dtype, whole.data() + row * columns, columns, out);
    std::vector<float> values(columns, tensor.filler);
    for (std::size_t i = 0; i < tensor.parts.size(); ++i) {
      const std::int64_t own = own_row(tensor.parts[i], row);
      if (own < 0) continue;
      unpack_row(mapped[i].packed(), mapped[i].unit(0), static_cast<std::uint32_t>(own), values.data());
      break;
    }
    return tessera::encode(tensor.dtype, values.data(), columns, out);
  };
  for (std::uint64_t begin = 0; begin < rows; begin += group_rows) {
    const std::uint64_t count = std::min(group_rows, rows - begin);
    std::atomic<std::uint64_t> bad{count};
    tbb::parallel_for(std::uint64_t{0}, count, [&](std::uint64_t row) {
      if (encode_row(begin + row, buffer_.data() + row * row_bytes)) return;
      std::uint64_t least = bad.load();
      while (row < least && !bad.compare_exchange_weak(least, row)) {
      }
    });
    for (std::size_t i = 0; i < mapped.size(); ++i) {
      if (mapped[i].failed()) return truncated(describe(checkpoint_, tensor.parts[i]));
    }
    if (bad != count) {
      return Error{ErrorCode::corrupt, describe(checkpoint_, tensor.parts.front()) + ", row " +
                                           std::to_string(begin + bad) + ": a value is too large for " +
                                           export_name_of(tensor.dtype) + "; export as f32 or bf16"};
    }
    TESSERA_CHECK(write(std::span(buffer_).first(count * row_bytes)));
  }
  return {};
}

}  // namespace tessera
