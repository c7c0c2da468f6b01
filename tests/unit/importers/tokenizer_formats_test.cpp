// Small tokenizers of every format, written here; and what is wrong with bad ones.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/base/base64.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/importers/sentencepiece_model.hpp"
#include "runtime/importers/splitter_presets.hpp"
#include "runtime/importers/tiktoken_ranks.hpp"
#include "runtime/importers/tokenizer_json.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/splitter.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;
using namespace std::string_literals;
using nlohmann::json;
using Ids = std::vector<TokenId>;

#define CHECK_IDS(actual, ...) BOOST_TEST((actual) == (Ids __VA_ARGS__), boost::test_tools::per_element())

Tokenizer make(Result<TokenizerData> data) {
  BOOST_TEST_REQUIRE(static_cast<bool>(data), data.error().message);
  auto tokenizer = Tokenizer::create(*std::move(data), "t");
  BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer), tokenizer.error().message);
  auto again = Tokenizer::parse(tokenizer->serialize(), "t");
  BOOST_TEST_REQUIRE(static_cast<bool>(again), again.error().message);
  BOOST_TEST((again->serialize() == tokenizer->serialize()));
  return *std::move(again);
}

template <typename T>
void check_refused(const Result<T>& result, const std::string& cause, ErrorCode code = ErrorCode::corrupt) {
  BOOST_TEST_REQUIRE(!result, "accepted, although " << cause);
  BOOST_TEST((result.error().code == code), result.error().message);
  BOOST_TEST(result.error().message.find(cause) != std::string::npos, result.error().message);
}

// tokenizer.json -----------------------------------------------------------------------------------------------------

json byte_level_json() {
  return {{"model",
           {{"type", "BPE"},
            {"vocab", {{"a", 0}, {"b", 1}, {"\u0120", 2}, {"ab", 3}, {"\u0120ab", 4}, {"c", 5}, {"<s>", 6}}},
            {"merges", {"a b", "\u0120 ab"}}}},
          {"added_tokens",
           {{{"id", 6}, {"content", "<s>"}, {"special", true}, {"normalized", false}},
            {{"id", 7}, {"content", "  "}, {"special", false}, {"normalized", false}}}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

Result<TokenizerData> from_json(const json& root) { return parse_tokenizer_json(root.dump(), "t.json"); }

/// byte_level_json() with one value changed.
json with(const std::string& pointer, const json& value) {
  json root = byte_level_json();
  root[json::json_pointer(pointer)] = value;
  return root;
}

BOOST_AUTO_TEST_SUITE(tokenizer_formats)

BOOST_AUTO_TEST_CASE(a_byte_level_json_is_read_with_its_frame_and_added_tokens) {
  const Tokenizer tokenizer = make(from_json(byte_level_json()));
  CHECK_IDS(tokenizer.encode("ab ab  c"), {6, 3, 4, 7, 5});
  CHECK_IDS(tokenizer.encode("<s>b", {.add_bos = false, .parse_special = true}), {6, 1});
  BOOST_TEST(tokenizer.decode(Ids{6, 4, 7, 5}) == " ab  c");
  BOOST_TEST(tokenizer.data().bos == 6);
}

BOOST_AUTO_TEST_CASE(merges_may_be_lists_of_two) {
  const Tokenizer tokenizer =
      make(from_json(with("/model/merges", json::array({json::array({"a", "b"}), json::array({"\u0120", "ab"})}))));
  CHECK_IDS(tokenizer.encode("ab ab"), {6, 3, 4});
}

BOOST_AUTO_TEST_CASE(a_json_with_space_marks_and_byte_fallback_is_read) {
  json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int value = 0; value < 256; ++value) vocab[byte_name(static_cast<std::size_t>(value))] = 3 + value;
  vocab["\u2581"] = 259;
  vocab["a"] = 260;
  vocab["\u2581a"] = 261;
  const json root = {
      {"model",
       {{"type", "BPE"},
        {"vocab", vocab},
        {"merges", json::array({"\u2581 a"})},
        {"byte_fallback", true},
        {"fuse_unk", true},
        {"unk_token", "<unk>"}}},
      {"added_tokens",
       {{{"id", 1}, {"content", "<s>"}, {"special", true}}, {{"id", 2}, {"content", "</s>"}, {"special", true}}}},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "\u2581"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}}};
  const Tokenizer tokenizer = make(from_json(root));
  CHECK_IDS(tokenizer.encode("a a\u2581a\n"), {261, 261, 261, 3 + '\n'});
  BOOST_TEST(tokenizer.decode(tokenizer.encode("a a\xFF")) == "a a\xFF");
  CHECK_IDS(Ids(tokenizer.data().eos), {2});
}

