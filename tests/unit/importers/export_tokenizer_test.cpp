#include "runtime/importers/export_tokenizer.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/importers/base64.hpp"
#include "runtime/importers/export_model.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/importers/tokenizer_json_writer.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

constexpr const char* mark = "\xE2\x96\x81";

json special(int id, const char* text) {
  return {{"id", id},        {"content", text}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"special", true}, {"normalized", false}};
}

/// GPT-2's kind, with a token of its own in the vocabulary and one behind it.
json byte_level() {
  json added = json::array({special(0, "<|endoftext|>")});
  added.push_back({{"id", 9}, {"content", "<tool>"}, {"lstrip", true}, {"special", false}, {"normalized", false}});
  return {{"added_tokens", added},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab",
             {{"<|endoftext|>", 0}, {"a", 1}, {"b", 2}, {"\u0120", 3}, {"ab", 4}, {"\u0120a", 5}, {"\u0120ab", 6}}},
            {"merges", {"a b", "\u0120 a", "\u0120a b"}}}}};
}

/// Qwen's and Llama 3's kind: a pattern of its own, words that stay whole, something put before a text.
json patterned() {
  json root = byte_level();
  root["normalizer"] = {{"type", "NFC"}};
  root["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", R"(\p{L}+| ?[^\s]+|\s+)"}}}, {"behavior", "Isolated"}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  root["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", "<|endoftext|>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}};
  root["model"]["ignore_merges"] = true;
  return root;
}

/// Llama 2's kind.
json marked() {
  const std::string m = mark;
  return {{"added_tokens", {special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "Prepend"}, {"prepend", m}},
              {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", m}}}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", m}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"vocab", {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}, {m, 3}, {"a", 4}, {"b", 5}, {m + "a", 6}, {m + "ab", 7}}},
            {"merges", {m + " a", m + "a b"}}}}};
}

json unigram(const char* scheme) {
  const std::string m = mark;
  json vocabulary = json::array();
  for (const auto& [piece, score] : {std::pair<std::string, double>{"<pad>", 0.0},
                                     {"</s>", 0.0},
                                     {"<unk>", 0.0},
                                     {m, -2.5},
                                     {"a", -3.1},
                                     {m + "ab", -1.7}}) {
    vocabulary.push_back(json::array({piece, score}));
  }
  return {{"added_tokens", {special(0, "<pad>"), special(1, "</s>"), special(2, "<unk>")}},
          {"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", ""}}},
          {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", m}, {"prepend_scheme", scheme}}},
          {"decoder", {{"type", "Metaspace"}, {"replacement", m}, {"prepend_scheme", scheme}}},
          {"model", {{"type", "Unigram"}, {"unk_id", 2}, {"vocab", vocabulary}}}};
}

json word_piece() {
  return {{"added_tokens", {special(0, "[UNK]"), special(1, "[CLS]"), special(2, "[SEP]")}},
          {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", {{"type", "BertProcessing"}, {"cls", {"[CLS]", 1}}, {"sep", {"[SEP]", 2}}}},
          {"decoder", {{"type", "WordPiece"}, {"cleanup", true}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"max_input_chars_per_word", 100},
            {"vocab", {{"[UNK]", 0}, {"[CLS]", 1}, {"[SEP]", 2}, {"a", 3}, {"##b", 4}, {"ab", 5}}}}}};
}

/// A folder with a model and a tokenizer, its checkpoint, and what became of an export.
struct Exported {
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  ExportReport report;

  explicit Exported(const json& tokenizer, const std::string& chat_template = {}) {
    const ForeignModel model = small_model();
    std::filesystem::create_directory(folder.file("source"));
    json config = hf_config(model.shape);
    config["eos_token_id"] = {2, 1};
    write_text(folder.file("source/config.json"), config.dump());
    write_text(folder.file("source/model.safetensors"), safetensors_bytes(hf_tensors(model, "F32")));
    write_text(folder.file("source/tokenizer.json"), tokenizer.dump());
    if (!chat_template.empty()) write_text(folder.file("source/chat_template.jinja"), chat_template);
    checkpoint = import(folder.file("source"));
    run();
  }

  void run() {
    const auto result = export_model(*checkpoint, out(), {});
    BOOST_REQUIRE_MESSAGE(result, message_of(result));
    report = *result;
  }

  std::shared_ptr<const Checkpoint> import(const std::string& source, const std::string& tokenizer_path = {}) const {
    ImportOptions options;
    options.name = "m";
    options.tokenizer_path = tokenizer_path;
    const auto imported = import_model(source, folder.file("m.h5"), options);
    BOOST_REQUIRE_MESSAGE(imported, message_of(imported));
    return *Checkpoint::open(*open_source(folder.file("m.h5")));
  }
  std::string out() const { return folder.file("out"); }
  bool has(const char* name) const { return std::filesystem::exists(out() + "/" + name); }
};

