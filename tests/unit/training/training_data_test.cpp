#include "runtime/training/training_data.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("tessera-data-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path file(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return path / name;
  }
};

/// Ids: bytes + 3, BOS 1, EOS 2; what stands before a text is `prefix`.
Tokenizer bytes(std::vector<TokenId> prefix, std::vector<TokenId> eos = {2}) {
  auto data = synthetic_byte_tokenizer(300);
  BOOST_REQUIRE(data);
  data->framed = true;
  data->prefix = std::move(prefix);
  data->eos = std::move(eos);
  auto tokenizer = Tokenizer::create(*std::move(data), "test");
  BOOST_TEST_REQUIRE(bool(tokenizer), tokenizer.error().message);
  return *std::move(tokenizer);
}

constexpr TokenId a = 'a' + 3, b = 'b' + 3, c = 'c' + 3;

std::vector<TokenId> read(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer,
                          const std::string& separator = "--") {
  const auto tokens = corpus_tokens(files, separator, tokenizer);
  BOOST_TEST_REQUIRE(bool(tokens), tokens.error().message);
  return tokens->tokens;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(training_data)

BOOST_AUTO_TEST_CASE(documents_end_at_separators_ends_of_text_and_ends_of_files) {
  const Folder folder;
  const auto one = folder.file("1", "a--b<|endoftext|>--\n--c"), two = folder.file("2", "a<|endoftext|>");
  const std::vector<TokenId> expected{1, a, 2, 1, b, 2, 1, c, 2, 1, a, 2};
  BOOST_TEST(read({one, two}, bytes({1})) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_document_begins_with_what_stands_before_its_text) {
  const Folder folder;
  const auto begins = [&](const Tokenizer& tokenizer) {
    return corpus_tokens(std::vector{folder.file("1", "aa--b<|endoftext|>c")}, "--", tokenizer)->begins;
  };
  // 1 a a 2 1 b 2 1 c 2; the EOS of one is the beginning of the next: 2 a a 2 b 2 c 2; nothing before: a a 2 b 2 c 2
  BOOST_TEST(begins(bytes({1})) == (std::vector<std::size_t>{0, 4, 7}), boost::test_tools::per_element());
  BOOST_TEST(begins(bytes({2})) == (std::vector<std::size_t>{0, 3, 5}), boost::test_tools::per_element());
  BOOST_TEST(begins(bytes({})) == (std::vector<std::size_t>{0, 3, 5}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_eos_before_a_text_ends_the_text_before_it_too) {
  const Folder folder;
  const std::vector<TokenId> expected{2, a, 2, b, 2, c, 2};
  BOOST_TEST(read({folder.file("1", "a--b--c")}, bytes({2})) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_refused) {
  const Folder folder;
  const auto blank = folder.file("blank", " \n--\n"), text = folder.file("text", "a");
  const auto none = corpus_tokens(std::vector{blank}, "--", bytes({1}));
  BOOST_TEST_REQUIRE(!none);
  BOOST_TEST(none.error().message.find("no text") != std::string::npos);
  BOOST_TEST(!corpus_tokens(std::vector{folder.path / "away"}, "", bytes({1})));
  BOOST_TEST(!corpus_tokens(std::vector{text}, "", bytes({1}, {})));
  const auto stopped = corpus_tokens(std::vector{text}, "", bytes({1}), [](auto&&...) { return false; });
  BOOST_TEST_REQUIRE(!stopped);
  BOOST_TEST((stopped.error().code == ErrorCode::cancelled));
}

BOOST_AUTO_TEST_SUITE_END()
