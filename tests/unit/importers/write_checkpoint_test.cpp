#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/sanitizers.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// Names in a folder, hidden ones too.
std::vector<std::string> names_in(const TemporaryFolder& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    names.push_back(entry.path().filename().string());
  return names;
}

ImportOptions as(DType dtype) {
  ImportOptions options;
  options.dtype = dtype;
  return options;
}

/// Anonymous memory of this process.
std::uint64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * 1024;
  }
  return 0;
}

/// AddressSanitizer keeps freed memory.
boost::test_tools::assertion_result memory_is_returned(boost::unit_test::test_unit_id) { return !sanitized; }

}  // namespace

BOOST_AUTO_TEST_SUITE(write_checkpoints)

BOOST_AUTO_TEST_CASE(a_value_that_cannot_be_stored_is_named_with_its_place) {
  const float infinity = std::numeric_limits<float>::infinity();
  struct Case {
    DType dtype;
    float value;
    const char* shown;
  };
  for (const Case& c :
       {Case{DType::f32, infinity, "inf"}, Case{DType::f32, std::numeric_limits<float>::quiet_NaN(), "nan"},
        Case{DType::q8, -infinity, "-inf"}, Case{DType::q8, 1e7f, "10000000"}, Case{DType::q4, 1e6f, "1000000"},
        Case{DType::bf16, 3.4e38f, "33999999"}}) {
    ForeignModel model = small_model();
    model.tensors["layers.1.ffn_down"][40 * 7 + 33] = c.value;
    TemporaryFolder folder;
    write_text(folder.file("m.bin"), llama2c_bytes(model));
    const auto report = import_model(folder.file("m.bin"), folder.file("m.h5"), as(c.dtype));
    BOOST_TEST(fails_with(report, ErrorCode::corrupt, "m.bin: tensor layers.1.ffn_down, row 7, column 33: the value "),
               message_of(report));
    BOOST_TEST(fails_with(report, ErrorCode::corrupt, c.shown), message_of(report));
    BOOST_TEST(names_in(folder) == std::vector<std::string>{"m.bin"}, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(the_file_of_a_bad_value_is_named_as_in_the_source) {
  ForeignModel model = small_model();
  model.tensors["final_norm"][31] = std::numeric_limits<float>::quiet_NaN();
  TemporaryFolder folder;
  write_text(folder.file("config.json"), hf_config(model.shape).dump());
  write_text(folder.file("model.safetensors"), safetensors_bytes(hf_tensors(model, "BF16")));
  const auto report = import_model(folder.path().string(), folder.file("m.h5"), as(DType::q8));
  BOOST_TEST(fails_with(report, ErrorCode::corrupt, "model.safetensors: tensor model.norm.weight, row 0, column 31"),
             message_of(report));
}

BOOST_AUTO_TEST_CASE(large_values_are_fine_in_vectors_and_in_f32) {
  ForeignModel model = small_model();
  model.tensors["final_norm"][3] = 1e7f;
  FunctionSource source = source_of(model);
  TemporaryFolder folder;
  BOOST_TEST(bool(write_checkpoint(source, folder.file("q8.h5"), as(DType::q8), {})));
  model.tensors["embedding"][3] = 3e38f;
  BOOST_TEST(bool(write_checkpoint(source, folder.file("f32.h5"), as(DType::f32), {})));
}

BOOST_AUTO_TEST_CASE(a_failure_at_any_tensor_leaves_the_old_file_untouched) {
  const ForeignModel model = small_model(false);
  TemporaryFolder folder;
  write_text(folder.file("m.h5"), "old content");
  for (const auto& one : model.tensors) {
    const std::string& bad = one.first;
    FunctionSource source(model.shape, [&](const std::string& name, std::vector<float>& out) -> Result<void> {
      if (name == bad) return Error{ErrorCode::io, "the disk of " + name};
      out = model.tensors.at(name);
      return {};
    });
    const auto report = write_checkpoint(source, folder.file("m.h5"), as(DType::f32), {});
    BOOST_TEST(fails_with(report, ErrorCode::io, "the disk of " + bad));
    BOOST_TEST(read_text(folder.file("m.h5")) == "old content");
    BOOST_TEST(names_in(folder).size() == 1u);
  }
}

BOOST_AUTO_TEST_CASE(cancelling_at_any_time_leaves_nothing) {
  const ForeignModel model = small_model();
  FunctionSource source = source_of(model);
  TemporaryFolder folder;
  int calls = 0;
  ImportOptions options;
  options.progress = [&](std::uint64_t, std::uint64_t) { return ++calls, true; };
  BOOST_REQUIRE(write_checkpoint(source, folder.file("whole.h5"), options, {}));
  std::filesystem::remove(folder.file("whole.h5"));
  for (int stop = 1; stop <= calls; ++stop) {
    int call = 0;
    options.progress = [&](std::uint64_t, std::uint64_t) { return ++call < stop; };
    BOOST_TEST(fails_with(write_checkpoint(source, folder.file("m.h5"), options, {}), ErrorCode::cancelled,
                          "m.h5: cancelled"));
    BOOST_TEST(names_in(folder).empty());
  }
}

BOOST_AUTO_TEST_CASE(progress_grows_to_the_announced_total) {
  const ForeignModel model = small_model();
  FunctionSource source = source_of(model);
  TemporaryFolder folder;
  const std::vector<std::byte> tokenizer(100, std::byte{7});
  std::uint64_t last = 0, total = 0;
  bool grows = true;
  ImportOptions options;
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    grows = grows && done >= last && (total == 0 || total == all);
    last = done, total = all;
    return true;
  };
  BOOST_REQUIRE(write_checkpoint(source, folder.file("m.h5"), options, tokenizer));
  BOOST_TEST(grows);
  BOOST_TEST(last == total);
  BOOST_TEST(total > 4u * 20 * 32);
}

BOOST_AUTO_TEST_CASE(the_tokenizer_is_stored_and_takes_part_in_the_content_id) {
  const ForeignModel model = small_model();
  FunctionSource source = source_of(model);
  TemporaryFolder folder;
  const std::vector<std::byte> tokenizer(100, std::byte{7});
  const auto with = write_checkpoint(source, folder.file("with.h5"), {}, tokenizer);
  const auto without = write_checkpoint(source, folder.file("without.h5"), {}, {});
  BOOST_REQUIRE(with && without);
  BOOST_TEST(with->content_id != without->content_id);
  const auto stored = (*Checkpoint::open(*open_source(folder.file("with.h5"))))->read_tokenizer();
  BOOST_REQUIRE(stored);
  BOOST_TEST((*stored == tokenizer));
  const auto none = (*Checkpoint::open(*open_source(folder.file("without.h5"))))->read_tokenizer();
  BOOST_REQUIRE(none);
  BOOST_TEST(none->empty());
}

BOOST_AUTO_TEST_CASE(a_checkpoint_of_any_dtype_passes_its_checksums) {
  const ForeignModel model = small_model(false);
  FunctionSource source = source_of(model);
  TemporaryFolder folder;
  for (const DType dtype : all_dtypes) {
    BOOST_REQUIRE(write_checkpoint(source, folder.file("m.h5"), as(dtype), {}));
    const auto checkpoint = Checkpoint::open(*open_source(folder.file("m.h5")));
    BOOST_REQUIRE(checkpoint);
    BOOST_TEST(bool((*checkpoint)->verify([](std::uint64_t, std::uint64_t) { return true; })));
  }
}

BOOST_AUTO_TEST_CASE(a_source_is_never_its_own_destination) {
  TemporaryFolder folder;
  const std::string bytes = llama2c_bytes(small_model());
  write_text(folder.file("m.bin"), bytes);
  BOOST_TEST(fails_with(import_model(folder.file("m.bin"), folder.file("./m.bin"), {}), ErrorCode::invalid_argument,
                        "is the file that is read"));
  BOOST_TEST(read_text(folder.file("m.bin")) == bytes);
}

BOOST_AUTO_TEST_CASE(a_destination_that_cannot_be_is_refused_before_anything_is_read) {
  const ForeignModel model = small_model();
  int reads = 0;
  FunctionSource source(model.shape, [&](const std::string& name, std::vector<float>& out) -> Result<void> {
    ++reads;
    out = model.tensors.at(name);
    return {};
  });
  TemporaryFolder folder;
  BOOST_TEST(fails_with(write_checkpoint(source, folder.file("absent/m.h5"), {}, {}), ErrorCode::not_found, "absent"));
  BOOST_TEST(!write_checkpoint(source, folder.path().string(), {}, {}));
  BOOST_TEST(reads == 0);
}

BOOST_AUTO_TEST_CASE(memory_stays_below_one_tensor_and_200_mb, *boost::unit_test::precondition(memory_is_returned)) {
  ModelShape shape = small_shape();
  shape.dim = 768;
  shape.heads = 12;
  shape.kv_heads = 12;
  shape.head_dim = 64;
  shape.ffn_dim = 2048;
  shape.layers = 1;
  shape.vocab_size = 32000;
  const std::uint64_t largest = std::uint64_t{4} * shape.vocab_size * shape.dim;  // 98 MB; the file has 126 MB
  for (const DType dtype : all_dtypes) {
    TemporaryFolder folder;
    const auto source = synthetic_source(shape, 1);
    const std::uint64_t before = anonymous_bytes();
    BOOST_REQUIRE(before > 0);
    std::uint64_t most = 0;
    ImportOptions options = as(dtype);
    options.progress = [&](std::uint64_t, std::uint64_t) { return most = std::max(most, anonymous_bytes()), true; };
    BOOST_REQUIRE(write_checkpoint(*source, folder.file("m.h5"), options, {}));
    BOOST_TEST(most > before + largest / 2);  // it was measured
    BOOST_TEST(most < before + largest + (std::uint64_t{200} << 20));
  }
}

BOOST_AUTO_TEST_CASE(a_sparse_file_that_claims_to_be_huge_is_refused_before_anything_is_allocated) {
  // 2^20 x 2^16 values are 256 GiB of zeros that take no space on disk.
  TemporaryFolder folder;
  std::string header(28, '\0');
  const std::int32_t fields[7] = {1 << 16, 1, 1, 1 << 8, 1, 1 << 20, 1};
  std::memcpy(header.data(), fields, sizeof fields);
  write_text(folder.file("m.bin"), header);
  const std::uint64_t dim = 1 << 16, head = 256;
  const std::uint64_t floats = (std::uint64_t{1} << 36) + 3 * dim + 2 * dim * dim + 2 * head * dim + 3 * dim + head;
  std::error_code failed;
  std::filesystem::resize_file(folder.file("m.bin"), 28 + 4 * floats, failed);
  BOOST_REQUIRE_MESSAGE(!failed, "the temporary folder has no sparse files");
  const auto source = open_weight_source(folder.file("m.bin"));
  BOOST_REQUIRE_MESSAGE(source, message_of(source));
  const auto report = import_model(folder.file("m.bin"), folder.file("m.h5"), as(DType::q8));
  BOOST_TEST(fails_with(report, ErrorCode::exhausted, "m.bin: tensor embedding has 68719476736 values"),
             message_of(report));
  BOOST_TEST(fails_with(write_gguf(**source, folder.file("m.gguf"), {}), ErrorCode::exhausted, "68719476736 values"));
  BOOST_TEST(names_in(folder).size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
