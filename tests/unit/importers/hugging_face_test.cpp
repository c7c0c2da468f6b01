#include <algorithm>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/hf_config.hpp"
#include "runtime/importers/import_model.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

/// A folder with config.json, and model.safetensors or two files and an index.
struct ModelFolder {
  TemporaryFolder folder;
  std::string path = folder.path().string();

  void config(const json& value) { write_text(folder.file("config.json"), value.dump()); }
  void single(const std::vector<SafetensorsTensor>& tensors) {
    write_text(folder.file("model.safetensors"), safetensors_bytes(tensors));
  }
  void sharded(const std::vector<SafetensorsTensor>& tensors) {
    std::vector<SafetensorsTensor> halves[2];
    json map;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      halves[i % 2].push_back(tensors[i]);
      map[tensors[i].name] = i % 2 == 0 ? "one.safetensors" : "two.safetensors";
    }
    write_text(folder.file("one.safetensors"), safetensors_bytes(halves[0]));
    write_text(folder.file("two.safetensors"), safetensors_bytes(halves[1]));
    write_text(folder.file("model.safetensors.index.json"), json{{"weight_map", map}}.dump());
  }
};

void check_equal(const std::string& path, const ForeignModel& model) {
  auto source = open_weight_source(path);
  BOOST_REQUIRE_MESSAGE(source, message_of(source));
  BOOST_TEST(((*source)->shape() == model.shape));
  const auto tensors = read_all(**source);
  BOOST_TEST(tensors.size() == model.tensors.size());
  for (const auto& [name, values] : tensors) BOOST_TEST(same_bits(values, model.tensors.at(name)), name);
}

SafetensorsTensor& find(std::vector<SafetensorsTensor>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hugging_face)

