#include "runtime/importers/export_tokenizer.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/base/base64.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/chat/chat_template.hpp"
#include "runtime/importers/export_model.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/importers/sentencepiece_model.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/importers/tokenizer_json.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/tokenizer.hpp"
#include "runtime/text/tokenizer_blob.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/sanitizers.hpp"
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

/// A model of nothing but zeros around a tokenizer.
std::shared_ptr<const Checkpoint> checkpoint_with(const std::vector<std::byte>& blob, std::size_t vocab_size,
                                                  const TemporaryFolder& folder,
                                                  const std::string& chat_template = {}) {
  ModelShape shape = small_shape();
  shape.vocab_size = static_cast<std::uint32_t>(vocab_size);
  shape.layers = 1;
  FunctionSource source(shape, [&](const std::string& name, std::vector<float>& values) -> Result<void> {
    for (const NamedMatrix& matrix : model_matrices(shape)) {
      if (matrix.name == name) values.assign(std::size_t{matrix.size.rows} * matrix.size.columns, 0.0f);
    }
    return {};
  });
  ImportOptions options;
  options.name = "m";
  const std::string path = folder.file("with.h5");
  const auto written = write_checkpoint(source, path, options, blob, chat_template);
  BOOST_REQUIRE_MESSAGE(written, message_of(written));
  return *Checkpoint::open(*open_source(path));
}

/// A tokenizer in a checkpoint, exported, and what an import of the folder gives.
struct RoundTrip {
  Tokenizer original;
  ExportReport report;
  Tokenizer imported;

  RoundTrip(const TokenizerData& data, const TemporaryFolder& folder)
      : original(make(data)), imported(make(again(folder))) {}

  /// Ids of many texts: of letters at random, and of its own pieces.
  void check(const EncodeOptions& options) const {
    std::uint32_t count = 0;
    const auto below = [&](std::size_t end) { return philox(philox_key(5), {count++, 0, 0, 0})[0] % end; };
    const std::vector<std::string> parts = {" ",
                                            "a",
                                            "b",
                                            "ab",
                                            "  ",
                                            "e",
                                            "The",
                                            "\n",
                                            "12",
                                            "\xC3\xA9",
                                            "\xE4\xB8\xAD",
                                            "'s",
                                            ".",
                                            "\xFF",
                                            "\xF0\x9F\x98\x80",
                                            "ing"};
    for (int i = 0; i < 100; ++i) {
      std::string text;
      for (std::size_t rest = below(20); rest > 0; --rest) {
        text += below(3) == 0 ? original.data().pieces[below(original.vocab_size())] : parts[below(parts.size())];
      }
      if (!options.parse_special) {
        BOOST_TEST_REQUIRE((original.encode(text, options) == imported.encode(text, options)), text);
        continue;
      }
      for (const bool special : {false, true}) {
        EncodeOptions each = options;
        each.parse_special = special;
        BOOST_TEST_REQUIRE((original.encode(text, each) == imported.encode(text, each)), text);
      }
    }
  }
  std::string notices() const {
    std::string all;
    for (const std::string& notice : report.notices) all += notice;
    return all;
  }

 private:
  static Tokenizer make(TokenizerData data) {
    auto tokenizer = Tokenizer::create(std::move(data), "tokenizer");
    BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer), message_of(tokenizer));
    return *std::move(tokenizer);
  }
  TokenizerData again(const TemporaryFolder& folder) {
    const auto checkpoint = checkpoint_with(original.serialize(), original.vocab_size(), folder);
    const auto exported = export_model(*checkpoint, folder.file("out"), {});
    BOOST_TEST_REQUIRE(static_cast<bool>(exported), message_of(exported));
    report = *exported;
    ImportOptions options;
    options.name = "m";
    const auto imported_again = import_model(folder.file("out"), folder.file("again.h5"), options);
    BOOST_TEST_REQUIRE(static_cast<bool>(imported_again), message_of(imported_again));
    const auto blob = (*Checkpoint::open(*open_source(folder.file("again.h5"))))->read_tokenizer();
    BOOST_TEST_REQUIRE(!blob->empty(), notices());
    return *read_tokenizer_blob(*blob, "again.h5");
  }
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

