// A list of merges gives the ids that scores give: by hand, and on random vocabularies in which joins come in any
// order.
#include "runtime/text/merge_list.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/unit/text/bpe_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

class Random {
 public:
  explicit Random(std::uint64_t seed) : key_(philox_key(seed)) {}
  std::uint64_t below(std::uint64_t end) { return philox(key_, {count_++, 0, 0, 0})[0] % end; }

 private:
  PhiloxKey key_;
  std::uint32_t count_ = 0;
};

std::string random_text(Random& random, std::size_t length_max, const std::vector<std::string>& letters) {
  std::string text;
  for (std::uint64_t rest = 1 + random.below(length_max); rest > 0; --rest)
    text += letters[random.below(letters.size())];
  return text;
}

/// Some letters, and pieces of up to seven of them, whose scores have nothing to do with their lengths.
TokenizerData random_vocabulary(Random& random, const std::vector<std::string>& letters, bool byte_symbols) {
  std::set<std::string> pieces(letters.begin(), letters.end());
  for (std::uint64_t rest = 3 + random.below(40); rest > 0; --rest) pieces.insert(random_text(random, 7, letters));
  TokenizerData data = bpe_data({pieces.begin(), pieces.end()});
  for (std::size_t id = data.scores.size() - 1; id > 0; --id) std::swap(data.scores[id], data.scores[random.below(id)]);
  data.framed = true;
  data.byte_symbols = byte_symbols;
  data.whole_words = random.below(4) == 0;
  data.merges_unknown = random.below(2) == 0;
  return data;
}

BOOST_AUTO_TEST_SUITE(merge_list)

BOOST_AUTO_TEST_CASE(each_piece_has_the_pair_that_it_is_joined_from_last) {
  // "abc" comes from "ab" + "c", though "bc" is a piece as well; in "caab" the end is joined before the beginning.
  const auto merges = as_merge_list(bpe_data({"ab", "abc", "bc", "a", "b", "c", "ca", "caab"}), "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(merges));
  const std::vector<Merge> expected = {{262, 263}, {259, 264}, {263, 264}, {264, 262}, {265, 259}};
  BOOST_TEST((merges->merges == expected));
  BOOST_TEST((merges->kind == TokenizerKind::merge_bpe));
  BOOST_TEST(merges->scores.empty());
}

BOOST_AUTO_TEST_CASE(random_vocabularies_give_the_same_ids) {
  Random random(11);
  const std::vector<std::string> ascii = {"a", "b", "c"}, mixed = {"a", "\u00e9", "\u20ac", " "};
  std::size_t longest = 0;
  for (int round = 0; round < 300; ++round) {
    const std::vector<std::string>& letters = round % 2 == 0 ? ascii : mixed;
    const TokenizerData data = random_vocabulary(random, letters, round % 2 == 0 && round % 3 == 0);
    auto merges = as_merge_list(data, "m.h5");
    BOOST_TEST_REQUIRE(static_cast<bool>(merges), merges.error().message);
    longest = std::max(longest, merges->merges.size());
    const Tokenizer scored = make(data), listed = make(*std::move(merges));
    for (int i = 0; i < 30; ++i) {
      const std::string text = random_text(random, 40, letters) + (i % 5 == 0 ? "z\xff" : "");
      BOOST_TEST_REQUIRE((scored.encode(text) == listed.encode(text)), "round " << round << ": " << text);
    }
  }
  BOOST_TEST(longest >= 15u);
}

BOOST_AUTO_TEST_CASE(a_space_before_a_text_and_what_stands_around_it_stay) {
  TokenizerData data = bpe_data({" ", "a", " a"});
  data.add_space_prefix = true;
  data.pieces[1] = "\n<s>\n";
  auto merges = as_merge_list(data, "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(merges));
  BOOST_TEST(merges->pieces[1] == "<s>");
  const Tokenizer scored = make(data), listed = make(*std::move(merges));
  for (const char* const text : {"a", " a", "", "a a", "b"}) {
    BOOST_TEST((scored.encode(text) == listed.encode(text)), text);
    BOOST_TEST((scored.encode(text, without_bos) == listed.encode(text, without_bos)), text);
    BOOST_TEST(scored.decode(scored.encode(text)) == listed.decode(listed.encode(text)));
  }
}

BOOST_AUTO_TEST_CASE(what_no_list_can_say_is_refused) {
  const auto message = [](const TokenizerData& data) {
    const auto merges = as_merge_list(data, "m.h5");
    return merges ? std::string() : merges.error().message;
  };
  TokenizerData same = bpe_data({"a", "b", "ab", "ba"});
  same.scores[261] = same.scores[262];
  BOOST_TEST(message(same) == "m.h5: its scores are no list of merges: pieces 261 and 262 have the same score");
  TokenizerData unknown = bpe_data({"a", "az"});
  unknown.merges_unknown = true;
  BOOST_TEST(message(unknown).find("piece 260 is joined from what is no piece") != std::string::npos);
  BOOST_TEST(message(make(bpe_data({})).data()).empty());
  TokenizerData bytes;
  BOOST_TEST(message(bytes).find("it has none") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
