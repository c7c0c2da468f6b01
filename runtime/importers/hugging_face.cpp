#include "runtime/importers/hugging_face.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/tensor_key.hpp"
#include "runtime/importers/tensor_values.hpp"

namespace tessera {

namespace {

/// The family's rule for a tensor; every tensor of a plan that a family can give has one.
const HfRule& rule_of(const HfFamily& family, std::string_view kind) {
  const HfRule* const rule = find_rule(family, kind);
  TESSERA_ENSURE(rule);
  return *rule;
}

std::string text_of(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t dimension : shape) text += (text.empty() ? "[" : ", ") + std::to_string(dimension);
  return text.empty() ? "[]" : text + "]";
}

Error not_float(const std::string& what, const SafetensorsEntry& entry) {
  return {ErrorCode::unsupported,
          what + " has the dtype " + entry.dtype + "; F32, F16, BF16 and F8_E4M3 can be imported"};
}

/// Where one tensor lies.
struct HfPlace {
  const SafetensorsFile* file = nullptr;
  const SafetensorsEntry* entry = nullptr;
  std::string hf_name;
  HfPart part;
  MatrixSize size;                            // of ours; a vector is a column
  const SafetensorsFile* row_file = nullptr;  // of part.added_row
  std::optional<SafetensorsEntry> row;
};

class HfSource final : public WeightSource {
 public:
  HfSource(HfConfig config, std::vector<SafetensorsFile> files)
      : config_(std::move(config)), files_(std::move(files)) {}

  Result<void> locate(const std::map<std::string, std::size_t>& file_of, const std::string& where);

  const ModelShape& shape() const override { return config_.shape; }
  const char* format() const override { return "safetensors"; }
  ModelIds ids() const override { return config_.ids; }
  DType natural_dtype() const override { return config_.quantisation.natural_dtype(); }

  Result<std::string> identity() const override {
    std::string all;
    for (const SafetensorsFile& file : files_) {
      TESSERA_TRY(const std::string one, file.source().identity());
      if (one.empty()) return one;
      all += one + "\n";
    }
    return all;
  }

  std::string describe(const std::string& name) const override {
    const auto found = places_.find(name);
    if (found == places_.end()) return std::string(format()) + ": tensor " + name;
    return found->second.file->name() + ": tensor " + found->second.hf_name;
  }

  RopeTables rope() const override { return config_.rope; }

  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
    const auto found = places_.find(name);
    if (found == places_.end()) return Error{ErrorCode::not_found, describe(name) + " does not exist"};
    const HfPlace& place = found->second;
    TESSERA_CHECK(resize_values(out, place.size.count(), describe(name)));
    TESSERA_CHECK(read_part(place, describe(name), out));
    if (place.row) {
      std::vector<float> row(place.size.columns);
      TESSERA_CHECK(place.row_file->read(*place.row, row));
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += row[i % row.size()];
    }
    if (place.part.added != 0) {
      for (float& value : out) value += place.part.added;
    }
    return {};
  }

 private:
  struct Found {
    const SafetensorsFile* file = nullptr;
    const SafetensorsEntry* entry = nullptr;
    std::string name;  ///< in the file, perhaps an older one
  };
  Result<Found> find_tensor(const std::map<std::string, std::size_t>& file_of, std::string name,
                            const std::string& where) const;
  static Result<void> check_entry(const HfPlace& place);
  static Result<void> take_added_row(HfPlace& place, const Found& found);
  static Result<void> read_part(const HfPlace& place, const std::string& what, std::vector<float>& out);
  std::string prefix_of(const std::map<std::string, std::size_t>& file_of) const;
  bool is_ignored(const std::string& hf_name) const;

  HfConfig config_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, HfPlace> places_;
};

Result<HfSource::Found> HfSource::find_tensor(const std::map<std::string, std::size_t>& file_of, std::string name,
                                              const std::string& where) const {
  auto file = file_of.find(name);
  for (const auto& [end, older] : config_.family->older_ends) {
    if (file != file_of.end() || !name.ends_with(end)) continue;
    const std::string older_name = name.substr(0, name.size() - end.size()) + std::string(older);
    file = file_of.find(older_name);
    if (file != file_of.end()) name = older_name;
  }
  Found found;
  if (file != file_of.end()) {
    found.file = &files_[file->second];
    if (const auto entry = found.file->tensors().find(name); entry != found.file->tensors().end())
      found.entry = &entry->second;
  }
  if (!found.entry) {
    return Error{ErrorCode::corrupt, (found.file ? found.file->name() : where) + ": tensor " + name +
                                         " is missing; the model is incomplete, or config.json is another model's"};
  }
  found.name = std::move(name);
  return found;
}

/// The first row of a matrix as wide as ours.
Result<void> HfSource::take_added_row(HfPlace& place, const Found& found) {
  const std::vector<std::uint64_t>& shape = found.entry->shape;
  const std::string what = found.file->name() + ": tensor " + found.name;
  if (shape.size() != 2 || shape[0] == 0 || shape[1] != place.size.columns) {
    return Error{ErrorCode::corrupt, what + " has the shape " + text_of(shape) +
                                         ", but its config.json asks for rows of " +
                                         std::to_string(place.size.columns) + "; the files do not belong together"};
  }
  if (!SafetensorsFile::is_float(*found.entry)) return not_float(what, *found.entry);
  SafetensorsEntry row = *found.entry;
  row.end = row.begin + (row.end - row.begin) / shape[0];
  row.shape = {place.size.columns};
  place.row_file = found.file;
  place.row = std::move(row);
  return {};
}

