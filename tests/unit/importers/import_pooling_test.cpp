#include "runtime/importers/import_pooling.hpp"

#include <filesystem>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

json module(const char* type, const char* path) {
  return {{"idx", 0}, {"name", "0"}, {"path", path}, {"type", std::string("sentence_transformers.models.") + type}};
}

json usual_modules() {
  return {module("Transformer", ""), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize")};
}

/// A Hugging Face folder of a small model with what Sentence Transformers adds.
struct ModelFolder {
  TemporaryFolder folder;
  ModelFolder() {
    const ForeignModel model = small_model();
    write_text(folder.file("config.json"), hf_config(model.shape).dump());
    write_text(folder.file("model.safetensors"), safetensors_bytes(hf_tensors(model, "F32")));
    std::filesystem::create_directory(folder.file("1_Pooling"));
    write_text(folder.file("modules.json"), usual_modules().dump());
    write_text(folder.file("1_Pooling/config.json"),
               json{{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", false}}.dump());
  }
  ImportReport import(const std::string& source, const ImportOptions& options = {}) const {
    auto report = import_model(source, folder.file("m.h5"), options);
    BOOST_TEST_REQUIRE(static_cast<bool>(report), message_of(report));
    return *report;
  }
  std::optional<PoolingPlan> imported() const {
    auto source = open_source(folder.file("m.h5"));
    BOOST_TEST_REQUIRE(static_cast<bool>(source), message_of(source));
    const auto checkpoint = Checkpoint::open(*source);
    BOOST_TEST_REQUIRE(static_cast<bool>(checkpoint), message_of(checkpoint));
    return (*checkpoint)->manifest().pooling;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(pooling_of_folders)

BOOST_AUTO_TEST_CASE(what_a_folder_says_is_in_the_checkpoint) {
  const ModelFolder model;
  write_text(model.folder.file("sentence_bert_config.json"), R"({"max_seq_length": 12, "do_lower_case": false})");
  for (const std::string& source : {model.folder.path().string(), model.folder.file("model.safetensors")}) {
    BOOST_TEST(model.import(source).notices.empty());
    BOOST_TEST((model.imported() == PoolingPlan{Pooling::cls, true, 12}));
  }
  ImportOptions options;
  options.pooling = PoolingPlan{Pooling::last, false, 0};
  model.import(model.folder.path().string(), options);
  BOOST_TEST((model.imported() == options.pooling));
  std::filesystem::remove(model.folder.file("modules.json"));
  BOOST_TEST(model.import(model.folder.path().string()).notices.empty());
  BOOST_TEST(!model.imported().has_value());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_used_is_left_out_with_a_notice) {
  const ModelFolder model;
  const auto notice = [&] {
    const ImportReport report = model.import(model.folder.path().string());
    BOOST_TEST(!model.imported().has_value());
    BOOST_TEST_REQUIRE(report.notices.size() == 1u);
    return report.notices[0];
  };
  write_text(model.folder.file("sentence_bert_config.json"), R"({"max_seq_length": 4000000000})");
  BOOST_TEST(notice().find("tokens_max") != std::string::npos);
  write_text(model.folder.file("1_Pooling/config.json"), R"({"pooling_mode_max_tokens": true})");
  BOOST_TEST(notice().find("'max_tokens'") != std::string::npos);
  std::filesystem::remove(model.folder.file("1_Pooling/config.json"));
  BOOST_TEST(notice().find("1_Pooling/config.json") != std::string::npos);
  write_text(model.folder.file("modules.json"), "[");
  BOOST_TEST(notice().find("modules.json") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_list_of_modules_is_a_model_its_pooling_and_perhaps_a_norm) {
  const auto parse = [](const json& modules) { return parse_pooling_modules(modules.dump(), "modules.json"); };
  const auto usual = parse(usual_modules());
  BOOST_REQUIRE_MESSAGE(usual, message_of(usual));
  BOOST_TEST((usual->folder == "1_Pooling" && usual->normalised));
  json newer = {module("Transformer", ""), module("Pooling", "pool")};
  newer[1]["type"] = "sentence_transformers.sentence_transformer.modules.pooling.Pooling";
  const auto plain = parse(newer);
  BOOST_REQUIRE_MESSAGE(plain, message_of(plain));
  BOOST_TEST((plain->folder == "pool" && !plain->normalised));
  json with_dense = usual_modules();
  with_dense.push_back(module("Dense", "3_Dense"));
  BOOST_TEST(fails_with(parse(with_dense), ErrorCode::unsupported, "models.Dense"));
  BOOST_TEST(fails_with(parse({module("Normalize", ""), module("Pooling", "p")}), ErrorCode::unsupported, "Normalize"));
  BOOST_TEST(fails_with(parse(json::array({module("Transformer", "")})), ErrorCode::unsupported, "no module Pooling"));
  for (const char* const path : {"..", "", "../other", "/etc", "a\\b"}) {
    BOOST_TEST(fails_with(parse(json::array({module("Pooling", path)})), ErrorCode::corrupt, "path of the pooling"));
  }
  BOOST_TEST(fails_with(parse(json::object()), ErrorCode::corrupt, "no list"));
  BOOST_TEST(fails_with(parse(json::array({1})), ErrorCode::corrupt, "no object"));
  BOOST_TEST(fails_with(parse(json(std::vector<json>(17, module("Transformer", "")))), ErrorCode::corrupt, "no list"));
}

BOOST_AUTO_TEST_CASE(one_pooling_is_chosen) {
  const auto parse = [](const json& config) { return parse_pooling_config(config.dump(), "config.json"); };
  const std::pair<const char*, Pooling> modes[] = {{"pooling_mode_mean_tokens", Pooling::mean},
                                                   {"pooling_mode_cls_token", Pooling::cls},
                                                   {"pooling_mode_lasttoken", Pooling::last}};
  for (const auto& [key, pooling] : modes) {
    const auto parsed = parse({{key, true}, {"pooling_mode_max_tokens", false}, {"word_embedding_dimension", 32}});
    BOOST_REQUIRE_MESSAGE(parsed, message_of(parsed));
    BOOST_TEST((*parsed == pooling));
  }
  const auto newer = parse({{"pooling_mode", "cls"}});
  BOOST_REQUIRE_MESSAGE(newer, message_of(newer));
  BOOST_TEST((*newer == Pooling::cls));
  BOOST_TEST(fails_with(parse(json::object()), ErrorCode::unsupported, "the pooling is none"));
  BOOST_TEST(fails_with(parse({{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", true}}),
                        ErrorCode::unsupported, "'cls_token' and 'mean_tokens'"));
  BOOST_TEST(fails_with(parse({{"pooling_mode", "weightedmean"}}), ErrorCode::unsupported, "weightedmean"));
  BOOST_TEST(fails_with(parse({{"pooling_mode", 1}}), ErrorCode::corrupt, "pooling_mode"));
  BOOST_TEST(fails_with(parse(json::array()), ErrorCode::corrupt, "no JSON object"));
}

BOOST_AUTO_TEST_SUITE_END()
