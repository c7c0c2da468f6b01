// Encoding with small vocabularies of every kind, made here: by hand, and against plain algorithms on random input.
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/text/piece_trie.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/unit/text/bpe_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;
using namespace std::string_literals;

/// Data of `kind` with the pieces given, none special, nothing put around a text.
TokenizerData plain_data(TokenizerKind kind, std::vector<std::string> pieces) {
  TokenizerData data;
  data.kind = kind;
  data.framed = true;
  data.pieces = std::move(pieces);
  data.special.assign(data.pieces.size(), false);
  data.bos = data.unknown = data.first_byte = -1;
  data.eos.clear();
  return data;
}

/// All bytes, then what `merges` make, in order.
TokenizerData byte_merges(const std::vector<std::pair<std::string, std::string>>& merges) {
  std::vector<std::string> pieces;
  for (int value = 0; value < 256; ++value) pieces.emplace_back(1, static_cast<char>(value));
  std::map<std::string, TokenId> ids;
  for (std::size_t id = 0; id < pieces.size(); ++id) ids[pieces[id]] = static_cast<TokenId>(id);
  std::vector<Merge> list;
  for (const auto& [left, right] : merges) {
    list.push_back({ids.at(left), ids.at(right)});
    if (ids.emplace(left + right, static_cast<TokenId>(pieces.size())).second) pieces.push_back(left + right);
  }
  TokenizerData data = plain_data(TokenizerKind::merge_bpe, std::move(pieces));
  data.byte_symbols = true;
  data.merges = std::move(list);
  return data;
}

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  std::uint32_t roll(std::uint32_t sides) { return philox(philox_key(seed_), {next_++, 0, 0, 0})[0] % sides; }

 private:
  std::uint64_t seed_;
  std::uint32_t next_ = 0;
};

BOOST_AUTO_TEST_SUITE(models)

BOOST_AUTO_TEST_CASE(merges_are_made_in_the_order_of_their_list) {
  const Tokenizer tokenizer = make(byte_merges({{"b", "c"}, {"a", "b"}, {"a", "bc"}}));
  CHECK_IDS(tokenizer.encode("abc"), {258});
  CHECK_IDS(tokenizer.encode("abab"), {257, 257});
  CHECK_IDS(tokenizer.encode("\xFF"), {255});
}

BOOST_AUTO_TEST_CASE(a_piece_that_no_merge_makes_is_only_taken_as_a_whole_word) {
  TokenizerData data = byte_merges({{"a", "b"}});
  data.pieces.push_back("abc");
  data.special.push_back(false);
  CHECK_IDS(make(data).encode("abc"), {256, 'c'});
  data.whole_words = true;
  CHECK_IDS(make(data).encode("abc"), {257});
  CHECK_IDS(make(data).encode("abcd"), {256, 'c', 'd'});
}

BOOST_AUTO_TEST_CASE(merging_equals_the_plain_algorithm_on_random_lists) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Dice dice(seed);
    std::vector<std::pair<std::string, std::string>> merges;
    std::vector<std::string> known = {"a", "b", "c"};
    for (std::uint32_t count = 1 + dice.roll(15); count > 0; --count) {
      const std::string left = known[dice.roll(static_cast<std::uint32_t>(known.size()))];
      const std::string right = known[dice.roll(static_cast<std::uint32_t>(known.size()))];
      merges.emplace_back(left, right);
      known.push_back(left + right);
    }
    std::string text;
    for (std::uint32_t length = dice.roll(50); length > 0; --length) text += "abc"[dice.roll(3)];
    std::vector<std::string> parts;
    for (const char byte : text) parts.emplace_back(1, byte);
    while (true) {
      std::size_t best = merges.size(), best_at = 0;
      for (std::size_t at = 0; at + 1 < parts.size(); ++at) {
        const auto found = std::find(merges.begin(), merges.end(), std::pair(parts[at], parts[at + 1]));
        const auto rank = static_cast<std::size_t>(found - merges.begin());
        if (rank < best) {
          best = rank;
          best_at = at;
        }
      }
      if (best == merges.size()) break;
      parts[best_at] += parts[best_at + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
    }
    const Tokenizer tokenizer = make(byte_merges(merges));
    std::vector<std::string> actual;
    for (const TokenId id : tokenizer.encode(text))
      actual.push_back(tokenizer.data().pieces[static_cast<std::size_t>(id)]);
    BOOST_TEST_REQUIRE((actual == parts), "seed " << seed << ": " << text);
  }
}