BOOST_AUTO_TEST_CASE(a_unigram_json_is_read) {
  const json root = {{"model",
                      {{"type", "Unigram"},
                       {"unk_id", 0},
                       {"vocab", json::array({json::array({"<unk>", 0.0}), json::array({"\u2581", -3.0}),
                                              json::array({"a", -2.0}), json::array({"\u2581a", -1.0})})}}},
                     {"added_tokens", json::array({{{"id", 0}, {"content", "<unk>"}, {"special", true}}})},
                     {"pre_tokenizer",
                      {{"type", "Sequence"},
                       {"pretokenizers",
                        {{{"type", "WhitespaceSplit"}},
                         {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"add_prefix_space", true}}}}}},
                     {"decoder", {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"add_prefix_space", true}}}};
  const Tokenizer tokenizer = make(from_json(root));
  CHECK_IDS(tokenizer.encode(" a  aa\n"), {3, 3, 2});
  BOOST_TEST(tokenizer.decode(Ids{3, 3, 2}) == "a aa");
}

BOOST_AUTO_TEST_CASE(a_word_piece_json_is_read) {
  const json root = {{"model",
                      {{"type", "WordPiece"},
                       {"unk_token", "[UNK]"},
                       {"max_input_chars_per_word", 100},
                       {"vocab", {{"[UNK]", 0}, {"[CLS]", 1}, {"[SEP]", 2}, {"un", 3}, {"##able", 4}, {"!", 5}}}}},
                     {"added_tokens",
                      {{{"id", 0}, {"content", "[UNK]"}, {"special", true}},
                       {{"id", 1}, {"content", "[CLS]"}, {"special", true}},
                       {{"id", 2}, {"content", "[SEP]"}, {"special", true}}}},
                     {"normalizer", {{"type", "BertNormalizer"}}},
                     {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                     {"post_processor", {{"type", "BertProcessing"}, {"sep", {"[SEP]", 2}}, {"cls", {"[CLS]", 1}}}},
                     {"decoder", {{"type", "WordPiece"}, {"cleanup", true}}}};
  const Tokenizer tokenizer = make(from_json(root));
  CHECK_IDS(tokenizer.encode("\u00DCnable!", {.add_bos = true, .add_eos = true}), {1, 3, 4, 5, 2});
  BOOST_TEST(tokenizer.decode(Ids{1, 3, 4, 5, 2}) == "unable!");
}

BOOST_AUTO_TEST_CASE(what_a_json_says_of_splitting_is_done) {
  const auto words = [](const json& pre_tokenizer) {
    const Tokenizer tokenizer = make(from_json(with("/pre_tokenizer", pre_tokenizer)));
    return tokenizer.data().splitter;
  };
  BOOST_TEST(words({{"type", "Split"}, {"pattern", {{"Regex", "\\s+$"}}}, {"behavior", "Isolated"}, {"invert", false}})
                 .front()
                 .pattern == "(?<!\\s)\\s++\\z");
  BOOST_TEST(words({{"type", "Split"}, {"pattern", {{"String", "a.b"}}}, {"behavior", "Removed"}}).front().pattern ==
             "a\\.b");
  BOOST_TEST(
      (words({{"type", "Punctuation"}, {"behavior", "Contiguous"}}).front().behavior == SplitBehavior::contiguous));
  BOOST_TEST(words({{"type", "Digits"}, {"individual_digits", true}}).front().pattern == "\\p{N}");
  BOOST_TEST(words({{"type", "Whitespace"}}).front().inverted);
}

BOOST_AUTO_TEST_CASE(a_json_that_makes_no_sense_is_refused_with_the_cause) {
  check_refused(parse_tokenizer_json("{", "t.json"), "t.json: ");
  check_refused(parse_tokenizer_json("[]", "t.json"), "has no 'model'");
  check_refused(from_json(with("/model/merges/0", "a x")),
                "model.merges[0] joins pieces that are not in the vocabulary");
  check_refused(from_json(with("/model/merges/0", "b a")), "model.merges[0] gives what is not in the vocabulary");
  check_refused(from_json(with("/model/merges/0", "ab")), "is not two pieces");
  check_refused(from_json(with("/model/merges/0", {{"a", 1}})), "is not two pieces");
  check_refused(from_json(with("/model/vocab/a", 1)), "gives the id 1 twice");
  check_refused(from_json(with("/model/vocab/a", 4'000'000'000u)), "absurd id");
  check_refused(from_json(with("/model/vocab/a", -1)), "absurd id");
  check_refused(from_json(with("/model/vocab/a", "x")), "absurd id");
  check_refused(from_json(with("/model/vocab", json::array())), "no list of pieces and ids");
  check_refused(from_json(with("/added_tokens/0/id", 1u << 30)), "added_tokens[0].id is no number");
  check_refused(from_json(with("/post_processor/single/0/SpecialToken/id", "<x>")), "not among the added tokens");
  check_refused(from_json(with("/pre_tokenizer/add_prefix_space", 3)), "neither true nor false");
  const auto unsupported = [](const json& root, const std::string& cause) {
    check_refused(from_json(root), cause, ErrorCode::unsupported);
  };
  unsupported(with("/model/type", "WordLevel"), "WordLevel");
  unsupported(with("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  unsupported(with("/pre_tokenizer", {{"type", "UnicodeScripts"}}), "UnicodeScripts");
  unsupported(with("/normalizer", {{"type", "Magic"}}), "Magic");
  unsupported(with("/decoder", {{"type", "CTC"}}), "CTC");
  const auto hostile = from_json(
      with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}}));
  BOOST_TEST_REQUIRE(static_cast<bool>(hostile), hostile.error().message);
  check_refused(Tokenizer::create(*hostile, "t.json"), "too many steps");
}

BOOST_AUTO_TEST_CASE(deep_json_is_refused) {
  std::string steps;
  for (int depth = 0; depth < 100'000; ++depth) steps += R"({"type":"Sequence","normalizers":[)";
  check_refused(parse_tokenizer_json(R"({"model":{},"normalizer":)" + steps, "t.json"), "nested deeper");
  json nested = {{"type", "NFC"}};
  for (int depth = 0; depth < 6; ++depth) nested = {{"type", "Sequence"}, {"normalizers", json::array({nested})}};
  check_refused(from_json(with("/normalizer", nested)), "nested");
}

// tokenizer.model ----------------------------------------------------------------------------------------------------

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string bytes_field(int number, const std::string& bytes) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}

std::string number_field(int number, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3) + varint(value);
}

std::string piece(const std::string& name, float score, PieceType type = PieceType::normal) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &score, 4);
  return bytes_field(
      1, bytes_field(1, name) + varint(2 << 3 | 5) + bits + number_field(3, static_cast<std::uint64_t>(type)));
}

