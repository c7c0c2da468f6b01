// Counting the words of a corpus: the same whether it comes at once or in pieces, within limits.
#include "runtime/text/word_counts.hpp"

#include <fstream>
#include <string>
#include <string_view>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;

WordCounts make(WordLimits limits = {}) {
  Result<WordCounts> counts = WordCounts::create(limits);
  BOOST_REQUIRE_MESSAGE(counts, counts.error().message);
  return std::move(*counts);
}

BOOST_AUTO_TEST_SUITE(word_counts)

BOOST_AUTO_TEST_CASE(words_are_counted_with_their_space) {
  WordCounts counts = make();
  BOOST_REQUIRE(counts.add("the cat and the dog"));
  BOOST_REQUIRE(counts.add("the end"));
  BOOST_TEST(counts.words().at("the") == 2);
  BOOST_TEST(counts.words().at(" the") == 1);
  BOOST_TEST(counts.words().size() == 6);
  BOOST_TEST(counts.word_count() == 7);
  BOOST_TEST(counts.bytes() == 26);
}

BOOST_AUTO_TEST_CASE(the_special_token_ends_a_document_and_is_no_word) {
  WordCounts counts = make();
  BOOST_REQUIRE(counts.add("one<|endoftext|>two<|endoftext|>"));
  BOOST_TEST(counts.words().size() == 2);
  BOOST_TEST(counts.words().at("one") == 1);
  BOOST_TEST(counts.words().at("two") == 1);
}

BOOST_AUTO_TEST_CASE(a_file_read_in_small_pieces_gives_the_words_of_the_whole) {
  test::TemporaryFolder folder;
  constexpr std::string_view parts[] = {"a",    "day", " ", "  ",     "\n",     "\n\n",
                                        "It's", ".",   "7", "\u00E9", "\u65E5", ", "};
  const PhiloxKey key = philox_key(3);
  for (std::uint32_t round = 0; round < 20; ++round) {
    std::string text;
    for (std::uint32_t i = 0; i < 400; ++i) text += parts[philox(key, {round, i, 0, 0})[0] % std::size(parts)];
    const std::string path = folder.file("corpus.txt");
    std::ofstream(path, std::ios::binary) << text;
    WordCounts whole = make(), pieces = make({.chunk_bytes = 256});
    BOOST_REQUIRE(whole.add(text));
    BOOST_REQUIRE(pieces.add_file(path));
    BOOST_TEST((whole.words() == pieces.words()));
    BOOST_TEST(pieces.bytes() == text.size());
  }
}

BOOST_AUTO_TEST_CASE(a_file_without_lines_is_cut_between_characters) {
  test::TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\u65E5";
  const std::string path = folder.file("corpus.txt");
  std::ofstream(path, std::ios::binary) << text;
  WordCounts counts = make({.chunk_bytes = 16});
  BOOST_REQUIRE(counts.add_file(path));
  std::size_t bytes = 0;
  for (const auto& [word, count] : counts.words()) {
    BOOST_TEST(word.size() % 3 == 0);
    bytes += word.size() * count;
  }
  BOOST_TEST(bytes == text.size());
}

BOOST_AUTO_TEST_CASE(words_beyond_the_limits_are_skipped_or_refused) {
  WordCounts counts = make({.distinct_bytes_max = 10, .word_bytes_max = 5});
  BOOST_REQUIRE(counts.add("letters"));
  BOOST_TEST(counts.words().empty());
  BOOST_TEST(counts.skipped() == 1);
  BOOST_REQUIRE(counts.add("abcde"));
  BOOST_REQUIRE(counts.add("abcde"));
  BOOST_REQUIRE(counts.add("fghij"));
  const Result<void> full = counts.add("k");
  BOOST_REQUIRE(!full);
  BOOST_TEST((full.error().code == ErrorCode::exhausted));
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_read_are_named) {
  test::TemporaryFolder folder;
  WordCounts counts = make();
  const Result<void> missing = counts.add_file(folder.file("none.txt"));
  BOOST_REQUIRE(!missing);
  BOOST_TEST((missing.error().code == ErrorCode::not_found));
  BOOST_TEST(missing.error().message.find("none.txt") != std::string::npos);
  const Result<void> directory = counts.add_file(folder.path().string());
  BOOST_REQUIRE(!directory);
  BOOST_TEST((directory.error().code == ErrorCode::io));
}

BOOST_AUTO_TEST_CASE(reading_can_be_stopped) {
  test::TemporaryFolder folder;
  const std::string path = folder.file("corpus.txt");
  std::ofstream(path) << "text";
  WordCounts counts = make();
  const Result<void> stopped = counts.add_file(path, [](std::uint64_t, std::uint64_t) { return false; });
  BOOST_REQUIRE(!stopped);
  BOOST_TEST((stopped.error().code == ErrorCode::cancelled));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
