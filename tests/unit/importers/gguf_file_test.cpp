#include "runtime/importers/gguf_file.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"
#include "tests/unit/importers/gguf_bytes.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// The bytes must outlive what is returned.
Result<GgufFile> open(const std::string& bytes) {
  return GgufFile::open(memory_byte_source(bytes_of(bytes), "m.gguf"));
}

GgufBytes small_file() {
  GgufBytes file;
  file.text("general.name", "small");
  file.u32("llama.block_count", 7);
  file.f32("llama.eps", 0.5f);
  file.flag("tokenizer.ggml.add_bos_token", true);
  file.texts("tokenizer.ggml.tokens", {"a", "", "ccc"});
  file.numbers("tokenizer.ggml.scores", 6, std::vector<float>{-1.5f, 0.0f, 2.0f});
  file.numbers("tokenizer.ggml.token_type", 5, std::vector<std::int32_t>{1, -2, 3});
  file.tensors.push_back({"one", {3}, 0, std::string(12, 'a')});
  file.tensors.push_back({"two", {32, 2}, 8, std::string(68, 'b')});
  return file;
}

const SharedPresent vocabularies_present("data/tokenizers/ggml-vocab-gpt-2.gguf");

}  // namespace

BOOST_AUTO_TEST_SUITE(gguf_files)

BOOST_AUTO_TEST_CASE(metadata_of_every_kind_is_read_back) {
  GgufBytes written = small_file();
  written.number("n.u8", 0, std::uint8_t{200});
  written.number("n.i8", 1, std::int8_t{-3});
  written.number("n.u16", 2, std::uint16_t{60000});
  written.number("n.i16", 3, std::int16_t{-300});
  written.number("n.i32", 5, std::int32_t{-70000});
  written.number("n.u64", 10, std::uint64_t{5000000000});
  written.number("n.i64", 11, std::int64_t{9});
  written.number("n.f64", 12, 0.1);
  for (const std::uint32_t version : {2u, 3u}) {
    written.version = version;
    const std::string bytes = written.bytes();
    const auto file = open(bytes);
    BOOST_REQUIRE_MESSAGE(file, message_of(file));
    BOOST_TEST(file->version() == version);
    BOOST_TEST(*file->text("general.name") == "small");
    BOOST_TEST(*file->count("llama.block_count") == 7u);
    BOOST_TEST(*file->number("llama.eps") == 0.5);
    BOOST_TEST(*file->number("llama.block_count") == 7.0);
    BOOST_TEST(*file->flag("tokenizer.ggml.add_bos_token"));
    BOOST_TEST(*file->count("n.u8") == 200u);
    BOOST_TEST(*file->number("n.i8") == -3.0);
    BOOST_TEST(*file->count("n.u16") == 60000u);
    BOOST_TEST(*file->number("n.i16") == -300.0);
    BOOST_TEST(*file->number("n.i32") == -70000.0);
    BOOST_TEST(*file->number("n.u64") == 5e9);
    BOOST_TEST(*file->count("n.i64") == 9u);
    BOOST_TEST(*file->number("n.f64") == 0.1);
    const auto texts = file->texts("tokenizer.ggml.tokens");
    BOOST_REQUIRE(texts);
    BOOST_TEST(texts->size() == 3u);
    BOOST_TEST((*texts)[0] == "a");
    BOOST_TEST((*texts)[1] == "");
    BOOST_TEST((*texts)[2] == "ccc");
    BOOST_TEST(*file->floats("tokenizer.ggml.scores") == (std::vector<float>{-1.5f, 0.0f, 2.0f}),
               boost::test_tools::per_element());
    BOOST_TEST(*file->integers("tokenizer.ggml.token_type") == (std::vector<std::int64_t>{1, -2, 3}),
               boost::test_tools::per_element());
    BOOST_TEST(file->keys().size() == written.pairs.size());
    BOOST_TEST(*file->count_or("absent", 5) == 5u);
    BOOST_TEST(*file->count_or("llama.block_count", 5) == 7u);
    BOOST_TEST(file->is_array("tokenizer.ggml.tokens"));
    BOOST_TEST(!file->is_array("general.name"));
  }
}

