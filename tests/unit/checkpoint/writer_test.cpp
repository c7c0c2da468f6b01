#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <hdf5.h>
#include <set>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/checkpoint_layout.hpp"
#include "runtime/checkpoint/hdf5_objects.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(writer)

namespace {

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

std::string own_partial(const std::string& name) { return "." + name + ".partial-" + std::to_string(::getpid()); }

// Runs `child` in a process of its own, waits for it and returns its wait status.
template <typename Child>
int status_of(const Child& child) {
  const pid_t pid = ::fork();
  BOOST_REQUIRE(pid >= 0);
  if (pid == 0) ::_exit(child());
  int status = 0;
  BOOST_REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

// The bytes of a dataset and where they lie, by the HDF5 library.
std::vector<std::byte> library_reads(hid_t file, const std::string& path, std::uint64_t& offset) {
  const Hdf5Id dataset(H5Dopen2(file, path.c_str(), H5P_DEFAULT), H5Dclose);
  BOOST_REQUIRE_MESSAGE(dataset, path);
  offset = H5Dget_offset(dataset.get());
  const Hdf5Id space(H5Dget_space(dataset.get()), H5Sclose);
  std::vector<std::byte> bytes(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())));
  BOOST_REQUIRE(H5Dread(dataset.get(), H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) >= 0);
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_hdf5_library_reads_every_dataset_aligned_and_with_the_same_bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, sliced_shape(), DType::q8));
  const auto checkpoint = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  const Hdf5Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  BOOST_REQUIRE(file);
  std::uint64_t offset = 0;
  for (const TensorEntry& entry : (*checkpoint)->manifest().tensors) {
    const auto bytes = library_reads(file.get(), "/weights/" + entry.spec.name, offset);
    BOOST_TEST(offset % 4096 == 0u);
    const auto mapped = (*checkpoint)->map_all(entry.spec.name);
    BOOST_REQUIRE(mapped);
    BOOST_REQUIRE(bytes.size() == padded_extent(mapped->bytes()));
    BOOST_TEST(std::memcmp(bytes.data(), mapped->unit(0), mapped->bytes()) == 0);
    for (std::size_t i = mapped->bytes(); i < bytes.size(); ++i) BOOST_REQUIRE(bytes[i] == std::byte{0});
  }
  const auto manifest = library_reads(file.get(), "/manifest", offset);
  BOOST_TEST(offset % 4096 == 0u);
  const std::string text(reinterpret_cast<const char*>(manifest.data()));
  BOOST_TEST(content_id_of(text) == (*checkpoint)->content_id());
  BOOST_TEST(text == to_json((*checkpoint)->manifest()));
  const auto tokenizer = library_reads(file.get(), "/tokenizer", offset);
  BOOST_TEST(offset % 4096 == 0u);
  BOOST_TEST(std::memcmp(tokenizer.data(), tokenizer_bytes().data(), tokenizer_bytes().size()) == 0);
}

BOOST_AUTO_TEST_CASE(the_same_model_gives_the_same_file_and_another_one_another_content_id) {
  const TemporaryFolder folder;
  const auto first = write_model(folder.file("a.h5"), smallest_shape(), DType::q8, 1);
  const auto second = write_model(folder.file("b.h5"), smallest_shape(), DType::q8, 1);
  const auto other = write_model(folder.file("c.h5"), smallest_shape(), DType::q8, 2);
  BOOST_REQUIRE(first && second && other);
  BOOST_TEST(*first == *second);
  BOOST_TEST((read_file(folder.file("a.h5")) == read_file(folder.file("b.h5"))));
  BOOST_TEST(*first != *other);
}

BOOST_AUTO_TEST_CASE(one_byte_of_one_unit_changes_the_content_id) {
  const TemporaryFolder folder;
  std::set<std::string> ids;
  // The last byte of every unit in turn, and none.
  const auto write = [&](int changed) -> Result<std::string> {
    TESSERA_TRY(auto writer, CheckpointWriter::create(folder.file("m.h5"), header_of(smallest_shape(), DType::q8)));
    int number = 0;
    for (std::uint32_t tensor = 0; tensor < writer->tensors().size(); ++tensor) {
      const TensorEntry& entry = writer->tensors()[tensor];
      for (std::uint32_t unit = 0; unit < entry.unit_crc32c.size(); ++unit, ++number) {
        auto bytes = unit_bytes(1, entry, tensor, unit);
        if (number == changed) bytes.back() ^= std::byte{1};
        TESSERA_CHECK(writer->write_unit(tensor, unit, bytes));
      }
    }
    return writer->finish();
  };
  for (int changed = -1; changed < 15; ++changed) {
    const auto id = write(changed);
    BOOST_REQUIRE_MESSAGE(id, message_of(id));
    ids.insert(*id);
  }
  BOOST_TEST(ids.size() == 16u);
}

