#include "runtime/checkpoint/dataset_places.hpp"

#include <algorithm>
#include <span>

#include "runtime/base/limits.hpp"
#include "runtime/checkpoint/checkpoint_layout.hpp"

namespace tessera {

Error damaged_checkpoint(const std::string& where, const std::string& what) {
  return {ErrorCode::corrupt, where + ": is damaged: " + what + "; restore it from a copy, or import the model again"};
}

Result<std::string> read_manifest_text(const CheckpointSource& source, const DatasetPlace& place) {
  if (place.extent > padded_extent(limits::manifest_bytes_max))
    return damaged_checkpoint(source.name(), "its manifest is too large");
  std::string text(place.extent, '\0');
  TESSERA_CHECK(source.read(place.offset, std::as_writable_bytes(std::span(text))));
  const std::size_t end = std::min(text.find('\0'), text.size());
  if (text.find_first_not_of('\0', end) != std::string::npos || padded_extent(end) != place.extent) {
    return damaged_checkpoint(source.name(), "its manifest is not a text followed by zeros");
  }
  text.resize(end);
  return text;
}

Result<void> check_no_overlap(std::vector<DatasetPlace> places, const std::string& where) {
  std::sort(places.begin(), places.end(),
            [](const DatasetPlace& a, const DatasetPlace& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < places.size(); ++i) {
    if (places[i - 1].offset + places[i - 1].extent > places[i].offset)
      return damaged_checkpoint(where, "two of its datasets overlap");
  }
  return {};
}

Result<void> check_extent(const DatasetPlace& place, std::uint64_t bytes, const std::string& name,
                          const std::string& where) {
  if (place.extent == padded_extent(bytes)) return {};
  return damaged_checkpoint(where, "dataset " + name + " has an extent of " + std::to_string(place.extent) +
                                       " bytes, expected " + std::to_string(padded_extent(bytes)));
}

}  // namespace tessera