const std::string small_pieces = piece("<unk>", 0, PieceType::unknown) + piece("<s>", 0, PieceType::control) +
                                 piece("</s>", 0, PieceType::control) + piece("\u2581", -5) + piece("a", -4) +
                                 piece("\u2581a", -1) + piece("<sep>", 0, PieceType::user_defined) + piece("aa", -2);

Result<TokenizerData> from_model(const std::string& bytes) {
  auto model = parse_sentencepiece(std::as_bytes(std::span(bytes)), "t.model");
  if (!model) return model.error();
  return tokenizer_from_sentencepiece(*std::move(model), "t.model");
}

BOOST_AUTO_TEST_CASE(models_of_sentencepiece_are_read) {
  for (const std::uint64_t type : {1u, 2u}) {
    const Tokenizer tokenizer =
        make(from_model(small_pieces + bytes_field(2, number_field(3, type)) + bytes_field(3, number_field(4, 1))));
    CHECK_IDS(tokenizer.encode("  a  a "), {1, 5, 5});
    CHECK_IDS(tokenizer.encode("a<sep>a", {.add_bos = false}), {5, 6, 4});
    CHECK_IDS(tokenizer.encode("xya", {.add_bos = false}), {3, 0, 4});
    CHECK_IDS(tokenizer.encode("</s>a", {.add_bos = false, .parse_special = true}), {2, 5});
    BOOST_TEST(tokenizer.decode(Ids{1, 5, 5}) == "a a");
  }
  const Tokenizer keeps =
      make(from_model(small_pieces + bytes_field(2, number_field(3, 2)) + bytes_field(3, number_field(4, 0))));
  CHECK_IDS(keeps.encode(" a", {.add_bos = false}), {3, 5});
}