BOOST_AUTO_TEST_CASE(a_tokenizer_without_bos_comes_back_without_one_though_it_has_a_token_of_that_name) {
  auto data = parse_tokenizer_json(marked().dump(), "t.json");
  BOOST_REQUIRE_MESSAGE(data, message_of(data));
  BOOST_TEST(data->bos == 1);
  data->bos = -1;
  const TemporaryFolder folder;
  const RoundTrip trip(*data, folder);
  BOOST_TEST(trip.notices() == "");
  BOOST_TEST(trip.imported.data().bos == -1);
}

BOOST_AUTO_TEST_CASE(several_chat_templates_come_back) {
  const std::string several = join_chat_templates({{"default", "{{ messages }}"}, {"tool_use", "{{ tools }}"}});
  Exported exported(marked());
  exported.checkpoint = checkpoint_with(*exported.checkpoint->read_tokenizer(),
                                        exported.checkpoint->manifest().shape.vocab_size, exported.folder, several);
  std::filesystem::remove_all(exported.out());
  exported.run();
  const json about = json::parse(read_text(exported.out() + "/tokenizer_config.json"));
  BOOST_TEST(about["chat_template"] == json::array({{{"name", "default"}, {"template", "{{ messages }}"}},
                                                    {{"name", "tool_use"}, {"template", "{{ tools }}"}}}));
  BOOST_TEST(exported.import(exported.out())->manifest().chat_template == several);
}

BOOST_AUTO_TEST_CASE(a_kind_that_no_format_has_stays_behind_with_a_notice_and_its_chat_template_goes) {
  Exported exported(marked(), "{{ messages }}");
  std::filesystem::remove_all(exported.out());
  const auto tokenizer = Tokenizer::create(*synthetic_byte_tokenizer(300), "bytes");
  BOOST_REQUIRE(tokenizer);
  exported.checkpoint = checkpoint_with(tokenizer->serialize(), 300, exported.folder, "{{ messages }}");
  exported.run();
  BOOST_REQUIRE(exported.report.notices.size() == 1u);
  BOOST_TEST(exported.report.notices.front().starts_with(
                 "the tokenizer stays behind: a tokenizer of single bytes has no place in a tokenizer.json"),
             exported.report.notices.front());
  BOOST_TEST(!exported.has("tokenizer.json"));
  BOOST_TEST(!exported.has("tokenizer.model"));
  BOOST_TEST(!exported.has("generation_config.json"));
  const json about = json::parse(read_text(exported.out() + "/tokenizer_config.json"));
  BOOST_TEST(about == json({{"chat_template", "{{ messages }}"}}));
}

BOOST_AUTO_TEST_CASE(what_llama2_c_has_becomes_merges_that_give_the_same_ids) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, float>> pieces = tokenizer_pieces(280);
  const std::size_t first = 260;
  for (const char* const piece : {"ab", " a", "abc", "\xC3\xA9", " ab"}) {
    pieces.push_back({piece, -static_cast<float>(pieces.size() - first)});
  }
  write_text(folder.file("tokenizer.bin"), tokenizer_bytes(pieces));
  const auto data = load_tokenizer(folder.file("tokenizer.bin"));
  BOOST_REQUIRE_MESSAGE(data, message_of(data));
  const RoundTrip trip(*data, folder);
  BOOST_REQUIRE(trip.report.notices.size() == 1u);
  BOOST_TEST(trip.report.notices.front().starts_with("the tokenizer gives the same ids, but"));
  BOOST_TEST(std::filesystem::exists(folder.file("out/tokenizer.json")));
  trip.check({.add_bos = true});
}

