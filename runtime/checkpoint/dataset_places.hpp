// Checks of where the datasets of a file lie, shared by its readers. Internal to runtime/checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint_source.hpp"
#include "runtime/checkpoint/checkpoint_structure.hpp"

namespace tessera {

/// Of the kind `corrupt`: `where` names the file, `what` says what is wrong with it.
Error damaged_checkpoint(const std::string& where, const std::string& what);

/// The text of the manifest, without the zeros behind it.
Result<std::string> read_manifest_text(const CheckpointSource& source, const DatasetPlace& place);

/// Two datasets in the same bytes could not both match their checksums, but only whoever reads both would notice.
Result<void> check_no_overlap(std::vector<DatasetPlace> places, const std::string& where);

/// Whether the dataset has the extent of one with so many bytes.
Result<void> check_extent(const DatasetPlace& place, std::uint64_t bytes, const std::string& name,
                          const std::string& where);

}  // namespace tessera
