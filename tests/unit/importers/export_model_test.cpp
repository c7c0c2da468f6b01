#include "runtime/importers/export_model.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// A model as a checkpoint, imported from safetensors under the name "m".
struct Exported {
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;

  Exported(const ForeignModel& model, DType dtype) {
    std::filesystem::create_directory(folder.file("source"));
    write_text(folder.file("source/config.json"), hf_config(model.shape).dump());
    write_text(folder.file("source/model.safetensors"), safetensors_bytes(hf_tensors(model, "F32")));
    checkpoint = import(folder.file("source"), dtype);
  }

  std::shared_ptr<const Checkpoint> import(const std::string& source, DType dtype,
                                           std::optional<PoolingPlan> pooling = {}) const {
    ImportOptions options;
    options.pooling = pooling;
    options.dtype = dtype;
    options.name = "m";
    const auto report = import_model(source, folder.file("m.h5"), options);
    BOOST_REQUIRE_MESSAGE(report, message_of(report));
    return *Checkpoint::open(*open_source(folder.file("m.h5")));
  }

  std::string out() const { return folder.file("out"); }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
};

const std::vector<std::string> untouched = {"m.h5", "source"};

}  // namespace

BOOST_AUTO_TEST_SUITE(exports)

BOOST_AUTO_TEST_CASE(what_is_exported_and_imported_has_the_same_content_id) {
  for (const bool tied : {true, false}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const std::uint64_t file_bytes : {std::uint64_t{1} << 30, std::uint64_t{3000}}) {
        ForeignModel model = small_model(tied);
        model.tensors["final_norm"][1] = 0.1f;  // which bf16 does not hold
        const Exported exported(model, dtype);
        ExportOptions options;
        options.file_bytes_max = file_bytes;
        const auto report = export_model(*exported.checkpoint, exported.out(), options);
        BOOST_REQUIRE_MESSAGE(report, message_of(report));
        BOOST_TEST((report->files > 1) == (file_bytes == 3000));
        BOOST_TEST(exported.import(exported.out(), dtype)->content_id() == exported.checkpoint->content_id());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(how_texts_become_vectors_comes_back) {
  for (const PoolingPlan& plan : {PoolingPlan{Pooling::mean, true, 128}, PoolingPlan{Pooling::cls, false, 0},
                                  PoolingPlan{Pooling::last, true, 0}}) {
    Exported exported(small_model(), DType::f32);
    exported.checkpoint = exported.import(exported.folder.file("source"), DType::f32, plan);
    const auto report = export_model(*exported.checkpoint, exported.out(), {});
    BOOST_REQUIRE_MESSAGE(report, message_of(report));
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(exported.out())) {
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    BOOST_TEST(report->bytes_written == bytes);
    const auto again = exported.import(exported.out(), DType::f32);
    BOOST_TEST((again->manifest().pooling == plan));
    BOOST_TEST(again->content_id() == exported.checkpoint->content_id());
  }
}

BOOST_AUTO_TEST_CASE(the_config_names_the_model_and_the_dtype) {
  const Exported exported(small_model(), DType::bf16);
  BOOST_REQUIRE(export_model(*exported.checkpoint, exported.out() + "/", {}));
  const auto config = nlohmann::json::parse(read_text(exported.out() + "/config.json"));
  BOOST_TEST(config["torch_dtype"] == "bfloat16");
  BOOST_TEST(config["hidden_size"] == 32);
  BOOST_TEST(config["rms_norm_eps"] == 1e-5);
  BOOST_TEST(config["tie_word_embeddings"] == true);
}

BOOST_AUTO_TEST_CASE(quantised_weights_come_out_as_the_numbers_that_they_stand_for) {
  for (const DType dtype : {DType::q8, DType::q4}) {
    const Exported exported(small_model(), dtype);
    BOOST_REQUIRE(export_model(*exported.checkpoint, exported.out(), {}));
    const auto source = open_weight_source(exported.out());
    BOOST_REQUIRE_MESSAGE(source, message_of(source));
    for (const auto& [name, values] : read_all(**source)) {
      const auto mapped = exported.checkpoint->map_all(name);
      if (std::holds_alternative<VectorLayout>(mapped->layout())) continue;
      std::size_t wrong = 0;
      for (std::uint32_t i = 0; i < values.size(); ++i) {
        const std::uint32_t columns = mapped->packed().columns;
        wrong += unpack_element(mapped->packed(), mapped->unit(0), i / columns, i % columns) != values[i];
      }
      BOOST_TEST(wrong == 0u, name);
    }
  }
}

BOOST_AUTO_TEST_CASE(f16_is_rounded_and_a_value_beyond_its_range_named) {
  ForeignModel model = small_model();
  ExportOptions options;
  options.dtype = ExportDType::f16;
  const Exported exported(model, DType::f32);
  BOOST_REQUIRE(export_model(*exported.checkpoint, exported.out(), options));
  const auto source = open_weight_source(exported.out());
  BOOST_REQUIRE(source);
  for (const auto& [name, values] : read_all(**source)) BOOST_TEST(same_bits(values, model.tensors.at(name)), name);

  model.tensors["layers.1.ffn_up"][32 * 9 + 4] = 70000.0f;
  const Exported large(model, DType::f32);
  const auto report = export_model(*large.checkpoint, large.out(), options);
  BOOST_TEST(fails_with(report, ErrorCode::corrupt, "tensor layers.1.ffn_up, row 9: a value is too large for F16"),
             message_of(report));
  BOOST_TEST(large.names() == untouched, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(cancelling_at_any_time_leaves_nothing) {
  const Exported exported(small_model(), DType::f32);
  int calls = 0;
  ExportOptions options;
  options.file_bytes_max = 8000;
  options.progress = [&](std::uint64_t, std::uint64_t) { return ++calls, true; };
  BOOST_REQUIRE(export_model(*exported.checkpoint, exported.out(), options));
  std::filesystem::remove_all(exported.out());
  for (int stop = 1; stop <= calls; ++stop) {
    int call = 0;
    options.progress = [&](std::uint64_t, std::uint64_t) { return ++call < stop; };
    BOOST_TEST(fails_with(export_model(*exported.checkpoint, exported.out(), options), ErrorCode::cancelled, "out"));
    BOOST_TEST(exported.names() == untouched, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_folder_that_holds_something_is_never_touched) {
  const Exported exported(small_model(), DType::f32);
  std::filesystem::create_directory(exported.out());
  BOOST_TEST(bool(export_model(*exported.checkpoint, exported.out(), {})));  // an empty one is fine
  BOOST_TEST(fails_with(export_model(*exported.checkpoint, exported.out(), {}), ErrorCode::invalid_argument,
                        "is no empty folder"));
  BOOST_TEST(fails_with(export_model(*exported.checkpoint, exported.folder.file("m.h5"), {}),
                        ErrorCode::invalid_argument, "is no empty folder"));
  BOOST_TEST(fails_with(export_model(*exported.checkpoint, exported.folder.file("no/where"), {}), ErrorCode::not_found,
                        "does not exist"));
  BOOST_TEST(fails_with(export_model(*exported.checkpoint, "", {}), ErrorCode::invalid_argument, "name of a folder"));
}

BOOST_AUTO_TEST_CASE(a_damaged_checkpoint_is_not_exported) {
  const Exported exported(small_model(), DType::f32);
  std::string bytes = read_text(exported.folder.file("m.h5"));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_text(exported.folder.file("m.h5"), bytes);
  const auto damaged = Checkpoint::open(*open_source(exported.folder.file("m.h5")));
  BOOST_REQUIRE_MESSAGE(damaged, message_of(damaged));
  const auto report = export_model(**damaged, exported.out(), {});
  BOOST_TEST(fails_with(report, ErrorCode::corrupt, "m.h5"), message_of(report));
  BOOST_TEST(exported.names() == untouched, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
