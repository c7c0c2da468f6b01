// Training of BPE vocabularies: by hand, against the literal definition, and at a size that a quadratic algorithm could
// not do.
#include "runtime/text/bpe_trainer.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/text/tokenizer_json.hpp"

namespace {

using namespace tessera;

using Counts = WordCounts::Map;

BpeVocabulary train(const Counts& words, std::uint32_t vocab_size) {
  BpeTrainerOptions options;
  options.vocab_size = vocab_size;
  Result<BpeVocabulary> vocabulary = train_bpe(words, options);
  BOOST_REQUIRE_MESSAGE(vocabulary, vocabulary.error().message);
  return std::move(*vocabulary);
}

Counts words_of(std::string_view text) {
  Result<WordCounts> counts = WordCounts::create();
  BOOST_REQUIRE(counts);
  BOOST_REQUIRE(counts->add(text));
  return counts->words();
}

TokenId id_of(const BpeVocabulary& vocabulary, std::string_view piece) {
  const auto found = std::find(vocabulary.pieces.begin() + 1, vocabulary.pieces.end(), piece);
  BOOST_REQUIRE(found != vocabulary.pieces.end());
  return static_cast<TokenId>(found - vocabulary.pieces.begin());
}

using Row = std::vector<TokenId>;

void replace(Row& row, TokenId left, TokenId right, TokenId merged) {
  Row out;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i + 1 < row.size() && row[i] == left && row[i + 1] == right) {
      out.push_back(merged);
      ++i;
    } else {
      out.push_back(row[i]);
    }
  }
  row = std::move(out);
}

/// The definition: count all pairs, merge the best everywhere, begin again.
BpeVocabulary train_literally(const Counts& words, std::uint32_t vocab_size) {
  BpeVocabulary result;
  result.pieces.emplace_back(end_of_text);
  for (const unsigned char byte : bytes_by_character()) result.pieces.emplace_back(1, static_cast<char>(byte));
  std::vector<std::pair<Row, std::uint64_t>> rows;
  for (const auto& [word, count] : words) {
    Row row;
    for (const char byte : word) row.push_back(id_of(result, std::string(1, byte)));
    rows.emplace_back(row, count);
  }
  while (result.pieces.size() < vocab_size) {
    std::map<BpeMerge, std::uint64_t> pairs;
    for (const auto& [row, count] : rows) {
      for (std::size_t i = 1; i < row.size(); ++i) pairs[{row[i - 1], row[i]}] += count;
    }
    // The first of the highest count: the map is sorted by pair.
    const auto best = std::max_element(pairs.begin(), pairs.end(),
                                       [](const auto& one, const auto& other) { return one.second < other.second; });
    if (best == pairs.end() || best->second < 2) break;
    const auto [left, right] = best->first;
    const std::string piece =
        result.pieces[static_cast<std::size_t>(left)] + result.pieces[static_cast<std::size_t>(right)];
    const auto known = std::find(result.pieces.begin() + 1, result.pieces.end(), piece);
    const auto merged = static_cast<TokenId>(known - result.pieces.begin());
    if (known == result.pieces.end()) result.pieces.push_back(piece);
    if (std::find(result.merges.begin(), result.merges.end(), best->first) == result.merges.end()) {
      result.merges.push_back(best->first);
    }
    for (auto& [row, count] : rows) replace(row, left, right, merged);
  }
  for (const auto& [row, count] : rows) result.corpus_tokens += count * row.size();
  return result;
}

void check_same(const BpeVocabulary& got, const BpeVocabulary& expected) {
  BOOST_TEST(got.pieces == expected.pieces, boost::test_tools::per_element());
  BOOST_TEST((got.merges == expected.merges));
  BOOST_TEST(got.corpus_tokens == expected.corpus_tokens);
}

Counts random_words(std::uint32_t seed, std::string_view alphabet, std::uint32_t count, std::uint32_t length_max) {
  const PhiloxKey key = philox_key(seed);
  Counts words;
  for (std::uint32_t word = 0; word < count; ++word) {
    std::string text;
    const PhiloxCounter head = philox(key, {word, 0, 0, 1});
    for (std::uint32_t i = 0; i <= head[0] % length_max; ++i) {
      text += alphabet[philox(key, {word, i, 0, 0})[0] % alphabet.size()];
    }
    words[text] += 1 + head[1] % 5;
  }
  return words;
}

BOOST_AUTO_TEST_SUITE(bpe_trainer)

BOOST_AUTO_TEST_CASE(the_most_frequent_pair_is_merged_first) {
  const BpeVocabulary vocabulary = train({{"lower", 2}, {"low", 5}, {"new", 6}, {"newest", 3}}, 261);
  // "ne" and "ew" stand 9 times, and e comes before n; then "n"+"ew" 9; "lo" and "ow" 7, l before o.
  const Row expected = {257, 258, 259, 260};
  BOOST_TEST(vocabulary.pieces[257] == "ew");
  BOOST_TEST(vocabulary.pieces[258] == "new");
  BOOST_TEST(vocabulary.pieces[259] == "lo");
  BOOST_TEST(vocabulary.pieces[260] == "low");
  // low er, low, new, new est
  BOOST_TEST(vocabulary.corpus_tokens == 2 * 3 + 5 * 1 + 6 * 1 + 3 * 4u);
}