BOOST_AUTO_TEST_CASE(units_out_of_order_or_of_the_wrong_size_are_refused_by_name) {
  const TemporaryFolder folder;
  auto created = CheckpointWriter::create(folder.file("m.h5"), header_of(sliced_shape(), DType::f32));
  BOOST_REQUIRE_MESSAGE(created, message_of(created));
  CheckpointWriter& writer = **created;
  const TensorEntry& embedding = writer.tensors()[0];
  const auto first = unit_bytes(1, embedding, 0, 0);
  const auto refused = [&](const Result<void>& result, const std::string& named) {
    BOOST_REQUIRE(!result);
    BOOST_TEST((result.error().code == ErrorCode::invalid_argument));
    BOOST_TEST(result.error().message.find(named) != std::string::npos, result.error().message);
  };
  refused(writer.write_unit(0, 1, first), "expected embedding, slice 0");
  refused(writer.write_unit(1, 0, first), "expected embedding, slice 0");
  refused(writer.write_unit(9999, 0, first), "expected embedding, slice 0");
  refused(writer.write_unit(0, 0, std::span(first).first(first.size() - 1)), "dataset embedding, slice 0 has");
  refused(writer.write_unit(0, 0, {}), "dataset embedding, slice 0 has");
  const auto early = writer.finish();
  BOOST_REQUIRE(!early);
  BOOST_TEST(early.error().message.find("still missing: embedding, slice 0") != std::string::npos,
             early.error().message);
  BOOST_TEST(bool(writer.write_unit(0, 0, first)));
  refused(writer.write_unit(0, 0, first), "expected embedding, slice 1");
  refused(writer.write_tokenizer({}), "tokenizer");
  BOOST_TEST(bool(writer.write_tokenizer(tokenizer_bytes())));
  refused(writer.write_tokenizer(tokenizer_bytes()), "tokenizer");
}

BOOST_AUTO_TEST_CASE(nothing_can_be_written_after_finish) {
  const TemporaryFolder folder;
  auto writer = CheckpointWriter::create(folder.file("m.h5"), header_of(smallest_shape(), DType::f32));
  BOOST_REQUIRE(writer && write_units(**writer, 1));
  BOOST_REQUIRE((*writer)->finish());
  BOOST_TEST(!(*writer)->finish());
  BOOST_TEST(!(*writer)->write_unit(0, 0, {}));
  BOOST_TEST(!(*writer)->write_tokenizer(tokenizer_bytes()));
}

BOOST_AUTO_TEST_CASE(an_unfinished_writer_leaves_nothing_and_keeps_the_old_file) {
  const TemporaryFolder folder;
  const auto old_id = write_model(folder.file("m.h5"), smallest_shape(), DType::f32, 1);
  BOOST_REQUIRE(old_id);
  {
    auto writer = CheckpointWriter::create(folder.file("m.h5"), header_of(smallest_shape(), DType::f32));
    BOOST_REQUIRE(writer && write_units(**writer, 2));
    BOOST_TEST((names_in(folder.path()) == std::set<std::string>{"m.h5", own_partial("m.h5")}));
  }
  BOOST_TEST((names_in(folder.path()) == std::set<std::string>{"m.h5"}));
  BOOST_TEST(bool(open_checkpoint(folder.file("m.h5"), *old_id)));
}

BOOST_AUTO_TEST_CASE(a_finished_file_replaces_the_old_one) {
  const TemporaryFolder folder;
  const auto old_id = write_model(folder.file("m.h5"), smallest_shape(), DType::f32, 1);
  const auto new_id = write_model(folder.file("m.h5"), smallest_shape(), DType::f32, 2);
  BOOST_REQUIRE(old_id && new_id);
  BOOST_TEST((names_in(folder.path()) == std::set<std::string>{"m.h5"}));
  BOOST_TEST(bool(open_checkpoint(folder.file("m.h5"), *new_id)));
}

BOOST_AUTO_TEST_CASE(a_process_killed_at_any_unit_leaves_no_final_file) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  for (int units_before = 0; units_before <= 15; ++units_before) {
    int events[2];
    BOOST_REQUIRE(::pipe(events) == 0);
    const pid_t child = ::fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
      auto writer = CheckpointWriter::create(path, header_of(smallest_shape(), DType::q8));
      if (!writer) ::_exit(1);
      int units = 0;
      for (std::uint32_t tensor = 0; tensor < (*writer)->tensors().size(); ++tensor) {
        const TensorEntry& entry = (*writer)->tensors()[tensor];
        for (std::uint32_t unit = 0; unit < entry.unit_crc32c.size() && units < units_before; ++unit, ++units) {
          if (!(*writer)->write_unit(tensor, unit, unit_bytes(1, entry, tensor, unit))) ::_exit(1);
        }
      }
      if (::write(events[1], "x", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    ::close(events[1]);
    char event = 0;
    BOOST_REQUIRE(::read(events[0], &event, 1) == 1);
    ::close(events[0]);
    BOOST_REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    BOOST_REQUIRE(WIFSIGNALED(status));

    const std::string partial = ".m.h5.partial-" + std::to_string(child);
    BOOST_TEST((names_in(folder.path()) == std::set<std::string>{partial}));
    const auto opened = open_checkpoint(folder.file(partial));
    BOOST_REQUIRE(!opened);
    BOOST_TEST(opened.error().message.find("is incomplete") != std::string::npos, opened.error().message);
    std::filesystem::remove(folder.file(partial));
  }
}

BOOST_AUTO_TEST_CASE(a_leftover_under_the_temporary_name_is_taken_over_but_a_live_writer_is_not) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  write_file(folder.file(own_partial("m.h5")), std::vector<std::byte>(1u << 20, std::byte{0xaa}));
  auto writer = CheckpointWriter::create(path, header_of(smallest_shape(), DType::f32));
  BOOST_REQUIRE_MESSAGE(writer, message_of(writer));
  const auto second = CheckpointWriter::create(path, header_of(smallest_shape(), DType::f32));
  BOOST_REQUIRE(!second);
  BOOST_TEST(second.error().message.find("another writer") != std::string::npos, second.error().message);
  BOOST_REQUIRE(write_units(**writer, 1));
  const auto id = (*writer)->finish();
  BOOST_REQUIRE_MESSAGE(id, message_of(id));
  BOOST_REQUIRE(write_model(folder.file("fresh.h5"), smallest_shape(), DType::f32, 1));
  BOOST_TEST((read_file(path) == read_file(folder.file("fresh.h5"))));
}