BOOST_AUTO_TEST_CASE(views_of_texts_stay_valid_when_the_file_moves) {
  const std::string bytes = small_file().bytes();
  auto file = open(bytes);
  BOOST_REQUIRE(file);
  const GgufTexts texts = *file->texts("tokenizer.ggml.tokens");
  const GgufFile moved = std::move(*file);
  BOOST_TEST(texts[2] == "ccc");
  BOOST_TEST(moved.tensors().size() == 2u);
}

BOOST_AUTO_TEST_CASE(tensors_are_found_with_their_bytes) {
  const std::string bytes = small_file().bytes();
  const auto file = open(bytes);
  BOOST_REQUIRE_MESSAGE(file, message_of(file));
  const GgufTensorInfo* const two = file->find_tensor("two");
  BOOST_REQUIRE(two);
  BOOST_TEST(two->count() == 64u);
  BOOST_TEST(two->bytes == 68u);
  BOOST_TEST(two->begin % 32 == 0u);
  BOOST_TEST(two->format().name == "Q8_0");
  std::string data(68, ' ');
  BOOST_REQUIRE(file->read(*two, 0, std::as_writable_bytes(std::span(data))));
  BOOST_TEST(data == std::string(68, 'b'));
  BOOST_TEST(!file->find_tensor("three"));
}

