#include "runtime/checkpoint/checkpoint.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/checkpoint/checkpoint_layout.hpp"
#include "runtime/checkpoint/checkpoint_structure.hpp"
#include "runtime/checkpoint/crc32c.hpp"
#include "runtime/checkpoint/dataset_places.hpp"
#include "runtime/checkpoint/manifest_fields.hpp"

namespace tessera {

namespace {

/// Bytes that are checked between two looks at whether the mapping failed.
constexpr std::size_t verify_piece_bytes = 8u << 20;

// The checksum of a mapping that is read in pieces; nothing when a page could not be read.
std::optional<std::uint32_t> checksum_of(const MappedRange& range) {
  std::uint32_t checksum = 0;
  for (std::size_t done = 0; done < range.size();) {
    const std::size_t count = std::min(verify_piece_bytes, range.size() - done);
    checksum = crc32c(range.bytes().subspan(done, count), checksum);
    if (range.failed()) return std::nullopt;
    done += count;
  }
  return checksum;
}

// `subject` names file, dataset and slice.
Result<void> check_checksum(std::uint32_t checksum, std::uint32_t expected, const std::string& subject) {
  if (checksum == expected) return {};
  return Error{ErrorCode::corrupt, subject + ": checksum 0x" + hex_of(checksum) + ", expected 0x" + hex_of(expected) +
                                       "; the file is damaged: restore it from a copy"};
}

}  // namespace

MappedTensor::MappedTensor(MappedRange range, TensorLayout layout, SliceRange units)
    : range_(std::move(range)), layout_(layout), units_(units) {}

const std::byte* MappedTensor::unit(std::uint32_t unit) const {
  TESSERA_ENSURE(units_.contains(unit));
  return range_.data() + (layout_unit_offset(layout_, unit) - layout_unit_offset(layout_, units_.begin));
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open(std::shared_ptr<const CheckpointSource> source,
                                                           const std::string& expected_content_id) {
  const std::string& where = source->name();
  TESSERA_TRY(const CheckpointStructure structure, read_structure(*source));
  TESSERA_TRY(const std::string manifest_text, read_manifest_text(*source, structure.manifest));
  std::string content_id = content_id_of(manifest_text);
  if (content_id != structure.content_id)
    return damaged_checkpoint(where, "its manifest does not match its content id");
  if (!expected_content_id.empty() && content_id != expected_content_id) {
    return Error{ErrorCode::corrupt, where + ": holds another model than expected (content id " + content_id +
                                         ", expected " + expected_content_id +
                                         "); it was replaced: bring the expected file back, or deploy the new one"};
  }
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint);
  TESSERA_TRY(checkpoint->manifest_, parse_manifest(manifest_text, where));

  const Manifest& manifest = checkpoint->manifest_;
  std::vector<DatasetPlace> places = {structure.manifest};
  for (const TensorEntry& entry : manifest.tensors) {
    const auto found = structure.tensors.find(entry.spec.name);
    if (found == structure.tensors.end())
      return damaged_checkpoint(where, "dataset " + entry.spec.name + " is missing");
    TESSERA_CHECK(check_extent(found->second, layout_bytes(entry.spec.layout), entry.spec.name, where));
    checkpoint->number_of_.emplace(entry.spec.name, checkpoint->offsets_.size());
    checkpoint->offsets_.push_back(found->second.offset);
    places.push_back(found->second);
  }
  if (structure.tensors.size() != manifest.tensors.size() ||
      structure.tokenizer.has_value() != (manifest.tokenizer_bytes > 0)) {
    return damaged_checkpoint(where, "it does not hold exactly the datasets that its manifest lists");
  }
  if (structure.tokenizer) {
    TESSERA_CHECK(check_extent(*structure.tokenizer, manifest.tokenizer_bytes, tokenizer_dataset_name, where));
    checkpoint->tokenizer_offset_ = structure.tokenizer->offset;
    places.push_back(*structure.tokenizer);
  }
  TESSERA_CHECK(check_no_overlap(std::move(places), where));
  checkpoint->content_id_ = std::move(content_id);
  checkpoint->source_ = std::move(source);
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

const TensorEntry* Checkpoint::find(const std::string& tensor) const {
  const auto found = number_of_.find(tensor);
  return found == number_of_.end() ? nullptr : &manifest_.tensors[found->second];
}

Result<MappedTensor> Checkpoint::map(const std::string& tensor, SliceRange units) const {
  const TensorEntry* const entry = find(tensor);
  if (entry == nullptr) {
    return Error{ErrorCode::not_found, source_->name() + ": has no tensor " + tensor + "; tessera inspect lists them"};
  }
  const TensorLayout& layout = entry->spec.layout;
  if (units.begin > units.end || units.end > layout_units(layout)) {
    return Error{ErrorCode::invalid_argument, source_->name() + ": dataset " + tensor + " has slices 0 to " +
                                                  std::to_string(layout_units(layout)) + ", asked for " +
                                                  std::to_string(units.begin) + " to " + std::to_string(units.end)};
  }
  const std::size_t begin = layout_unit_offset(layout, units.begin);
  const std::uint64_t offset = offsets_[static_cast<std::size_t>(entry - manifest_.tensors.data())];
  TESSERA_TRY(MappedRange range, source_->map(offset + begin, layout_unit_offset(layout, units.end) - begin));
  return MappedTensor(std::move(range), layout, units);
}

Result<MappedTensor> Checkpoint::map_all(const std::string& tensor) const {
  const TensorEntry* const entry = find(tensor);
  return map(tensor, {0, entry == nullptr ? 0 : layout_units(entry->spec.layout)});
}

Result<std::vector<std::byte>> Checkpoint::read_tokenizer() const {
  std::vector<std::byte> blob(manifest_.tokenizer_bytes);
  if (blob.empty()) return blob;
  TESSERA_CHECK(source_->read(tokenizer_offset_, blob));
  TESSERA_CHECK(check_checksum(crc32c(blob), manifest_.tokenizer_crc32c, source_->name() + ": the tokenizer"));
  return blob;
}

Result<void> Checkpoint::verify_unit(const TensorEntry& entry, std::uint32_t unit) const {
  const TensorEntry* const own = find(entry.spec.name);
  TESSERA_ENSURE(own != nullptr && unit < own->unit_crc32c.size());
  const std::size_t begin = layout_unit_offset(own->spec.layout, unit);
  const std::size_t end = layout_unit_offset(own->spec.layout, unit + 1);
  const std::uint64_t offset = offsets_[static_cast<std::size_t>(own - manifest_.tensors.data())];
  const std::string subject = source_->name() + ": dataset " + own->spec.name + ", slice " + std::to_string(unit);
  TESSERA_TRY(const MappedRange range, source_->map(offset + begin, end - begin));
  const std::optional<std::uint32_t> checksum = checksum_of(range);
  if (!checksum) {
    return Error{ErrorCode::io,
                 subject + ": cannot be read; the file was truncated or its disk is failing: restore it from a copy"};
  }
  return check_checksum(*checksum, own->unit_crc32c[unit], subject);
}

Result<void> Checkpoint::verify(const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const {
  std::uint64_t total = manifest_.tokenizer_bytes;
  for (const TensorEntry& entry : manifest_.tensors) total += layout_bytes(entry.spec.layout);
  std::uint64_t done = 0;
  const auto advance = [&](std::uint64_t bytes) -> Result<void> {
    done += bytes;
    if (!progress || progress(done, total)) return {};
    return Error{ErrorCode::cancelled, source_->name() + ": checking was cancelled"};
  };
  TESSERA_CHECK(read_tokenizer());
  TESSERA_CHECK(advance(manifest_.tokenizer_bytes));
  for (const TensorEntry& entry : manifest_.tensors) {
    for (std::uint32_t unit = 0; unit < entry.unit_crc32c.size(); ++unit) {
      TESSERA_CHECK(verify_unit(entry, unit));
      TESSERA_CHECK(
          advance(layout_unit_offset(entry.spec.layout, unit + 1) - layout_unit_offset(entry.spec.layout, unit)));
    }
  }
  return {};
}

}  // namespace tessera