BOOST_AUTO_TEST_CASE(destinations_that_cannot_be_written_are_refused_with_their_name) {
  const TemporaryFolder folder;
  const Manifest header = header_of(smallest_shape(), DType::f32);
  const auto check = [&](const std::string& path, ErrorCode code, const std::string& named) {
    const auto writer = CheckpointWriter::create(path, header);
    BOOST_REQUIRE(!writer);
    BOOST_TEST((writer.error().code == code), writer.error().message);
    BOOST_TEST(writer.error().message.find(named) != std::string::npos, writer.error().message);
  };
  check(folder.file("absent/m.h5"), ErrorCode::not_found, "absent/ does not exist");
  check(folder.path().string(), ErrorCode::invalid_argument, "cannot be the name");
  check(folder.path().string() + "/", ErrorCode::invalid_argument, "cannot be the name");
  check("", ErrorCode::invalid_argument, "cannot be the name");
  check("/dev/null", ErrorCode::invalid_argument, "cannot be the name");
  check("/proc/m.h5", ErrorCode::io, "/proc/m.h5: cannot be written");
  check(folder.file(std::string(255, 'x')), ErrorCode::io, "cannot be written");
  BOOST_TEST(names_in(folder.path()).empty());
}

BOOST_AUTO_TEST_CASE(headers_that_contradict_themselves_are_refused_before_a_file_appears) {
  const TemporaryFolder folder;
  const auto check = [&](const std::string& named, auto change) {
    Manifest header = header_of(smallest_shape(), DType::f32);
    change(header);
    const auto writer = CheckpointWriter::create(folder.file("m.h5"), header);
    BOOST_REQUIRE_MESSAGE(!writer, named << " was accepted");
    BOOST_TEST(writer.error().message.find(named) != std::string::npos, writer.error().message);
  };
  check("dim", [](Manifest& m) { m.shape.dim = 0; });
  check("geometry", [](Manifest& m) { m.geometry.ffn_slices += 1; });
  check("RoPE", [](Manifest& m) { m.rope_frequencies.pop_back(); });
  check("RoPE", [](Manifest& m) { m.rope_frequencies[1] = std::nan(""); });
  check("name", [](Manifest& m) { m.name = "\xff"; });
  check("name", [](Manifest& m) { m.name = "two\nlines"; });
  check("chat_template", [](Manifest& m) { m.chat_template = std::string(2u << 20, 'x'); });
  BOOST_TEST(names_in(folder.path()).empty());
}

// A limit on the size of files stands for a full disk: both make the kernel refuse a write.
BOOST_AUTO_TEST_CASE(a_full_disk_gives_an_error_and_leaves_no_file) {
  const TemporaryFolder folder;
  const auto limit_file_size = [](rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, bytes};
    return ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
  };
  for (const rlim_t bytes : {0, 1, 100, 4096, 5000, 20000, 60000}) {
    const int status = status_of([&] {
      if (!limit_file_size(bytes)) return 1;
      const auto written = write_model(folder.file("m.h5"), smallest_shape(), DType::f32);
      return !written && written.error().code == ErrorCode::io &&
                     written.error().message.find("m.h5") != std::string::npos
                 ? 0
                 : 2;
    });
    BOOST_TEST(status == 0, "limit " << bytes << " gave status " << status);
    BOOST_TEST(names_in(folder.path()).empty());
  }
  // Full only at the end, when the manifest is written.
  const int status = status_of([&] {
    auto writer = CheckpointWriter::create(folder.file("m.h5"), header_of(smallest_shape(), DType::f32));
    struct stat laid_out {};
    if (!writer || !write_units(**writer, 1) || ::stat(folder.file(own_partial("m.h5")).c_str(), &laid_out) != 0)
      return 1;
    if (!limit_file_size(static_cast<rlim_t>(laid_out.st_size))) return 1;
    const auto finished = (*writer)->finish();
    return !finished && finished.error().code == ErrorCode::io ? 0 : 2;
  });
  BOOST_TEST(WIFEXITED(status));
  BOOST_TEST(WEXITSTATUS(status) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
