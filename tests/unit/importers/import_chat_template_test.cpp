#include "runtime/importers/import_chat_template.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/chat/chat_template.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

/// A Hugging Face folder of a small model.
struct ModelFolder {
  TemporaryFolder folder;
  ModelFolder() {
    const ForeignModel model = small_model();
    write_text(folder.file("config.json"), hf_config(model.shape).dump());
    write_text(folder.file("model.safetensors"), safetensors_bytes(hf_tensors(model, "F32")));
  }
  Result<ImportReport> import(const std::string& source, const std::string& chat_template = {}) const {
    ImportOptions options;
    options.chat_template_path = chat_template;
    return import_model(source, folder.file("m.h5"), options);
  }
  std::string imported() const {
    auto source = open_source(folder.file("m.h5"));
    BOOST_TEST_REQUIRE(static_cast<bool>(source), message_of(source));
    const auto checkpoint = Checkpoint::open(*source);
    BOOST_TEST_REQUIRE(static_cast<bool>(checkpoint), message_of(checkpoint));
    return (*checkpoint)->manifest().chat_template;
  }
  /// Imports the folder; its template, and no notice.
  std::string imported_folder() const {
    const auto report = import(folder.path().string());
    BOOST_TEST_REQUIRE(static_cast<bool>(report), message_of(report));
    BOOST_TEST(report->notices.empty());
    return imported();
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(chat_templates)

BOOST_AUTO_TEST_CASE(a_folder_without_a_template_has_none) {
  const ModelFolder model;
  BOOST_TEST(model.imported_folder().empty());
  write_text(model.folder.file("tokenizer_config.json"), R"({"bos_token": "<s>"})");
  BOOST_TEST(model.imported_folder().empty());
}

BOOST_AUTO_TEST_CASE(the_file_of_its_own_counts_before_the_configurations) {
  const ModelFolder model;
  write_text(model.folder.file("tokenizer_config.json"), json{{"chat_template", "{{ 1 }}"}}.dump());
  BOOST_TEST(model.imported_folder() == "{{ 1 }}");
  write_text(model.folder.file("chat_template.json"), json{{"chat_template", "{{ 2 }}"}}.dump());
  BOOST_TEST(model.imported_folder() == "{{ 2 }}");
  write_text(model.folder.file("chat_template.jinja"), "{{ 3 }}\n");
  BOOST_TEST(model.imported_folder() == "{{ 3 }}\n");
  // A single file finds what lies beside it.
  BOOST_TEST_REQUIRE(static_cast<bool>(model.import(model.folder.file("model.safetensors"))));
  BOOST_TEST(model.imported() == "{{ 3 }}\n");
}

BOOST_AUTO_TEST_CASE(several_named_templates_are_kept) {
  const ModelFolder model;
  const auto configure = [&](const json& list) {
    write_text(model.folder.file("tokenizer_config.json"), json{{"chat_template", list}}.dump());
  };
  configure({{{"name", "tool_use"}, {"template", "t"}}, {{"name", "default"}, {"template", "d"}}});
  const std::vector<NamedTemplate> both = {{"tool_use", "t"}, {"default", "d"}};
  BOOST_TEST(model.imported_folder() == join_chat_templates(both));
  // A list of the default alone is the plain text; of two of one name the later counts.
  configure(json::array({{{"name", "default"}, {"template", "e"}}}));
  BOOST_TEST(model.imported_folder() == "e");
  configure({{{"name", "default"}, {"template", "e"}}, {{"name", "default"}, {"template", "f"}}});
  BOOST_TEST(model.imported_folder() == "f");
}

BOOST_AUTO_TEST_CASE(a_folder_of_further_templates_is_read) {
  const ModelFolder model;
  write_text(model.folder.file("chat_template.jinja"), "main");
  std::filesystem::create_directory(model.folder.file("additional_chat_templates"));
  BOOST_TEST(model.imported_folder() == "main");
  for (const char* const name : {"tool_use.jinja", "rag.jinja", "README.md"}) {
    write_text(model.folder.file(std::string("additional_chat_templates/") + name), std::string("of ") + name);
  }
  const std::vector<NamedTemplate> all = {
      {"default", "main"}, {"rag", "of rag.jinja"}, {"tool_use", "of tool_use.jinja"}};
  BOOST_TEST(model.imported_folder() == join_chat_templates(all));
  write_text(model.folder.file("additional_chat_templates/rag.jinja"), "{% if %}");
  const auto report = model.import(model.folder.path().string());
  BOOST_TEST_REQUIRE(static_cast<bool>(report), message_of(report));
  BOOST_TEST_REQUIRE(report->notices.size() == 1u);
  BOOST_TEST(report->notices[0].find("'rag', line 1") != std::string::npos, report->notices[0]);
}

BOOST_AUTO_TEST_CASE(a_template_that_cannot_be_used_is_left_out_with_a_notice) {
  const ModelFolder model;
  for (const std::string& config :
       {json{{"chat_template", "{% if %}"}}.dump(), json{{"chat_template", 5}}.dump(), std::string("{"),
        json{{"chat_template", {{{"name", "x"}, {"template", "t"}}, {{"name", "y"}, {"template", "t"}}}}}.dump(),
        json{{"chat_template", json::array({{{"name", "default"}}})}}.dump(),
        json{{"chat_template", std::string(2 << 20, 'x')}}.dump()}) {
    write_text(model.folder.file("tokenizer_config.json"), config);
    const auto report = model.import(model.folder.path().string());
    BOOST_TEST_REQUIRE(static_cast<bool>(report), message_of(report));
    BOOST_TEST_REQUIRE(report->notices.size() == 1u);
    BOOST_TEST(report->notices[0].find("tokenizer_config.json") != std::string::npos, report->notices[0]);
    BOOST_TEST(report->notices[0].find("--chat-template") != std::string::npos);
    BOOST_TEST(model.imported().empty());
  }
}

BOOST_AUTO_TEST_CASE(the_users_file_counts_and_must_be_a_template) {
  const ModelFolder model;
  write_text(model.folder.file("tokenizer_config.json"), json{{"chat_template", "{{ 1 }}"}}.dump());
  const std::string path = model.folder.file("mine.jinja"), source = model.folder.path().string();
  write_text(path, "{{ mine }}");
  BOOST_TEST_REQUIRE(static_cast<bool>(model.import(source, path)));
  BOOST_TEST(model.imported() == "{{ mine }}");
  write_text(path, "a\n{{ mine");
  BOOST_TEST(fails_with(model.import(source, path), ErrorCode::corrupt, "mine.jinja: chat template, line 2"));
  write_text(path, "");
  BOOST_TEST(fails_with(model.import(source, path), ErrorCode::corrupt, "is empty"));
  BOOST_TEST(fails_with(model.import(source, model.folder.file("absent")), ErrorCode::not_found, "absent"));
}

BOOST_AUTO_TEST_SUITE_END()