BOOST_AUTO_TEST_CASE(a_sentencepiece_model_and_what_was_added_beside_it_come_back_byte_for_byte) {
  for (const bool is_unigram : {false, true}) {
    for (const bool has_bytes : {false, true}) {
      SentencePieceModel model;
      model.is_unigram = is_unigram;
      const auto add = [&](const std::string& name, float score, PieceType type) {
        model.names.push_back(name);
        model.scores.push_back(score);
        model.types.push_back(type);
      };
      add("<unk>", 0, PieceType::unknown);
      add("<s>", 0, PieceType::control);
      add("</s>", 0, PieceType::control);
      for (std::size_t value = 0; has_bytes && value < 256; ++value) add(byte_name(value), 0, PieceType::byte);
      const std::string m = mark;
      float score = -1;
      for (const std::string& name : {m, std::string("a"), std::string("b"), m + "a", std::string("ab"), m + "ab"}) {
        add(name, score, PieceType::normal);
        score -= 1.25f;
      }
      add("<tool>", 0, PieceType::user_defined);
      add("gone", -3, PieceType::unused);
      model.charsmap = is_unigram ? std::string("\4\0\0\0\0\0\0\0x\0", 10) : "";
      model.remove_extra_whitespaces = is_unigram;
      auto data = tokenizer_from_sentencepiece(std::move(model), "m.model");
      BOOST_REQUIRE_MESSAGE(data, message_of(data));
      const auto id = static_cast<TokenId>(data->pieces.size());
      pad_vocabulary(*data, data->pieces.size() + 3);
      data->pieces[static_cast<std::size_t>(id)] = "<|im_start|>";
      data->added.push_back({id, "<|im_start|>", true, false, false, false, false});
      data->unreachable[static_cast<std::size_t>(id)] = true;
      data->eos = {2, id};
      const TemporaryFolder folder;
      const RoundTrip trip(*data, folder);
      BOOST_TEST(trip.notices() == "");
      BOOST_TEST(std::filesystem::exists(folder.file("out/tokenizer.model")));
      BOOST_TEST((trip.imported.serialize() == trip.original.serialize()));
      const json about = json::parse(read_text(folder.file("out/tokenizer_config.json")));
      BOOST_TEST(about["tokenizer_class"] == "LlamaTokenizer");
      BOOST_TEST(about["added_tokens_decoder"].size() == 1u);
      trip.check({.add_bos = true, .add_eos = true, .parse_special = true});
    }
  }
}

BOOST_AUTO_TEST_CASE(base64_is_the_inverse_of_its_reader) {
  std::string bytes;
  for (int i = 0; i < 100; ++i) {
    BOOST_TEST((decode_base64(encode_base64(bytes)) == bytes));
    bytes += static_cast<char>(i * 37);
  }
  BOOST_TEST(encode_base64("Ma") == "TWE=");
}

BOOST_AUTO_TEST_CASE(published_vocabularies_come_back, *boost::unit_test::precondition(NotSanitized()) *
                                                           boost::unit_test::precondition(vocabularies_present)) {
  constexpr std::pair<const char*, const char*> files[] = {
      {"llama2_tokenizer.json", "json"},    {"roberta-base_tokenizer.json", "json"},
      {"ggml-vocab-gpt-2.gguf", "json"},    {"ggml-vocab-bert-bge.gguf", "json"},
      {"llama2_tokenizer.model", "model"},  {"mistral_mistral_instruct_tokenizer_240323.model.v3", "model"},
      {"test_model.model", "model"},        {"ggml-vocab-baichuan.gguf", "model"},
      {"llama3_tokenizer.model", "merges"}, {"qwen.tiktoken", "merges"}};
  for (const auto& [name, form] : files) {
    BOOST_TEST_CONTEXT(name) {
      const auto data = load_tokenizer((shared_folder() / "data/tokenizers" / name).string());
      BOOST_REQUIRE_MESSAGE(data, message_of(data));
      const TemporaryFolder folder;
      const RoundTrip trip(*data, folder);
      BOOST_TEST(trip.notices() == "");
      const bool is_model = std::string_view(form) == "model";
      BOOST_TEST(std::filesystem::exists(folder.file("out/tokenizer.model")) == is_model);
      BOOST_TEST(std::filesystem::exists(folder.file("out/tokenizer.json")) != is_model);
      if (std::string_view(form) != "merges") {
        BOOST_TEST((trip.imported.serialize() == trip.original.serialize()));
      }
      trip.check({.add_bos = true, .add_eos = true, .parse_special = true});
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
