// HDF5 files that are well-formed but not what the writer makes; made or changed with the HDF5 library itself.
#include <functional>
#include <hdf5.h>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/hdf5_objects.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(foreign_file)

namespace {

Hdf5Id latest_format() {
  Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110);
  return access;
}

void put_attribute(hid_t file, const char* name, hid_t type, const void* value, int elements = 1) {
  const hsize_t extent = static_cast<hsize_t>(elements);
  const Hdf5Id space(elements == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &extent, nullptr), H5Sclose);
  if (H5Aexists(file, name) > 0) H5Adelete(file, name);
  const Hdf5Id attribute(H5Acreate2(file, name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  BOOST_REQUIRE(attribute);
  BOOST_REQUIRE(H5Awrite(attribute.get(), type, value) >= 0);
}

void put_text(hid_t file, const char* name, const char* text) {
  const Hdf5Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  put_attribute(file, name, type.get(), &text);
}

void check_refused(const std::string& path, ErrorCode code, const std::string& named) {
  const auto opened = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(!opened, "accepted, though " << named);
  BOOST_TEST((opened.error().code == code), opened.error().message);
  BOOST_TEST(opened.error().message.starts_with(path + ": "), opened.error().message);
  BOOST_TEST(opened.error().message.find(named) != std::string::npos, opened.error().message);
}

// A checkpoint that was changed with the library must be refused.
void check_changed(ErrorCode code, const std::string& named, const std::function<void(hid_t)>& change) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, smallest_shape(), DType::q8));
  {
    const Hdf5Id access = latest_format();
    const Hdf5Id file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), H5Fclose);
    BOOST_REQUIRE(file);
    change(file.get());
  }
  check_refused(path, code, named);
}

// Puts another dataset in the place of layers.0.attn_norm.
void replace_dataset(hid_t file, hid_t type, hsize_t extent, hid_t creation) {
  const hsize_t extent_max = extent;
  const Hdf5Id space(H5Screate_simple(1, &extent, &extent_max), H5Sclose);
  BOOST_REQUIRE(H5Ldelete(file, "/weights/layers.0.attn_norm", H5P_DEFAULT) >= 0);
  const Hdf5Id dataset(
      H5Dcreate2(file, "/weights/layers.0.attn_norm", type, space.get(), H5P_DEFAULT, creation, H5P_DEFAULT), H5Dclose);
  BOOST_REQUIRE(dataset);
}

}  // namespace

BOOST_AUTO_TEST_CASE(other_hdf5_files_are_called_foreign) {
  const TemporaryFolder folder;
  const std::string path = folder.file("foreign.h5");
  { const Hdf5Id file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose); }
  check_refused(path, ErrorCode::unsupported, "is an HDF5 file, but not a checkpoint");
  {
    const Hdf5Id access = latest_format();
    const Hdf5Id file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose);
    put_text(file.get(), "author", "somebody");
  }
  check_refused(path, ErrorCode::unsupported, "is an HDF5 file, but not a checkpoint");
  {
    const Hdf5Id access = latest_format();
    const Hdf5Id file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose);
    put_text(file.get(), "format_version", "1");
  }
  check_refused(path, ErrorCode::unsupported, "format version is not one 32-bit number");
}