BOOST_AUTO_TEST_CASE(models_of_sentencepiece_that_make_no_sense_are_refused_with_the_cause) {
  check_refused(from_model(""), "no pieces");
  check_refused(from_model(piece("a", std::nanf(""))), "score of piece 0");
  check_refused(from_model(piece("a", std::numeric_limits<float>::infinity())), "score of piece 0");
  check_refused(from_model(piece("", 0)), "piece 0 is empty");
  check_refused(from_model(piece("\xFF", 0)), "piece 0 is no valid UTF-8");
  check_refused(from_model(piece("a", 0, static_cast<PieceType>(9))), "unknown type");
  check_refused(from_model(piece(std::string(5000, 'a'), 0)), "too long");
  check_refused(from_model("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), "does not fit");
  check_refused(from_model("\x0B"), "does not fit");
  check_refused(from_model(small_pieces + bytes_field(2, number_field(3, 3))), "words or characters",
                ErrorCode::unsupported);
  check_refused(from_model(piece("<0x41>", 0, PieceType::byte)), "do not follow each other", ErrorCode::unsupported);
  const auto bad_map = from_model(small_pieces + bytes_field(3, bytes_field(2, "damaged")));
  BOOST_TEST_REQUIRE(static_cast<bool>(bad_map));
  check_refused(Tokenizer::create(*bad_map, "t.model"), "map of characters is damaged");
  for (std::size_t length = 1; length < small_pieces.size(); ++length) {
    const auto cut = from_model(small_pieces.substr(0, length));
    if (cut) BOOST_TEST(Tokenizer::create(*cut, "t.model").error().message.find("throw") == std::string::npos);
  }
}

// tiktoken -----------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(ranks_are_read_with_a_named_pattern) {
  const std::string text = "YQ== 0\nYg== 1\nIA== 2\nYWI= 3\nIGFi 4\n";
  const Tokenizer tokenizer = make(parse_tiktoken(text, "gpt2", "t.tiktoken"));
  CHECK_IDS(tokenizer.encode("ab ab b"), {3, 4, 2, 1});
  BOOST_TEST(tokenizer.decode(Ids{3, 4}) == "ab ab");
  BOOST_TEST(looks_like_tiktoken(text));
}

BOOST_AUTO_TEST_CASE(ranks_that_make_no_sense_are_refused_with_the_cause) {
  check_refused(parse_tiktoken("", "gpt2", "t"), "has no ranks");
  check_refused(parse_tiktoken("YQ== 0\nYQ== x\n", "gpt2", "t"), "line 2 is not a token");
  check_refused(parse_tiktoken("Y!== 0\n", "gpt2", "t"), "line 1 is not a token");
  check_refused(parse_tiktoken("YQ== 4000000000\n", "gpt2", "t"), "line 1 has an absurd rank");
  check_refused(parse_tiktoken("YQ== 0\nYg== 0\n", "gpt2", "t"), "rank 0 occurs twice");
  // A few bytes that would become a vocabulary of a million holes.
  check_refused(parse_tiktoken("YQ== 800000\n", "gpt2", "t"), "has the rank 800000, but only 1 ranks in all");
  BOOST_TEST(static_cast<bool>(parse_tiktoken("YQ== 4096\n", "gpt2", "t")));
  check_refused(parse_tiktoken("YQ== 0\n", "", "t"), "no pattern is known", ErrorCode::unsupported);
  check_refused(parse_tiktoken("YQ== 0\n", "nonsense", "t"), "there is no pattern 'nonsense'",
                ErrorCode::invalid_argument);
}

BOOST_AUTO_TEST_CASE(base64_is_decoded_strictly) {
  BOOST_TEST(*decode_base64("SGVsbG8=") == "Hello");
  BOOST_TEST(*decode_base64("") == "");
  for (const char* const bad : {"SGVsbG8", "SGVs=G8=", "====", "SG\nV"}) BOOST_TEST(!decode_base64(bad));
}

// pieces, patterns, folders ------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(every_named_pattern_compiles_and_loses_nothing) {
  const std::string text = "I'm 12345 \u4E2D\u6587 x\u0301 DON'T\r\n\n  (a)  \u00AD!!\tEnd  ";
  for (const char* const name :
       {"gpt2", "cl100k", "o200k", "llama3", "qwen2", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon",
        "starcoder", "bloom", "viking", "tekken", "seed-coder", "bailingmoe", "default"}) {
    const auto preset = splitter_preset(name);
    BOOST_TEST_REQUIRE(static_cast<bool>(preset), name);
    const auto splitter = Splitter::create(preset->steps, name);
    BOOST_TEST_REQUIRE(static_cast<bool>(splitter), splitter.error().message);
    Splitter::Scratch scratch;
    std::string joined;
    for (const std::string_view word : splitter->split(text, scratch)) joined += word;
    BOOST_TEST(joined == text, name);
    // Runs that a careless pattern would look at again from every place.
    for (const std::string& run :
         {std::string(300'000, ' ') + "x", std::string(300'000, 'a'), std::string(300'000, '\n') + "x"}) {
      BOOST_TEST(!splitter->split(run, scratch).empty(), name);
    }
  }
  BOOST_TEST(!splitter_preset("nonsense"));
}

BOOST_AUTO_TEST_CASE(the_alphabet_of_gpt2_stands_for_every_byte) {
  BOOST_TEST(*bytes_of_gpt2_piece("\u0120a\u010A\u00C3") == " a\n\xC3");
  BOOST_TEST(!bytes_of_gpt2_piece("a b"));
  BOOST_TEST(!bytes_of_gpt2_piece("\u4E2D"));
}

BOOST_AUTO_TEST_CASE(a_vocabulary_is_padded_and_cut_to_the_model) {
  const auto fitted = [](std::size_t size) {
    TokenizerData data = *from_json(byte_level_json());
    return std::pair(fit_vocabulary(data, size, "t"), data);
  };
  const auto [padded, more] = fitted(100);
  BOOST_TEST(static_cast<bool>(padded));
  BOOST_TEST(make(more).decode(Ids{99}) == "");
  const auto [cut, fewer] = fitted(7);
  BOOST_TEST(static_cast<bool>(cut));
  CHECK_IDS(make(fewer).encode("  "), {6, 2, 2});
  check_refused(fitted(5).first, "has 8 pieces, but the model's vocabulary has 5");
  check_refused(fitted(50'000).first, "has 8 pieces, but the model's vocabulary has 50000");
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

BOOST_AUTO_TEST_CASE(a_folder_says_what_its_tokenizer_does_not) {
  const TemporaryFolder folder;
  write(folder.file("tokenizer.json"), byte_level_json().dump());
  write(folder.file("tokenizer_config.json"),
        json{{"bos_token", "<s>"},
             {"eos_token", {{"content", "<end>"}}},
             {"added_tokens_decoder", {{"8", {{"content", "<end>"}, {"special", true}}}}}}
            .dump());
  write(folder.file("generation_config.json"), json{{"eos_token_id", {8, 6, 99}}}.dump());
  BOOST_TEST(has_tokenizer(folder.path().string()));
  const Tokenizer tokenizer = make(load_tokenizer(folder.path().string()));
  BOOST_TEST(tokenizer.vocab_size() == 9u);
  CHECK_IDS(Ids(tokenizer.data().eos), {8, 6});
  CHECK_IDS(tokenizer.encode("a<end>", {.add_bos = false, .parse_special = true}), {0, 8});
}

BOOST_AUTO_TEST_CASE(the_end_that_the_tokenizer_names_comes_first_of_those_that_end_a_generation) {
  const TemporaryFolder folder;
  write(folder.file("tokenizer.json"), byte_level_json().dump());
  const auto ends_with = [&](const json& config, const json& ids) {
    write(folder.file("tokenizer_config.json"), config.dump());
    write(folder.file("generation_config.json"), json{{"eos_token_id", ids}}.dump());
    return Ids(make(load_tokenizer(folder.path().string())).data().eos);
  };
  const json added = {{"8", {{"content", "<end>"}, {"special", true}}}};
  CHECK_IDS(ends_with({{"eos_token", "<end>"}, {"added_tokens_decoder", added}}, {6, 2, 8}), {8, 6, 2});
  CHECK_IDS(ends_with({{"eos_token", "<end>"}, {"added_tokens_decoder", added}}, 6), {8, 6});
  CHECK_IDS(ends_with({{"added_tokens_decoder", added}}, {6, 2}), {6, 2});
}

BOOST_AUTO_TEST_CASE(a_tokenizer_whose_configuration_has_no_bos_has_none) {
  const TemporaryFolder folder;
  json tokenizer = byte_level_json();
  tokenizer.erase("post_processor");
  write(folder.file("tokenizer.json"), tokenizer.dump());
  BOOST_TEST(make(load_tokenizer(folder.path().string())).data().bos == 6);
  write(folder.file("tokenizer_config.json"), R"({"bos_token": null})");
  BOOST_TEST(make(load_tokenizer(folder.path().string())).data().bos == -1);
}

BOOST_AUTO_TEST_CASE(older_pairs_of_files_are_read) {
  const TemporaryFolder folder;
  write(folder.file("vocab.json"), byte_level_json()["model"]["vocab"].dump());
  write(folder.file("merges.txt"), "#version: 0.2\na b\n\u0120 ab\n");
  CHECK_IDS(make(load_tokenizer(folder.path().string())).encode("ab ab"), {3, 4});
  const TemporaryFolder bert;
  write(bert.file("vocab.txt"), "[UNK]\n[CLS]\n[SEP]\nthe\n##re\n");
  CHECK_IDS(make(load_tokenizer(bert.path().string())).encode("The There"), {1, 3, 3, 4});
}

BOOST_AUTO_TEST_CASE(a_format_is_seen_from_the_content) {
  const TemporaryFolder folder;
  write(folder.file("a"), "  " + byte_level_json().dump());
  write(folder.file("b"), small_pieces + bytes_field(2, number_field(3, 2)));
  CHECK_IDS(make(load_tokenizer(folder.file("a"))).encode("ab"), {6, 3});
  CHECK_IDS(make(load_tokenizer(folder.file("b"))).encode("a"), {1, 5});
  write(folder.file("c"), "no tokenizer at all");
  check_refused(load_tokenizer(folder.file("c")), "is no tokenizer that is known", ErrorCode::unsupported);
  write(folder.file("d"), "");
  check_refused(load_tokenizer(folder.file("d")), "is no tokenizer that is known", ErrorCode::unsupported);
  check_refused(load_tokenizer(folder.file("e")), "cannot be read", ErrorCode::not_found);
  const TemporaryFolder empty;
  check_refused(load_tokenizer(empty.path().string()), "holds no tokenizer.json", ErrorCode::not_found);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