BOOST_AUTO_TEST_CASE(ids_are_the_special_token_then_every_byte_then_merges) {
  const BpeVocabulary vocabulary = train({{"ab", 2}}, 258);
  BOOST_TEST(vocabulary.pieces.size() == 258);
  BOOST_TEST(vocabulary.pieces[0] == end_of_text);
  BOOST_TEST(vocabulary.pieces[1] == "!");
  BOOST_TEST(vocabulary.pieces[256] == "\xAD");
  BOOST_TEST((vocabulary.merges == std::vector<BpeMerge>{{id_of(vocabulary, "a"), id_of(vocabulary, "b")}}));
}

BOOST_AUTO_TEST_CASE(a_vocabulary_of_the_bytes_alone_has_no_merges) {
  const BpeVocabulary vocabulary = train({{"ab", 2}}, 257);
  BOOST_TEST(vocabulary.merges.empty());
  BOOST_TEST(nlohmann::json::parse(tokenizer_json(vocabulary))["model"]["vocab"].size() == 257);
}

BOOST_AUTO_TEST_CASE(random_words_give_the_merges_of_the_literal_definition) {
  for (std::uint32_t seed = 0; seed < 12; ++seed) {
    for (const std::string_view alphabet : {"ab", "abcdefghij", "a", "ab \xC3\xFF"}) {
      const Counts words = random_words(seed, alphabet, 40, 14);
      BOOST_TEST_CONTEXT("seed " << seed << " alphabet " << alphabet.size()) {
        // As many pieces as the words give, in the definition's own count.
        const BpeVocabulary expected = train_literally(words, 257 + 70);
        check_same(train(words, static_cast<std::uint32_t>(expected.pieces.size())), expected);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(overlapping_runs_of_one_letter_are_counted_and_merged_from_the_left) {
  Counts words;
  for (std::size_t length = 1; length < 40; ++length) words[std::string(length, 'a')] = 1 + length % 3;
  const BpeVocabulary expected = train_literally(words, 270);
  check_same(train(words, static_cast<std::uint32_t>(expected.pieces.size())), expected);
}

BOOST_AUTO_TEST_CASE(a_text_gives_the_merges_of_the_literal_definition) {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += "One day, Mia didn't find her " + std::to_string(i * 37) + " shells.  \"Oh no!\" she said.\n";
  }
  const Counts words = words_of(text);
  check_same(train(words, 300), train_literally(words, 300));
}

BOOST_AUTO_TEST_CASE(a_corpus_that_is_too_small_or_empty_is_refused_with_the_possible_size) {
  BpeTrainerOptions options;
  options.vocab_size = 300;
  const Result<BpeVocabulary> small = train_bpe({{"abc", 3}}, options);
  BOOST_REQUIRE(!small);
  BOOST_TEST((small.error().code == ErrorCode::invalid_argument));
  BOOST_TEST(small.error().message.find("a vocabulary of at most 259") != std::string::npos);
  const Result<BpeVocabulary> empty = train_bpe({}, options);
  BOOST_REQUIRE(!empty);
  BOOST_TEST(empty.error().message.find("no words") != std::string::npos);
  // Pairs that occur once are no pieces.
  BOOST_TEST(!train_bpe({{"abcdefgh", 1}}, options));
}

BOOST_AUTO_TEST_CASE(sizes_outside_the_limits_are_refused) {
  for (const std::uint32_t size : {0u, 256u, 65537u, 0xFFFFFFFFu}) {
    BpeTrainerOptions options;
    options.vocab_size = size;
    const Result<BpeVocabulary> vocabulary = train_bpe({{"ab", 2}}, options);
    BOOST_REQUIRE(!vocabulary);
    BOOST_TEST((vocabulary.error().code == ErrorCode::invalid_argument));
  }
}

BOOST_AUTO_TEST_CASE(training_can_be_stopped) {
  BpeTrainerOptions options;
  options.vocab_size = 258;
  options.progress = [](std::uint32_t, std::uint32_t) { return false; };
  const Result<BpeVocabulary> vocabulary = train_bpe({{"ab", 2}}, options);
  BOOST_REQUIRE(!vocabulary);
  BOOST_TEST((vocabulary.error().code == ErrorCode::cancelled));
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_distinct_words_are_trained_in_seconds) {
  const Counts words = random_words(9, "abcdefghijklmnopqrstuvwxyz", 100000, 12);
  const BpeVocabulary vocabulary = train(words, 4000);
  BOOST_TEST(vocabulary.merges.size() == 4000 - 257u);
}

BOOST_AUTO_TEST_CASE(the_file_names_every_id_and_merge_in_characters_that_stand_for_bytes) {
  const BpeVocabulary vocabulary = train({{" \"\n\xC3\xA9", 4}, {" \"", 3}}, 259);
  const nlohmann::json json = nlohmann::json::parse(tokenizer_json(vocabulary));
  const nlohmann::json& model = json["model"];
  BOOST_TEST(model["type"] == "BPE");
  BOOST_TEST(model["vocab"].size() == 259);
  for (std::size_t id = 1; id < vocabulary.pieces.size(); ++id) {
    BOOST_TEST(model["vocab"][byte_characters(vocabulary.pieces[id])] == id);
  }
  BOOST_TEST(model["vocab"]["<|endoftext|>"] == 0);
  BOOST_TEST(json["added_tokens"][0]["content"] == "<|endoftext|>");
  BOOST_TEST(model["merges"][0] == "\u0120 \"");
  BOOST_TEST(byte_characters(" \n\xAD\xFF!") == "\u0120\u010A\u0143\u00FF!");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