BOOST_AUTO_TEST_CASE(a_value_of_another_kind_is_an_error_that_names_file_and_key) {
  GgufBytes written = small_file();
  written.number("n.negative", 5, std::int32_t{-1});
  written.number("n.huge", 10, std::numeric_limits<std::uint64_t>::max());
  written.number("n.nan", 6, std::numeric_limits<float>::quiet_NaN());
  written.numbers("n.huges", 10, std::vector<std::uint64_t>{1, std::uint64_t{1} << 63});
  const std::string bytes = written.bytes();
  const auto file = open(bytes);
  BOOST_REQUIRE(file);
  const auto corrupt = [](const auto& result, const char* key, const char* cause) {
    return fails_with(result, ErrorCode::corrupt, std::string("m.gguf: its metadata ") + key + " " + cause);
  };
  BOOST_TEST(corrupt(file->text("absent"), "absent", "is missing"));
  BOOST_TEST(corrupt(file->text("llama.block_count"), "llama.block_count", "is no text"));
  BOOST_TEST(corrupt(file->text("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens", "is a list"));
  BOOST_TEST(corrupt(file->count("general.name"), "general.name", "is no whole number"));
  BOOST_TEST(corrupt(file->count("llama.eps"), "llama.eps", "is no whole number"));
  BOOST_TEST(corrupt(file->count("tokenizer.ggml.add_bos_token"), "tokenizer.ggml.add_bos_token", "is no whole"));
  BOOST_TEST(corrupt(file->count("n.negative"), "n.negative", "is -1"));
  BOOST_TEST(corrupt(file->count("n.huge"), "n.huge", "is no whole number"));
  BOOST_TEST(corrupt(file->count_or("n.negative", 1), "n.negative", "is -1"));
  BOOST_TEST(corrupt(file->number("n.nan"), "n.nan", "is nan"));
  BOOST_TEST(corrupt(file->number("general.name"), "general.name", "is no number"));
  BOOST_TEST(corrupt(file->flag("llama.block_count"), "llama.block_count", "is neither true nor false"));
  BOOST_TEST(corrupt(file->texts("general.name"), "general.name", "is no list"));
  BOOST_TEST(corrupt(file->texts("tokenizer.ggml.scores"), "tokenizer.ggml.scores", "is no list of texts"));
  BOOST_TEST(corrupt(file->integers("tokenizer.ggml.scores"), "tokenizer.ggml.scores", "is no list of whole"));
  BOOST_TEST(corrupt(file->floats("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens", "is no list of floats"));
  BOOST_TEST(corrupt(file->integers("n.huges"), "n.huges", "has a number of more than 63 bits at place 1"));
}

BOOST_AUTO_TEST_CASE(a_file_that_is_cut_anywhere_is_refused) {
  const std::string whole = small_file().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string bytes = whole.substr(0, size);
    BOOST_TEST(fails_with(open(bytes), ErrorCode::corrupt, "m.gguf: "), "cut to " << size);
  }
}

BOOST_AUTO_TEST_CASE(other_versions_and_byte_orders_are_refused_by_name) {
  GgufBytes written = small_file();
  for (const auto& [version, part] : {std::pair{1u, "version 1"}, {4u, "version 4"}, {0x03000000u, "big-endian"}}) {
    written.version = version;
    const std::string bytes = written.bytes();
    BOOST_TEST(fails_with(open(bytes), ErrorCode::unsupported, part));
  }
  std::string bytes = small_file().bytes();
  bytes[0] = 'X';
  BOOST_TEST(fails_with(open(bytes), ErrorCode::corrupt, "does not begin with GGUF"));
}

BOOST_AUTO_TEST_CASE(absurd_counts_and_lengths_are_refused_before_anything_is_allocated) {
  const std::uint64_t absurd[] = {std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0}};
  for (const std::uint64_t value : absurd) {
    for (const std::size_t place : {std::size_t{8}, std::size_t{16}, std::size_t{24}}) {  // tensors, pairs, a key
      std::string bytes = small_file().bytes();
      std::memcpy(bytes.data() + place, &value, sizeof value);
      BOOST_TEST(fails_with(open(bytes), ErrorCode::corrupt, "m.gguf: "));
    }
    for (const std::uint32_t type : {0u, 6u, 8u, 12u}) {
      GgufBytes written;
      written.pairs.emplace_back("list", GgufBytes::array_start(type, value));
      const std::string bytes = written.bytes();
      BOOST_TEST(fails_with(open(bytes), ErrorCode::corrupt, "m.gguf: "));
    }
    GgufBytes written = small_file();
    written.tensors[0].dimensions = {value, value};
    const std::string bytes = written.bytes();
    BOOST_TEST(fails_with(open(bytes), ErrorCode::corrupt, "tensor one has "));
  }
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_a_tensor_is_said_with_its_name) {
  const auto refused = [](auto change, ErrorCode code, const char* part) {
    GgufBytes written = small_file();
    change(written);
    const std::string bytes = written.bytes();
    const auto file = open(bytes);
    BOOST_TEST(fails_with(file, code, part), message_of(file));
  };
  refused([](GgufBytes& file) { file.tensors[0].dimensions = {}; }, ErrorCode::corrupt, "tensor one has 0 dimensions");
  refused([](GgufBytes& file) { file.tensors[0].dimensions = {1, 1, 1, 1, 1}; }, ErrorCode::corrupt, "5 dimensions");
  refused([](GgufBytes& file) { file.tensors[0].dimensions = {3, 0}; }, ErrorCode::corrupt, "a dimension of 0");
  refused(
      [](GgufBytes& file) {
        file.tensors[1].dimensions = {33, 2};
      },
      ErrorCode::corrupt, "tensor two has rows of 33");
  refused(
      [](GgufBytes& file) {
        file.tensors[1].dimensions = {64, 2};
      },
      ErrorCode::corrupt, "tensor two has 136 bytes");
  refused([](GgufBytes& file) { file.tensors[0].dimensions = {10}; }, ErrorCode::corrupt, "one and two overlap");
  refused([](GgufBytes& file) { file.tensors[0].type = 77; }, ErrorCode::unsupported, "tensor one has the type 77");
  refused([](GgufBytes& file) { file.tensors[1].name = "one"; }, ErrorCode::corrupt, "the tensor one twice");
  refused([](GgufBytes& file) { file.tensors[1].name.clear(); }, ErrorCode::corrupt, "whose name has 0 bytes");
  refused([](GgufBytes& file) { file.tensors[1].name = std::string(300, 'x'); }, ErrorCode::corrupt, "300 bytes");
  refused([](GgufBytes& file) { file.u32("general.alignment", 64); }, ErrorCode::corrupt, "no multiple of 64");
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_the_metadata_is_said) {
  const auto refused = [](auto change, ErrorCode code, const char* part) {
    GgufBytes written = small_file();
    change(written);
    const std::string bytes = written.bytes();
    const auto file = open(bytes);
    BOOST_TEST(fails_with(file, code, part), message_of(file));
  };
  refused([](GgufBytes& file) { file.u32("general.name", 1); }, ErrorCode::corrupt, "metadata general.name twice");
  refused([](GgufBytes& file) { file.u32("", 1); }, ErrorCode::corrupt, "a key of 0 bytes");
  refused([](GgufBytes& file) { file.u32(std::string(2000, 'k'), 1); }, ErrorCode::corrupt, "a key of 2000 bytes");
  refused([](GgufBytes& file) { file.number("odd", 13, 1); }, ErrorCode::corrupt, "odd of the unknown type 13");
  refused([](GgufBytes& file) { file.numbers("odd", 99, std::vector<int>{1}); }, ErrorCode::corrupt, "unknown type 99");
  refused([](GgufBytes& file) { file.numbers("nested", 9, std::vector<int>{1}); }, ErrorCode::unsupported,
          "nested is a list of lists");
  for (const std::uint32_t alignment : {0u, 4u, 33u, 1u << 21}) {
    refused([&](GgufBytes& file) { file.u32("general.alignment", alignment); }, ErrorCode::corrupt,
            "has the alignment");
  }
  refused([](GgufBytes& file) { file.text("general.alignment", "32"); }, ErrorCode::corrupt, "general.alignment");
}

