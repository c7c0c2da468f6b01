#include "runtime/checkpoint/checkpoint_skeleton.hpp"

#include <algorithm>

#include "runtime/checkpoint/checkpoint_layout.hpp"
#include "runtime/checkpoint/hdf5_objects.hpp"

namespace tessera {

namespace {

/// Links and attributes stay inside their object's header up to these numbers; beyond, the library would switch to
/// B-trees and heaps.
constexpr unsigned compact_links_max = 65535;
constexpr unsigned compact_attributes_max = 64;
constexpr unsigned expected_name_bytes = 18;  // "layers.10.ffn_gate"
/// Bytes of metadata per dataset, generously; metadata is allocated in one block so that opening reads one place.
constexpr hsize_t metadata_bytes_per_dataset = 512;

Error library_error(const std::string& where, const std::string& operation) {
  return {ErrorCode::exhausted,
          where + ": the HDF5 library " + operation + ": " + hdf5_reason() + "; free some memory and try again"};
}

// The format of 1.10: its superblock and headers have checksums. Datasets of 4096 bytes and more are aligned.
Hdf5Id access_properties(Hdf5Image& image, const Hdf5Id& driver, hsize_t metadata_block) {
  Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  const bool made = access && image.use_in(access.get(), driver) &&
                    H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
                    H5Pset_alignment(access.get(), dataset_alignment, dataset_alignment) >= 0 &&
                    H5Pset_meta_block_size(access.get(), metadata_block) >= 0 &&
                    H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG) >= 0 &&
                    H5Pset_file_locking(access.get(), false, true) >= 0;
  return made ? std::move(access) : Hdf5Id{};
}

// For files (the root group) and groups. No times: the same model gives the same bytes.
Hdf5Id group_properties(hid_t property_class) {
  Hdf5Id creation(H5Pcreate(property_class), H5Pclose);
  const bool made = creation && H5Pset_link_phase_change(creation.get(), compact_links_max, compact_links_max) >= 0 &&
                    H5Pset_attr_phase_change(creation.get(), compact_attributes_max, compact_attributes_max) >= 0 &&
                    H5Pset_obj_track_times(creation.get(), false) >= 0;
  return made ? std::move(creation) : Hdf5Id{};
}

// Contiguous, allocated at once, never filled: bytes that are not written read as zeros because the file is new.
Hdf5Id dataset_properties() {
  Hdf5Id creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const bool made = creation && H5Pset_layout(creation.get(), H5D_CONTIGUOUS) >= 0 &&
                    H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY) >= 0 &&
                    H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER) >= 0 &&
                    H5Pset_obj_track_times(creation.get(), false) >= 0;
  return made ? std::move(creation) : Hdf5Id{};
}