Result<void> HfSource::check_entry(const HfPlace& place) {
  const std::string what = place.file->name() + ": tensor " + place.hf_name;
  if (place.entry->shape != place.part.shape) {
    return Error{ErrorCode::corrupt, what + " has the shape " + text_of(place.entry->shape) +
                                         ", but its config.json asks for " + text_of(place.part.shape) +
                                         "; the files do not belong together"};
  }
  if (!SafetensorsFile::is_float(*place.entry)) {
    return not_float(what, *place.entry);
  }
  return {};
}

Result<void> HfSource::read_part(const HfPlace& place, const std::string& what, std::vector<float>& out) {
  const HfPart& part = place.part;
  const std::size_t rows = place.size.rows, columns = place.size.columns;
  const bool is_run = part.block == 0 && !part.transposed;
  if (is_run) {
    // Its rows follow each other: only they are read.
    SafetensorsEntry run = *place.entry;
    const std::uint64_t value_bytes = (run.end - run.begin) / run.count();
    run.begin += part.first * columns * value_bytes;
    run.end = run.begin + out.size() * value_bytes;
    run.shape = {out.size()};
    return place.file->read(run, out);
  }
  std::vector<float> whole;
  TESSERA_CHECK(resize_values(whole, place.entry->count(), what));
  TESSERA_CHECK(place.file->read(*place.entry, whole));
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t from = part.first + (part.block == 0 ? row : row / part.block * part.stride + row % part.block);
    if (!part.transposed) {
      std::copy_n(whole.data() + from * columns, columns, out.data() + row * columns);
      continue;
    }
    const std::size_t width = whole.size() / columns;  // theirs is [columns, width]
    for (std::size_t column = 0; column < columns; ++column) {
      out[row * columns + column] = whole[column * width + from];
    }
  }
  return {};
}

std::string HfSource::prefix_of(const std::map<std::string, std::size_t>& file_of) const {
  const TensorKey embedding{std::string(embedding_name)};
  for (const std::string_view prefix : config_.family->prefixes) {
    if (file_of.contains(fill_name(rule_of(*config_.family, embedding.kind).theirs, prefix, embedding))) {
      return std::string(prefix);
    }
  }
  return std::string(config_.family->prefixes.front());
}

bool HfSource::is_ignored(const std::string& hf_name) const {
  const HfFamily& family = *config_.family;
  const auto ends_name = [&](std::string_view end) { return hf_name.ends_with(end); };
  if (std::any_of(family.ignored.begin(), family.ignored.end(), ends_name)) return true;
  const auto begins_name = [&](std::string_view begin) { return hf_name.starts_with(begin); };
  if (std::any_of(family.other_parts.begin(), family.other_parts.end(), begins_name)) return true;
  return config_.shape.tied_head && hf_name == rule_of(family, head_name).theirs;
}

Result<void> HfSource::locate(const std::map<std::string, std::size_t>& file_of, const std::string& where) {
  const std::string prefix = prefix_of(file_of);
  std::set<std::string> known;  // their names
  for (const NamedMatrix& matrix : model_matrices(config_.shape)) {
    const TensorKey key(matrix.name);
    const HfRule& rule = rule_of(*config_.family, key.kind);
    HfPlace place;
    TESSERA_TRY(const Found found, find_tensor(file_of, fill_name(rule.theirs, prefix, key), where));
    place.file = found.file;
    place.entry = found.entry;
    place.hf_name = found.name;
    place.part = rule.form(config_.shape, matrix);
    place.size = matrix.is_vector ? MatrixSize{matrix.size.columns, 1} : matrix.size;
    TESSERA_CHECK(check_entry(place));
    if (!place.part.added_row.empty()) {
      TESSERA_TRY(const Found row, find_tensor(file_of, fill_name(place.part.added_row, prefix, key), where));
      TESSERA_CHECK(take_added_row(place, row));
      known.insert(row.name);
    }
    known.insert(place.hf_name);
    places_.emplace(matrix.name, std::move(place));
  }
  for (const auto& [hf_name, file] : file_of) {
    if (known.contains(hf_name) || is_ignored(hf_name)) continue;
    return Error{ErrorCode::unsupported, files_[file].name() + ": tensor " + hf_name.substr(0, 200) +
                                             " has no place in a " + std::string(config_.family->model_type) +
                                             " model of this config.json; leaving it out would change the results"};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<WeightSource>> make_hf_source(HfConfig config, HfTensors tensors, const std::string& where) {
  if (tensors.file_of.empty() && !tensors.files.empty()) {
    for (const auto& [name, entry] : tensors.files.front().tensors()) tensors.file_of.emplace(name, 0);
  }
  TESSERA_CHECK(replace_quantised_tensors(config.quantisation, tensors.files, tensors.file_of));
  auto source = std::make_unique<HfSource>(std::move(config), std::move(tensors.files));
  TESSERA_CHECK(source->locate(tensors.file_of, where));
  return std::unique_ptr<WeightSource>(std::move(source));
}

}  // namespace tessera
