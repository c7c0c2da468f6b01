#include "runtime/checkpoint/state_file.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/checkpoint/checkpoint_layout.hpp"
#include "runtime/checkpoint/checkpoint_skeleton.hpp"
#include "runtime/checkpoint/checkpoint_structure.hpp"
#include "runtime/checkpoint/crc32c.hpp"
#include "runtime/checkpoint/dataset_places.hpp"
#include "runtime/checkpoint/manifest_fields.hpp"
#include "runtime/checkpoint/partial_file.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::uint64_t count_max = std::numeric_limits<std::uint32_t>::max();

std::string manifest_text(const std::string& description, std::span<const StateArray> arrays) {
  json list = json::array();
  for (const StateArray& array : arrays) {
    list.push_back(
        {{"name", array.name}, {"count", array.values.size()}, {"crc32c", crc32c(std::as_bytes(array.values))}});
  }
  return json({{"kind", state_kind}, {"arrays", list}, {"description", json::parse(description)}}).dump();
}

}  // namespace

Result<void> write_state(const std::string& path, const std::string& description, std::span<const StateArray> arrays) {
  std::vector<TensorEntry> entries;
  for (const StateArray& array : arrays) {
    if (array.values.empty() || array.values.size() > count_max) {
      return Error{ErrorCode::exhausted, path + ": array " + array.name + " has " +
                                             std::to_string(array.values.size()) + " values; a state holds 1 to " +
                                             std::to_string(count_max) + " of them in each"};
    }
    entries.push_back({{array.name, VectorLayout{static_cast<std::uint32_t>(array.values.size()), 0}}, 0, {}});
  }
  const std::string manifest = manifest_text(description, arrays);
  TESSERA_TRY(PartialFile file, PartialFile::create(path, PartialFile::Life::process));
  CheckpointSkeleton skeleton;
  TESSERA_TRY(const std::vector<std::uint64_t> offsets, skeleton.lay_out(entries, path));
  TESSERA_TRY(const CheckpointSkeleton::LastDatasets last,
              skeleton.complete(0, manifest.size(), content_id_of(manifest), path));
  TESSERA_CHECK(file.resize(skeleton.image().size()));
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    TESSERA_CHECK(file.write(offsets[i], std::as_bytes(arrays[i].values)));
  }
  TESSERA_CHECK(file.write(last.manifest, std::as_bytes(std::span(manifest))));
  TESSERA_CHECK(skeleton.write_to(file));
  return file.publish();
}

Result<StateFile> StateFile::open(const std::string& path) {
  StateFile state;
  TESSERA_TRY(state.source_, open_source(path));
  const std::string& where = state.source_->name();
  TESSERA_TRY(const CheckpointStructure structure, read_structure(*state.source_));
  TESSERA_TRY(const std::string text, read_manifest_text(*state.source_, structure.manifest));
  if (content_id_of(text) != structure.content_id) {
    return damaged_checkpoint(where, "its manifest does not match its content id");
  }
  const json manifest = json::parse(text, nullptr, false);
  if (!manifest.is_object()) return damaged_checkpoint(where, "its manifest is no JSON object");
  if (manifest.value("kind", json()) != state_kind) {
    return Error{ErrorCode::unsupported, where + ": is a model, not the state of a training"};
  }
  const json arrays = manifest.value("arrays", json());
  if (!arrays.is_array() || !manifest.contains("description")) {
    return damaged_checkpoint(where, "its manifest lacks arrays or description");
  }
  state.description_ = manifest["description"].dump();
  std::vector<DatasetPlace> places = {structure.manifest};
  for (const json& entry : arrays) {
    const json name = entry.is_object() ? entry.value("name", json()) : json();
    const json count = entry.is_object() ? entry.value("count", json()) : json();
    const json checksum = entry.is_object() ? entry.value("crc32c", json()) : json();
    if (!name.is_string() || !count.is_number_unsigned() || !checksum.is_number_unsigned() || count == 0 ||
        count > count_max || checksum > std::numeric_limits<std::uint32_t>::max()) {
      return damaged_checkpoint(where, "an array of its manifest lacks name, count or checksum");
    }
    Array array{name.get<std::string>(), count.get<std::uint64_t>(), 0, 0};
    const auto place = structure.tensors.find(array.name);
    if (place == structure.tensors.end()) return damaged_checkpoint(where, "array " + array.name + " is missing");
    TESSERA_CHECK(check_extent(place->second, array.count * sizeof(float), array.name, where));
    array.offset = place->second.offset;
    array.checksum = checksum.get<std::uint32_t>();
    places.push_back(place->second);
    state.arrays_.push_back(std::move(array));
  }
  TESSERA_CHECK(check_no_overlap(std::move(places), where));
  return state;
}

Result<void> StateFile::read(const std::string& name, std::span<float> out) const {
  const std::string& where = source_->name();
  const auto array = std::ranges::find(arrays_, name, &Array::name);
  if (array == arrays_.end()) return damaged_checkpoint(where, "it has no array " + name);
  if (array->count != out.size()) {
    return damaged_checkpoint(where, "array " + name + " has " + std::to_string(array->count) + " values, expected " +
                                         std::to_string(out.size()));
  }
  TESSERA_CHECK(source_->read(array->offset, std::as_writable_bytes(out)));
  if (const std::uint32_t checksum = crc32c(std::as_bytes(out)); checksum != array->checksum) {
    return damaged_checkpoint(
        where, "array " + name + " has the checksum 0x" + hex_of(checksum) + ", expected 0x" + hex_of(array->checksum));
  }
  return {};
}

}  // namespace tessera