BOOST_AUTO_TEST_CASE(unigram_takes_the_best_sum_of_scores) {
  TokenizerData data = plain_data(TokenizerKind::unigram, {"<unk>", "a", "b", "ab", "abc", "bc"});
  data.scores = {0, -1, -1, -3, -2.5f, -1.2f};
  data.special[0] = true;
  data.unknown = 0;
  CHECK_IDS(make(data).encode("ab"), {1, 2});
  CHECK_IDS(make(data).encode("abc"), {1, 5});
  CHECK_IDS(make(data).encode("axxb"), {1, 0, 0, 2});
  data.fuses_unknown = true;
  CHECK_IDS(make(data).encode("axxb"), {1, 0, 2});
}

BOOST_AUTO_TEST_CASE(unigram_equals_trying_all_ways_on_random_vocabularies) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Dice dice(seed);
    std::vector<std::string> pieces = {"a", "b", "\u00E9"};
    for (std::uint32_t count = dice.roll(12); count > 0; --count) {
      std::string piece;
      for (std::uint32_t length = 1 + dice.roll(4); length > 0; --length) piece += pieces[dice.roll(3)];
      if (std::find(pieces.begin(), pieces.end(), piece) == pieces.end()) pieces.push_back(piece);
    }
    TokenizerData data = plain_data(TokenizerKind::unigram, pieces);
    for (std::size_t id = 0; id < pieces.size(); ++id)
      data.scores.push_back(-static_cast<float>(1 + dice.roll(4000)) / 512);
    std::string text;
    for (std::uint32_t length = 1 + dice.roll(12); length > 0; --length) text += pieces[dice.roll(3)];
    // best[i]: the best sum for the first i bytes.
    std::vector<double> best(text.size() + 1, -1e9);
    best[0] = 0;
    for (std::size_t begin = 0; begin < text.size(); ++begin) {
      for (std::size_t id = 0; id < pieces.size(); ++id) {
        if (text.compare(begin, pieces[id].size(), pieces[id]) != 0) continue;
        double& target = best[begin + pieces[id].size()];
        target = std::max(target, best[begin] + static_cast<double>(data.scores[id]));
      }
    }
    const Tokenizer tokenizer = make(data);
    double sum = 0;
    const Ids ids = tokenizer.encode(text);
    for (const TokenId id : ids) sum += static_cast<double>(data.scores[static_cast<std::size_t>(id)]);
    BOOST_TEST_REQUIRE(tokenizer.decode(ids) == text);
    BOOST_TEST_REQUIRE(sum == best.back(), "seed " << seed << ": " << text);
  }
}

