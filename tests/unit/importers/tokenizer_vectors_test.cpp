// Vocabularies of known models, against the ids that their own programs give for 47 texts.
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/sanitizers.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  BOOST_TEST_REQUIRE(static_cast<bool>(file), path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string tokenizer_path(const std::string& name) { return (shared_folder() / "data/tokenizers" / name).string(); }

Tokenizer load(const std::string& path) {
  auto data = load_tokenizer(path);
  BOOST_TEST_REQUIRE(static_cast<bool>(data), data.error().message);
  auto tokenizer = Tokenizer::create(*std::move(data), path);
  BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer), tokenizer.error().message);
  // What a checkpoint holds means the same.
  auto again = Tokenizer::parse(tokenizer->serialize(), path);
  BOOST_TEST_REQUIRE(static_cast<bool>(again), again.error().message);
  return *std::move(again);
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  for (std::size_t end; (end = text.find(separator, at)) != std::string::npos; at = end + separator.size()) {
    parts.push_back(text.substr(at, end - at));
  }
  parts.push_back(text.substr(at));
  return parts;
}

std::vector<TokenId> ids_of(const std::string& line) {
  std::istringstream stream(line);
  return {std::istream_iterator<TokenId>(stream), {}};
}

std::string text_of(const std::vector<TokenId>& ids) {
  std::string text;
  for (const TokenId id : ids) text += " " + std::to_string(id);
  return text;
}

void check_vectors(const std::string& tokenizer_name, const std::string& vectors_name) {
  const Tokenizer tokenizer = load(tokenizer_path(tokenizer_name));
  const std::vector<std::string> texts =
      split(read_file(tokenizer_path(vectors_name + ".inp")), "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = split(read_file(tokenizer_path(vectors_name + ".out")), "\n");
  BOOST_TEST_REQUIRE(texts.size() == 47u);
  BOOST_TEST_REQUIRE(lines.size() >= texts.size());
  for (std::size_t at = 0; at < texts.size(); ++at) {
    const std::vector<TokenId> ids = tokenizer.encode(texts[at], {.add_bos = false}), expected = ids_of(lines[at]);
    BOOST_TEST((ids == expected),
               "text " << at << " '" << texts[at] << "':" << text_of(ids) << ", expected" << text_of(expected));
  }
}

/// Both texts, back to the byte.
void check_round_trips(const std::string& tokenizer_name) {
  const Tokenizer tokenizer = load(tokenizer_path(tokenizer_name));
  for (const char* const name : {"tinyshakespeare.txt", "wikitext2_valid.txt"}) {
    const std::string text = read_file((shared_folder() / "data/text" / name).string());
    const std::string again = tokenizer.decode(tokenizer.encode(text));
    BOOST_TEST((again == text), tokenizer_name << " changes " << name);
  }
}

/// Any bytes, which are no text: valid characters and others mixed.
void check_random_bytes(const std::string& tokenizer_name) {
  const Tokenizer tokenizer = load(tokenizer_path(tokenizer_name));
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::string text;
    std::uint32_t next = 0;
    const auto roll = [&](std::uint32_t sides) { return philox(philox_key(seed), {next++, 0, 0, 0})[0] % sides; };
    for (std::uint32_t length = roll(80); length > 0; --length) {
      text += roll(2) == 0 ? static_cast<char>(roll(256)) : "e 1\xC3\xA9\n'"[roll(7)];
    }
    BOOST_TEST_REQUIRE(tokenizer.decode(tokenizer.encode(text)) == text, tokenizer_name << ", seed " << seed);
  }
}

BOOST_AUTO_TEST_SUITE(tokenizer_vectors, *boost::unit_test::precondition(SharedPresent("data/tokenizers")))

BOOST_AUTO_TEST_CASE(gpt2_from_gguf_gives_the_expected_ids) {
  check_vectors("ggml-vocab-gpt-2.gguf", "ggml-vocab-gpt-2.gguf");
}

BOOST_AUTO_TEST_CASE(llama_3_from_ranks_gives_the_expected_ids) {
  check_vectors("llama3_tokenizer.model", "ggml-vocab-llama-bpe.gguf");
}

BOOST_AUTO_TEST_CASE(llama_2_from_gguf_gives_the_expected_ids) {
  check_vectors("ggml-vocab-llama-spm.gguf", "ggml-vocab-llama-spm.gguf");
}

BOOST_AUTO_TEST_CASE(llama_2_from_sentencepiece_gives_the_expected_ids) {
  check_vectors("llama2_tokenizer.model", "ggml-vocab-llama-spm.gguf");
}

BOOST_AUTO_TEST_CASE(llama_2_from_tokenizer_json_gives_the_expected_ids) {
  check_vectors("llama2_tokenizer.json", "ggml-vocab-llama-spm.gguf");
}

BOOST_AUTO_TEST_CASE(bert_from_gguf_gives_the_expected_ids) {
  check_vectors("ggml-vocab-bert-bge.gguf", "ggml-vocab-bert-bge.gguf");
}

BOOST_AUTO_TEST_CASE(texts_come_back_from_every_vocabulary_that_loses_nothing,
                     *boost::unit_test::precondition(NotSanitized())) {
  for (const char* const name :
       {"ggml-vocab-gpt-2.gguf", "llama3_tokenizer.model", "ggml-vocab-llama-spm.gguf", "llama2_tokenizer.model",
        "llama2_tokenizer.json", "phi-2_tokenizer.json", "roberta-base_tokenizer.json", "gpt_neox_20B_tokenizer.json",
        "qwen.tiktoken", "mistral_tokenizer.model.v1", "mistral_mistral_instruct_tokenizer_240323.model.v3",
        "ggml-vocab-baichuan.gguf"}) {
    check_round_trips(name);
  }
}

BOOST_AUTO_TEST_CASE(random_bytes_come_back_from_vocabularies_without_a_normalizer) {
  for (const char* const name : {"ggml-vocab-gpt-2.gguf", "llama3_tokenizer.model", "llama2_tokenizer.model",
                                 "llama2_tokenizer.json", "phi-2_tokenizer.json", "mistral_tokenizer.model.v1"}) {
    check_random_bytes(name);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