BOOST_AUTO_TEST_CASE(attributes_of_other_types_values_and_names_are_refused) {
  const std::uint32_t newer = 2;
  check_changed(ErrorCode::unsupported, "has checkpoint format version 2, this build reads version 1",
                [&](hid_t file) { put_attribute(file, "format_version", H5T_STD_U32LE, &newer); });
  const std::uint32_t one = 1;
  check_changed(ErrorCode::unsupported, "format version is not one 32-bit number",
                [&](hid_t file) { put_attribute(file, "format_version", H5T_STD_I32LE, &one); });
  const std::uint32_t ones[2] = {1, 1};
  check_changed(ErrorCode::unsupported, "format version is not one 32-bit number",
                [&](hid_t file) { put_attribute(file, "format_version", H5T_STD_U32LE, ones, 2); });
  check_changed(ErrorCode::corrupt, "is incomplete", [](hid_t file) { H5Adelete(file, "complete"); });
  const std::uint8_t zero = 0;
  check_changed(ErrorCode::corrupt, "is incomplete",
                [&](hid_t file) { put_attribute(file, "complete", H5T_STD_U8LE, &zero); });
  check_changed(ErrorCode::corrupt, "content id is missing", [](hid_t file) { H5Adelete(file, "content_id"); });
  check_changed(ErrorCode::corrupt, "content id is missing",
                [](hid_t file) { put_text(file, "content_id", std::string(64, 'a').c_str()); });
  const Hdf5Id text(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(text.get(), 64);
  H5Tset_strpad(text.get(), H5T_STR_NULLPAD);
  check_changed(ErrorCode::corrupt, "does not match its content id",
                [&](hid_t file) { put_attribute(file, "content_id", text.get(), std::string(64, 'a').c_str()); });
  check_changed(ErrorCode::corrupt, "not hexadecimal",
                [&](hid_t file) { put_attribute(file, "content_id", text.get(), std::string(64, 'Z').c_str()); });
  check_changed(ErrorCode::corrupt, "attributes that a checkpoint does not have",
                [](hid_t file) { put_text(file, "author", "somebody"); });
}

BOOST_AUTO_TEST_CASE(links_that_lead_elsewhere_are_refused) {
  check_changed(ErrorCode::corrupt, "not a plain one", [](hid_t file) {
    H5Ldelete(file, "/weights/layers.0.attn_k", H5P_DEFAULT);
    H5Lcreate_soft("/weights/layers.0.attn_v", file, "/weights/layers.0.attn_k", H5P_DEFAULT, H5P_DEFAULT);
  });
  check_changed(ErrorCode::corrupt, "not a plain one", [](hid_t file) {
    H5Ldelete(file, "/weights/layers.0.attn_k", H5P_DEFAULT);
    H5Lcreate_external("/etc/passwd", "/x", file, "/weights/layers.0.attn_k", H5P_DEFAULT, H5P_DEFAULT);
  });
  check_changed(ErrorCode::corrupt, "not a plain one", [](hid_t file) {
    H5Lmove(file, "weights", file, "elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/elsewhere", file, "weights", H5P_DEFAULT, H5P_DEFAULT);
  });
  // The library then counts the links in a message of its own.
  check_changed(ErrorCode::corrupt, "a dataset is not stored as plain", [](hid_t file) {
    H5Ldelete(file, "/weights/layers.0.attn_k", H5P_DEFAULT);
    H5Lcreate_hard(file, "/weights/layers.0.attn_v", file, "/weights/layers.0.attn_k", H5P_DEFAULT, H5P_DEFAULT);
  });
}

BOOST_AUTO_TEST_CASE(missing_and_additional_objects_are_refused) {
  check_changed(ErrorCode::corrupt, "no group of weights", [](hid_t file) { H5Ldelete(file, "weights", H5P_DEFAULT); });
  check_changed(ErrorCode::corrupt, "no manifest", [](hid_t file) { H5Ldelete(file, "manifest", H5P_DEFAULT); });
  check_changed(ErrorCode::corrupt, "exactly the datasets",
                [](hid_t file) { H5Ldelete(file, "tokenizer", H5P_DEFAULT); });
  check_changed(ErrorCode::corrupt, "dataset layers.0.attn_q is missing",
                [](hid_t file) { H5Ldelete(file, "/weights/layers.0.attn_q", H5P_DEFAULT); });
  check_changed(ErrorCode::corrupt, "exactly the datasets",
                [](hid_t file) { H5Lmove(file, "tokenizer", file, "/weights/tokenizer", H5P_DEFAULT, H5P_DEFAULT); });
  check_changed(ErrorCode::corrupt, "objects that a checkpoint does not have", [](hid_t file) {
    const Hdf5Id group(H5Gcreate2(file, "more", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  });
  // So many links that the library stores them in a B-tree.
  check_changed(ErrorCode::corrupt, "stored", [](hid_t file) {
    H5Ldelete(file, "weights", H5P_DEFAULT);
    const Hdf5Id group(H5Gcreate2(file, "weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    for (int i = 0; i < 100; ++i) {
      const Hdf5Id child(H5Gcreate2(group.get(), std::to_string(i).c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                         H5Gclose);
    }
  });
}

BOOST_AUTO_TEST_CASE(datasets_of_other_types_and_layouts_are_refused) {
  const std::string odd = "dataset";
  const Hdf5Id early(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_alloc_time(early.get(), H5D_ALLOC_TIME_EARLY);
  const Hdf5Id variable(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(variable.get(), H5T_VARIABLE);
  for (const hid_t type : {H5T_STD_I8LE, H5T_STD_U16LE, H5T_IEEE_F32LE, variable.get()}) {
    check_changed(ErrorCode::corrupt, odd, [&](hid_t file) { replace_dataset(file, type, 4096, early.get()); });
  }
  // The right kind, but not of the right size.
  for (const hsize_t extent : {0, 64, 4095, 4160, 8192}) {
    check_changed(ErrorCode::corrupt, odd,
                  [&](hid_t file) { replace_dataset(file, H5T_STD_U8LE, extent, early.get()); });
  }

  const hsize_t chunk = 1024;
  const Hdf5Id chunked(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(chunked.get(), 1, &chunk);
  check_changed(ErrorCode::corrupt, odd, [&](hid_t file) { replace_dataset(file, H5T_STD_U8LE, 4096, chunked.get()); });
  H5Pset_deflate(chunked.get(), 1);
  check_changed(ErrorCode::corrupt, odd, [&](hid_t file) { replace_dataset(file, H5T_STD_U8LE, 4096, chunked.get()); });
  const Hdf5Id compact(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(compact.get(), H5D_COMPACT);
  check_changed(ErrorCode::corrupt, odd, [&](hid_t file) { replace_dataset(file, H5T_STD_U8LE, 4096, compact.get()); });
  const Hdf5Id external(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_external(external.get(), "/etc/passwd", 0, 4096);
  check_changed(ErrorCode::corrupt, odd,
                [&](hid_t file) { replace_dataset(file, H5T_STD_U8LE, 4096, external.get()); });
  // Not allocated at all.
  check_changed(ErrorCode::corrupt, odd, [&](hid_t file) { replace_dataset(file, H5T_STD_U8LE, 4096, H5P_DEFAULT); });
}

BOOST_AUTO_TEST_SUITE_END()