// Offset of a new dataset, or nothing.
std::optional<std::uint64_t> add_dataset(hid_t parent, const std::string& name, std::uint64_t bytes,
                                         const Hdf5Id& properties) {
  const hsize_t extent = padded_extent(bytes);
  const Hdf5Id space(H5Screate_simple(1, &extent, nullptr), H5Sclose);
  Hdf5Id dataset(
      H5Dcreate2(parent, name.c_str(), H5T_STD_U8LE, space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
      H5Dclose);
  const haddr_t offset = dataset ? H5Dget_offset(dataset.get()) : HADDR_UNDEF;
  if (offset == HADDR_UNDEF || !dataset.close()) return std::nullopt;
  return offset;
}

bool add_attribute(hid_t object, const char* name, hid_t type, const void* value) {
  const Hdf5Id space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Id attribute(H5Acreate2(object, name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  return attribute && H5Awrite(attribute.get(), type, value) >= 0;
}

bool add_content_id(hid_t file, const std::string& content_id) {
  const Hdf5Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  return type && H5Tset_size(type.get(), content_id_characters) >= 0 &&
         H5Tset_strpad(type.get(), H5T_STR_NULLPAD) >= 0 &&
         add_attribute(file, content_id_attribute_name, type.get(), content_id.data());
}

}  // namespace

Result<std::vector<std::uint64_t>> CheckpointSkeleton::lay_out(const std::vector<TensorEntry>& tensors,
                                                               const std::string& where) {
  const Hdf5Quiet quiet;
  const hsize_t wanted = (tensors.size() + 8) * metadata_bytes_per_dataset;
  const hsize_t metadata_block = wanted / dataset_alignment * dataset_alignment + dataset_alignment;
  const Hdf5Id driver = Hdf5Image::register_driver();
  const Hdf5Id access = access_properties(image_, driver, metadata_block);
  const Hdf5Id creation = group_properties(H5P_FILE_CREATE);
  const Hdf5Id group_creation = group_properties(H5P_GROUP_CREATE);
  const Hdf5Id dataset_creation = dataset_properties();
  // Room for all links at once; the library would add a piece to the header for every single one.
  const auto expected_links = static_cast<unsigned>(std::min<std::size_t>(tensors.size(), compact_links_max));
  if (!access || !creation || !group_creation || !dataset_creation ||
      H5Pset_est_link_info(group_creation.get(), expected_links, expected_name_bytes) < 0) {
    return library_error(where, "cannot set properties");
  }
  Hdf5Id file(H5Fcreate("checkpoint", H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose);
  const std::uint32_t version = checkpoint_format_version;
  if (!file || !add_attribute(file.get(), version_attribute_name, H5T_STD_U32LE, &version)) {
    return library_error(where, "cannot create it");
  }
  Hdf5Id group(H5Gcreate2(file.get(), weights_group_name, H5P_DEFAULT, group_creation.get(), H5P_DEFAULT), H5Gclose);
  if (!group) return library_error(where, "cannot create the group of its weights");
  std::vector<std::uint64_t> offsets;
  for (const TensorEntry& entry : tensors) {
    const auto offset = add_dataset(group.get(), entry.spec.name, layout_bytes(entry.spec.layout), dataset_creation);
    if (!offset) return library_error(where, "cannot allocate dataset " + entry.spec.name);
    offsets.push_back(*offset);
  }
  if (!group.close() || !file.close()) return library_error(where, "cannot lay it out");
  return offsets;
}

Result<CheckpointSkeleton::LastDatasets> CheckpointSkeleton::complete(std::uint64_t tokenizer_bytes,
                                                                      std::uint64_t manifest_bytes,
                                                                      const std::string& content_id,
                                                                      const std::string& where) {
  const Hdf5Quiet quiet;
  const Hdf5Id driver = Hdf5Image::register_driver();
  const Hdf5Id access = access_properties(image_, driver, dataset_alignment);
  const Hdf5Id dataset_creation = dataset_properties();
  if (!access || !dataset_creation) return library_error(where, "cannot set properties");
  Hdf5Id file(H5Fopen("checkpoint", H5F_ACC_RDWR, access.get()), H5Fclose);
  if (!file) return library_error(where, "cannot open it again");
  LastDatasets result;
  if (tokenizer_bytes > 0) {
    result.tokenizer = add_dataset(file.get(), tokenizer_dataset_name, tokenizer_bytes, dataset_creation);
    if (!result.tokenizer) return library_error(where, "cannot allocate the tokenizer");
  }
  const auto manifest = add_dataset(file.get(), manifest_dataset_name, manifest_bytes, dataset_creation);
  if (!manifest) return library_error(where, "cannot allocate the manifest");
  result.manifest = *manifest;
  const std::uint8_t complete = 1;
  if (!add_content_id(file.get(), content_id) ||
      !add_attribute(file.get(), complete_attribute_name, H5T_STD_U8LE, &complete) || !file.close()) {
    return library_error(where, "cannot complete it");
  }
  return result;
}

Result<void> CheckpointSkeleton::write_to(const PartialFile& file) const {
  std::vector<std::byte> bytes;
  for (auto run = image_.written().rbegin(); run != image_.written().rend(); ++run) {
    bytes.resize(run->second - run->first);
    image_.read(run->first, bytes.size(), bytes.data());
    TESSERA_CHECK(file.write(run->first, bytes));
  }
  return {};
}

}  // namespace tessera