const SharedPresent vocabularies_present("data/tokenizers");

}  // namespace

BOOST_AUTO_TEST_SUITE(exported_tokenizers)

BOOST_AUTO_TEST_CASE(every_kind_that_the_format_has_comes_back_byte_for_byte) {
  for (const json& tokenizer :
       {byte_level(), patterned(), marked(), unigram("always"), unigram("first"), unigram("never"), word_piece()}) {
    const Exported exported(tokenizer, "{{ messages[0]['content'] }}");
    const std::string model = tokenizer["model"]["type"].get<std::string>();
    BOOST_TEST_CONTEXT(model) {
      BOOST_REQUIRE(!exported.checkpoint->read_tokenizer()->empty());
      std::string notices;
      for (const std::string& notice : exported.report.notices) notices += notice;
      BOOST_TEST(notices == "");
      BOOST_TEST(exported.has("tokenizer.json"));
      BOOST_TEST(exported.import(exported.out())->content_id() == exported.checkpoint->content_id());
    }
  }
}

BOOST_AUTO_TEST_CASE(special_ids_and_the_chat_template_stand_where_others_look_for_them) {
  const Exported exported(marked(), "{{ messages }}");
  const json about = json::parse(read_text(exported.out() + "/tokenizer_config.json"));
  BOOST_TEST(about["chat_template"] == "{{ messages }}");
  BOOST_TEST(about["bos_token"] == "<s>");
  BOOST_TEST(about["eos_token"] == "</s>");
  for (const char* const file : {"/config.json", "/generation_config.json"}) {
    const json config = json::parse(read_text(exported.out() + file));
    BOOST_TEST(config["bos_token_id"] == 1);
    BOOST_TEST(config["eos_token_id"] == json({2, 1}));
  }
}

BOOST_AUTO_TEST_CASE(a_kind_that_the_format_has_not_stays_behind_with_a_notice_and_its_chat_template_goes) {
  Exported exported(marked(), "{{ messages }}");
  std::filesystem::remove_all(exported.out());
  std::filesystem::remove(exported.folder.file("source/tokenizer.json"));
  std::vector<std::pair<std::string, float>> pieces = tokenizer_pieces(259);
  pieces.resize(20);
  write_text(exported.folder.file("tokenizer.bin"), tokenizer_bytes(pieces));
  exported.checkpoint = exported.import(exported.folder.file("source"), exported.folder.file("tokenizer.bin"));
  exported.run();
  BOOST_REQUIRE(exported.report.notices.size() == 1u);
  BOOST_TEST(exported.report.notices.front().starts_with("the tokenizer stays behind: a BPE of scores"),
             exported.report.notices.front());
  BOOST_TEST(!exported.has("tokenizer.json"));
  BOOST_TEST(!exported.has("generation_config.json"));
  const json about = json::parse(read_text(exported.out() + "/tokenizer_config.json"));
  BOOST_TEST(about == json({{"chat_template", "{{ messages }}"}}));
}

BOOST_AUTO_TEST_CASE(base64_is_the_inverse_of_its_reader) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    BOOST_TEST((decode_base64(encode_base64(bytes)) == bytes));
    bytes += static_cast<char>(i * 37);
  }
  BOOST_TEST(encode_base64("Ma") == "TWE=");
}

BOOST_AUTO_TEST_CASE(published_vocabularies_come_back, *boost::unit_test::precondition(vocabularies_present)) {
  const TemporaryFolder folder;
  for (const char* const name : {"gpt_neox_20B_tokenizer.json", "llama2_tokenizer.json", "phi-2_tokenizer.json",
                                 "roberta-base_tokenizer.json", "ggml-vocab-gpt-2.gguf"}) {
    BOOST_TEST_CONTEXT(name) {
      const auto original = load_tokenizer((shared_folder() / "data/tokenizers" / name).string());
      BOOST_REQUIRE_MESSAGE(original, message_of(original));
      const auto text = write_tokenizer_json(*original);
      BOOST_REQUIRE_MESSAGE(text, message_of(text));
      write_text(folder.file("tokenizer.json"), *text);
      const auto again = load_tokenizer(folder.file("tokenizer.json"));
      BOOST_REQUIRE_MESSAGE(again, message_of(again));
      const ModelIds ids{original->bos, original->eos};
      const auto size = static_cast<std::uint32_t>(original->pieces.size());
      const auto a = pack_tokenizer(*original, ids, size, "a"), b = pack_tokenizer(*again, ids, size, "b");
      BOOST_REQUIRE_MESSAGE(a && b, message_of(a) + message_of(b));
      BOOST_TEST((*a == *b));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