BOOST_AUTO_TEST_CASE(a_greater_alignment_is_followed) {
  GgufBytes written = small_file();
  written.alignment = 4096;
  written.u32("general.alignment", 4096);
  const std::string bytes = written.bytes();
  const auto file = open(bytes);
  BOOST_REQUIRE_MESSAGE(file, message_of(file));
  BOOST_TEST(file->find_tensor("two")->begin == 8192u);
}

BOOST_AUTO_TEST_CASE(a_large_vocabulary_is_read_in_pieces) {
  GgufBytes written;
  std::vector<std::string> tokens;
  for (int i = 0; i < 300000; ++i) tokens.push_back("token" + std::to_string(i));
  written.texts("tokenizer.ggml.tokens", tokens);
  written.u32("after", 3);
  const std::string bytes = written.bytes();
  const auto file = open(bytes);
  BOOST_REQUIRE_MESSAGE(file, message_of(file));
  const auto texts = file->texts("tokenizer.ggml.tokens");
  BOOST_REQUIRE(texts);
  BOOST_REQUIRE(texts->size() == tokens.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) wrong += (*texts)[i] != tokens[i];
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(*file->count("after") == 3u);
}

BOOST_AUTO_TEST_CASE(a_header_beyond_the_limit_is_refused) {
  GgufBytes written;
  written.numbers("list", 0, std::vector<std::uint8_t>(limits::gguf_header_bytes_max));
  const std::string bytes = written.bytes();
  BOOST_TEST(fails_with(open(bytes), ErrorCode::exhausted, "its header has more than"));
}

BOOST_AUTO_TEST_CASE(vocabularies_of_llama_cpp_are_read, *boost::unit_test::precondition(vocabularies_present)) {
  for (const auto& [name, model, pieces] :
       {std::tuple{"gpt-2", "gpt2", 50257u}, {"llama-spm", "llama", 32000u}, {"bert-bge", "bert", 30522u}}) {
    auto source = open_byte_source((shared_folder() / "data/tokenizers/ggml-vocab-").string() + name + ".gguf");
    BOOST_REQUIRE_MESSAGE(source, message_of(source));
    const auto file = GgufFile::open(std::move(*source));
    BOOST_REQUIRE_MESSAGE(file, message_of(file));
    BOOST_TEST(*file->text("tokenizer.ggml.model") == model);
    BOOST_TEST(file->texts("tokenizer.ggml.tokens")->size() == pieces);
    BOOST_TEST(file->tensors().empty());
  }
}

BOOST_AUTO_TEST_SUITE_END()