TokenizerData word_piece_data() {
  TokenizerData data = plain_data(TokenizerKind::word_piece,
                                  {"[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "able", ".", "##\u00E9", "n't"});
  for (std::size_t id = 0; id < 3; ++id) data.special[id] = true;
  data.unknown = 0;
  data.splitter = {{R"(\s+)", SplitBehavior::removed, false}, {R"([\p{P}])", SplitBehavior::isolated, false}};
  return data;
}

BOOST_AUTO_TEST_CASE(word_piece_takes_the_longest_piece_or_gives_the_word_up) {
  TokenizerData data = word_piece_data();
  const Tokenizer tokenizer = make(data);
  CHECK_IDS(tokenizer.encode("unaffable able."), {3, 4, 5, 6, 7});
  CHECK_IDS(tokenizer.encode("unx able un\u00E9"), {0, 6, 3, 8});
  data.word_characters_max = 4;
  CHECK_IDS(make(data).encode("unaffable able"), {0, 6});
}

BOOST_AUTO_TEST_CASE(word_piece_text_has_spaces_between_words_only) {
  TokenizerData data = word_piece_data();
  BOOST_TEST(make(data).decode(Ids{1, 3, 4, 5, 6, 7, 2}) == "unaffable able .");
  data.cleans_up = true;
  BOOST_TEST(make(data).decode(Ids{1, 3, 4, 5, 6, 9, 7, 2}) == "unaffable ablen't.");
}

BOOST_AUTO_TEST_CASE(added_tokens_are_found_where_they_may_be) {
  TokenizerData data = byte_merges({});
  data.pieces.insert(data.pieces.end(), {"<s>", "<sep>", "  ", "word"});
  data.special.insert(data.special.end(), {true, true, false, false});
  data.added = {{256, "<s>", true, false, false, false, false},
                {257, "<s", true, false, false, true, true},
                {258, "  ", false, false, false, false, false},
                {259, "word", false, false, true, false, false}};
  const Tokenizer tokenizer = make(data);
  const EncodeOptions special{.add_bos = false, .parse_special = true};
  CHECK_IDS(tokenizer.encode("<s>"), {'<', 's', '>'});
  CHECK_IDS(tokenizer.encode("<s>", special), {256});
  CHECK_IDS(tokenizer.encode("a <s b", special), {'a', 257, 'b'});
  CHECK_IDS(tokenizer.encode("a   b"), {'a', 258, ' ', 'b'});
  CHECK_IDS(tokenizer.encode("word words"), {259, ' ', 'w', 'o', 'r', 'd', 's'});
  BOOST_TEST(tokenizer.decode(Ids{256, 'a', 258, 259}) == "a  word");
}

BOOST_AUTO_TEST_CASE(a_frame_is_put_around_text_on_request) {
  TokenizerData data = byte_merges({});
  data.bos = 1;
  data.prefix = {1, 2};
  data.suffix = {3};
  const Tokenizer tokenizer = make(data);
  CHECK_IDS(tokenizer.encode("a"), {1, 2, 'a'});
  CHECK_IDS(tokenizer.encode("a", {.add_bos = false, .add_eos = true}), {'a', 3});
  BOOST_TEST(tokenizer.start_id() == 1);
  data.prefix.clear();
  CHECK_IDS(make(data).encode("a"), {'a'});
  BOOST_TEST(make(data).start_id() == -1);
}

BOOST_AUTO_TEST_CASE(random_bytes_come_back_from_every_kind_that_knows_bytes) {
  std::vector<TokenizerData> kinds = {byte_merges({{"a", "b"}, {" ", "ab"}, {"\xC3", "\xA9"}}),
                                      bpe_data({"a", "ab", " ab"})};
  kinds[0].splitter = {{R"(\s?\p{L}+|\s+|[^\s\p{L}]+)", SplitBehavior::isolated, false}};
  kinds.push_back(bpe_data({"a", "ab", " ab"}));
  kinds.back().kind = TokenizerKind::unigram;
  for (const TokenizerData& data : kinds) {
    const Tokenizer tokenizer = make(data);
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
      Dice dice(seed);
      std::string text;
      for (std::uint32_t length = dice.roll(60); length > 0; --length) {
        text += dice.roll(3) == 0 ? static_cast<char>(dice.roll(256)) : "ab \xC3\xA9"[dice.roll(5)];
      }
      BOOST_TEST_REQUIRE(tokenizer.decode(tokenizer.encode(text, without_bos)) == text, "seed " << seed);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_megabyte_of_one_letter_is_encoded_in_good_time_by_every_kind) {
  // A quadratic algorithm would take 10^12 steps.
  const std::string text(1'000'000, 'a');
  std::vector<std::pair<std::string, std::string>> merges;
  for (std::size_t length = 1; length <= 64; length *= 2)
    merges.emplace_back(std::string(length, 'a'), std::string(length, 'a'));
  TokenizerData unigram = plain_data(TokenizerKind::unigram, {"a", "aa", "aaaa", "aaaaaaaa"});
  unigram.scores = {-4, -3, -2, -1};
  TokenizerData words = plain_data(TokenizerKind::word_piece, {"a", "##aa", "##a"});
  TokenizerData split = byte_merges(merges);
  split.splitter = {{R"(\s+(?!\S)|\p{L}+|\s+)", SplitBehavior::isolated, false}};
  for (const TokenizerData& data : {byte_merges(merges), unigram, words, split}) {
    const Tokenizer tokenizer = make(data);
    BOOST_TEST((tokenizer.decode(tokenizer.encode(text)) == text));
  }
}

BOOST_AUTO_TEST_CASE(merges_that_make_no_sense_are_refused) {
  const auto check = [](auto change, const std::string& cause) {
    TokenizerData data = byte_merges({{"a", "b"}, {"ab", "c"}});
    change(data);
    const auto tokenizer = Tokenizer::create(std::move(data), "m.h5");
    BOOST_TEST_REQUIRE(!tokenizer, "accepted, although " << cause);
    BOOST_TEST((tokenizer.error().code == ErrorCode::corrupt));
    BOOST_TEST(tokenizer.error().message.find(cause) != std::string::npos, tokenizer.error().message);
  };
  check([](auto& d) { d.merges.push_back({1, 999}); }, "merge 2 joins ids that are not in it");
  check([](auto& d) { d.merges.push_back({-1, 1}); }, "merge 2 joins ids that are not in it");
  check([](auto& d) { d.merges.push_back({'x', 'y'}); }, "merge 2 joins two pieces to what is no piece");
  check([](auto& d) { d.pieces['a'].clear(); }, "merge 0 joins a piece that is empty");
  check([](auto& d) { d.kind = TokenizerKind::word_piece; }, "merges that its kind does not use");
  check([](auto& d) { d.added.push_back({999, "x", false, false, false, false, false}); }, "id of an added token");
  check([](auto& d) { d.added.push_back({1, "", false, false, false, false, false}); }, "has no name");
  check([](auto& d) { d.prefix = {999}; }, "puts around a text");
  check([](auto& d) { d.unreachable = {true}; }, "reachable or not");
  check([](auto& d) { d.normalizer.push_back({NormalizerOp::replace, 0, "", "x"}); }, "replaces nothing");
  check(
      [](auto& d) {
        d.normalizer.push_back({NormalizerOp::replace, 0, "a", std::string(1000, 'x')});
      },
      "much longer");
  check([](auto& d) { d.splitter.push_back({"(a+)+$", SplitBehavior::isolated, false}); }, "too many steps");
}

BOOST_AUTO_TEST_CASE(a_trie_gives_every_piece_that_begins_a_text) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Dice dice(seed);
    std::vector<std::string> texts;
    for (std::uint32_t count = dice.roll(40); count > 0; --count) {
      std::string text;
      for (std::uint32_t length = dice.roll(6); length > 0; --length)
        text += static_cast<char>('a' + dice.roll(2 + static_cast<std::uint32_t>(seed % 12)));
      texts.push_back(text);
    }
    std::vector<PieceTrie::Entry> entries;
    for (std::size_t id = 0; id < texts.size(); ++id) entries.emplace_back(texts[id], static_cast<TokenId>(id));
    const PieceTrie trie(entries);
    const std::string probe = texts.empty() ? "ab" : texts.front() + texts.back();
    std::vector<std::string> expected, actual;
    for (std::size_t length = 1; length <= probe.size(); ++length) {
      if (std::find(texts.begin(), texts.end(), probe.substr(0, length)) != texts.end())
        expected.push_back(probe.substr(0, length));
    }
    trie.prefixes(probe, [&](std::size_t length, TokenId id) {
      BOOST_TEST_REQUIRE(texts[static_cast<std::size_t>(id)] == probe.substr(0, length));
      actual.push_back(probe.substr(0, length));
    });
    BOOST_TEST_REQUIRE((actual == expected), "seed " << seed);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