BOOST_AUTO_TEST_CASE(one_file_and_many_and_every_dtype_give_the_same_tensors) {
  for (const bool tied : {true, false}) {
    const ForeignModel model = small_model(tied);
    for (const char* const dtype : {"F32", "F16", "BF16"}) {
      BOOST_TEST_CONTEXT("tied " << tied << ", " << dtype) {
        ModelFolder single, sharded;
        single.config(hf_config(model.shape));
        single.single(hf_tensors(model, dtype));
        check_equal(single.path, model);
        check_equal(single.path + "/model.safetensors", model);
        sharded.config(hf_config(model.shape));
        sharded.sharded(hf_tensors(model, dtype));
        check_equal(sharded.path, model);
        check_equal(sharded.path + "/model.safetensors.index.json", model);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_index_counts_before_a_single_file) {
  const ForeignModel model = small_model(true, 1), other = small_model(true, 2);
  ModelFolder folder;
  folder.config(hf_config(model.shape));
  folder.single(hf_tensors(other, "F32"));
  folder.sharded(hf_tensors(model, "F32"));
  check_equal(folder.path, model);
}

BOOST_AUTO_TEST_CASE(files_behind_links_are_read) {
  const ForeignModel model = small_model();
  ModelFolder stored, linked;
  stored.single(hf_tensors(model, "F32"));
  linked.config(hf_config(model.shape));
  std::filesystem::create_symlink(stored.path + "/model.safetensors", linked.path + "/model.safetensors");
  check_equal(linked.path, model);
}

BOOST_AUTO_TEST_CASE(a_stored_head_of_a_tied_model_is_not_used) {
  const ForeignModel untied = small_model(false);
  ModelFolder folder;
  folder.config(hf_config(small_shape(true)));
  folder.single(hf_tensors(untied, "F32"));
  auto source = open_weight_source(folder.path);
  BOOST_REQUIRE_MESSAGE(source, message_of(source));
  BOOST_TEST((*source)->shape().tied_head);
  std::vector<float> values;
  BOOST_TEST(fails_with((*source)->read_tensor("head", values), ErrorCode::not_found, "head"));
}

BOOST_AUTO_TEST_CASE(an_untied_model_without_a_head_is_refused) {
  ModelFolder folder;
  folder.config(hf_config(small_shape(false)));
  folder.single(hf_tensors(small_model(true), "F32"));
  const auto source = open_weight_source(folder.path);
  BOOST_TEST(fails_with(source, ErrorCode::corrupt, "model.safetensors: tensor lm_head.weight is missing"),
             message_of(source));
}

BOOST_AUTO_TEST_CASE(buffers_that_nothing_reads_are_left_out_and_other_tensors_refused) {
  const ForeignModel model = small_model();
  auto tensors = hf_tensors(model, "F32");
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {4}, std::string(16, '\0')});
  ModelFolder folder;
  folder.config(hf_config(model.shape));
  folder.single(tensors);
  check_equal(folder.path, model);

  tensors.push_back({"model.layers.0.self_attn.q_proj.bias", "F32", {32}, std::string(128, '\0')});
  folder.single(tensors);
  const auto source = open_weight_source(folder.path);
  BOOST_TEST(fails_with(source, ErrorCode::unsupported, "tensor model.layers.0.self_attn.q_proj.bias has no place"),
             message_of(source));
}

BOOST_AUTO_TEST_CASE(a_layer_more_than_the_config_says_is_refused) {
  ModelFolder folder;
  json config = hf_config(small_shape());
  config["num_hidden_layers"] = 1;
  folder.config(config);
  folder.single(hf_tensors(small_model(), "F32"));
  BOOST_TEST(fails_with(open_weight_source(folder.path), ErrorCode::unsupported, "model.layers.1."));
}

BOOST_AUTO_TEST_CASE(wrong_shapes_and_dtypes_are_refused_by_tensor) {
  const auto good = hf_tensors(small_model(), "F32");
  ModelFolder folder;
  folder.config(hf_config(small_shape()));
  auto tensors = good;
  find(tensors, "model.layers.1.mlp.down_proj.weight").shape = {40, 32};
  folder.single(tensors);
  BOOST_TEST(fails_with(
      open_weight_source(folder.path), ErrorCode::corrupt,
      "tensor model.layers.1.mlp.down_proj.weight has the shape [40, 32], but its config.json asks for [32, 40]"));
  tensors = good;
  find(tensors, "model.norm.weight").shape = {1, 32};
  folder.single(tensors);
  BOOST_TEST(fails_with(open_weight_source(folder.path), ErrorCode::corrupt, "has the shape [1, 32]"));
  tensors = good;
  find(tensors, "model.norm.weight").dtype = "I32";
  folder.single(tensors);
  BOOST_TEST(fails_with(open_weight_source(folder.path), ErrorCode::unsupported,
                        "tensor model.norm.weight has the dtype I32"));
}

BOOST_AUTO_TEST_CASE(a_shard_that_is_missing_or_lacks_a_tensor_is_refused_by_name) {
  const auto tensors = hf_tensors(small_model(), "F32");
  ModelFolder folder;
  folder.config(hf_config(small_shape()));
  folder.sharded(tensors);
  const std::string name = tensors[1].name;
  write_text(folder.path + "/two.safetensors",
             safetensors_bytes(std::vector<SafetensorsTensor>(tensors.begin() + 3, tensors.begin() + 4)));
  auto source = open_weight_source(folder.path);
  BOOST_TEST(fails_with(source, ErrorCode::corrupt, "two.safetensors: tensor "), message_of(source));
  BOOST_TEST(fails_with(source, ErrorCode::corrupt, " is missing"), message_of(source));
  std::filesystem::remove(folder.path + "/two.safetensors");
  source = open_weight_source(folder.path);
  BOOST_TEST(fails_with(source, ErrorCode::not_found, "two.safetensors"), message_of(source));
}

BOOST_AUTO_TEST_CASE(an_index_that_lacks_a_tensor_is_refused) {
  auto tensors = hf_tensors(small_model(), "F32");
  ModelFolder folder;
  folder.config(hf_config(small_shape()));
  tensors.pop_back();
  folder.sharded(tensors);
  BOOST_TEST(fails_with(open_weight_source(folder.path), ErrorCode::corrupt, "is missing"));
}

BOOST_AUTO_TEST_CASE(weights_without_a_config_are_refused_with_the_remedy) {
  ModelFolder folder;
  folder.single(hf_tensors(small_model(), "F32"));
  BOOST_TEST(fails_with(open_weight_source(folder.path), ErrorCode::not_found, "config.json"));
  write_text(folder.path + "/config.json", std::string(limits::hf_config_bytes_max + 1, ' '));
  BOOST_TEST(fails_with(open_weight_source(folder.path), ErrorCode::corrupt, "a config.json has at most"));
}

BOOST_AUTO_TEST_CASE(the_model_is_named_after_its_file_or_its_folder) {
  const ForeignModel model = small_model();
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "Fable");
  write_text(folder.file("Fable/config.json"), hf_config(model.shape).dump());
  write_text(folder.file("Fable/model.safetensors"), safetensors_bytes(hf_tensors(model, "F32")));
  write_text(folder.file("fox.v2.bin"), llama2c_bytes(model));
  const auto name_of = [&](const std::string& source, const std::string& name = {}) {
    ImportOptions options;
    options.name = name;
    BOOST_REQUIRE(import_model(folder.file(source), folder.file("out.h5"), options));
    const auto checkpoint = Checkpoint::open(*open_source(folder.file("out.h5")));
    BOOST_REQUIRE(checkpoint);
    return (*checkpoint)->manifest().name;
  };
  BOOST_TEST(name_of("Fable") == "Fable");
  BOOST_TEST(name_of("Fable/") == "Fable");
  BOOST_TEST(name_of("Fable/model.safetensors") == "Fable");
  BOOST_TEST(name_of("fox.v2.bin") == "fox.v2");
  BOOST_TEST(name_of("fox.v2.bin", "given") == "given");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(opening)

BOOST_AUTO_TEST_CASE(files_of_other_formats_are_named) {
  const std::pair<std::string, const char*> cases[] = {{"\x89HDF\r\n\x1a\n........", "HDF5"},
                                                       {"GGUF............", "GGUF"},
                                                       {std::string("PK\x03\x04") + "....", "PyTorch"},
                                                       {"\x80\x02}....", "pickle"}};
  TemporaryFolder folder;
  for (const auto& [bytes, part] : cases) {
    write_text(folder.file("m.bin"), bytes);
    BOOST_TEST(fails_with(open_weight_source(folder.file("m.bin")), ErrorCode::unsupported, part), part);
  }
}

BOOST_AUTO_TEST_CASE(the_content_counts_where_the_ending_says_nothing) {
  const ForeignModel model = small_model();
  ModelFolder folder;
  folder.config(hf_config(model.shape));
  write_text(folder.path + "/weights", safetensors_bytes(hf_tensors(model, "F32")));
  write_text(folder.path + "/other", llama2c_bytes(model));
  check_equal(folder.path + "/weights", model);
  check_equal(folder.path + "/other", model);
}

BOOST_AUTO_TEST_CASE(what_is_no_file_is_refused_at_once) {
  TemporaryFolder folder;
  BOOST_TEST(fails_with(open_weight_source(folder.file("absent.bin")), ErrorCode::not_found, "absent.bin"));
  BOOST_TEST(fails_with(open_weight_source(""), ErrorCode::invalid_argument, "not the name of a file"));
  BOOST_TEST(
      fails_with(open_weight_source(std::string("a\0b", 3)), ErrorCode::invalid_argument, "not the name of a file"));
  BOOST_TEST(fails_with(open_weight_source(folder.path().string()), ErrorCode::not_found, "holds neither"));
  BOOST_REQUIRE(::mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  BOOST_TEST(fails_with(open_weight_source(folder.file("pipe")), ErrorCode::invalid_argument, "not a regular file"));
  write_text(folder.file("empty"), "");
  BOOST_TEST(fails_with(open_weight_source(folder.file("empty")), ErrorCode::corrupt, "empty: has 0 bytes"));
}

BOOST_AUTO_TEST_SUITE_END()
