#include "runtime/text/tokenizer.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"
#include "tests/unit/text/bpe_fixture.hpp"

namespace {

using namespace tessera;
using namespace std::string_literals;
using namespace tessera::test;

/// Checks that create() refuses `data` as corrupt, naming the file and `cause`.
void check_refused(TokenizerData data, const std::string& cause) {
  const auto result = Tokenizer::create(std::move(data), "m.h5");
  BOOST_TEST_REQUIRE(!result, "accepted, although " << cause);
  BOOST_TEST((result.error().code == ErrorCode::corrupt));
  BOOST_TEST(result.error().message.starts_with("m.h5: "), result.error().message);
  BOOST_TEST(result.error().message.find(cause) != std::string::npos, result.error().message);
}

BOOST_AUTO_TEST_SUITE(tokenizer)

BOOST_AUTO_TEST_CASE(a_space_is_put_before_text_and_taken_off_after_bos) {
  TokenizerData data = bpe_data({" a", " ", "a"});
  data.add_space_prefix = true;
  const Tokenizer tokenizer = make(std::move(data));
  CHECK_IDS(tokenizer.encode("a a"), {1, 259, 259});
  CHECK_IDS(tokenizer.encode(""), {1});
  BOOST_TEST(tokenizer.decode(tokenizer.encode("a a")) == "a a");
  BOOST_TEST(tokenizer.decode(tokenizer.encode("  a")) == "  a");
  BOOST_TEST(tokenizer.decode_piece(1, 259) == "a");
  BOOST_TEST(tokenizer.decode_piece(-1, 259) == " a");
  BOOST_TEST(tokenizer.decode_piece(259, 259) == " a");
}

BOOST_AUTO_TEST_CASE(without_a_bos_the_first_piece_loses_the_space) {
  TokenizerData data = bpe_data({" a", " ", "a"});
  data.add_space_prefix = true;
  data.bos = -1;
  const Tokenizer tokenizer = make(std::move(data));
  CHECK_IDS(tokenizer.encode("a"), {259});
  BOOST_TEST(tokenizer.decode(tokenizer.encode("a a")) == "a a");
}

BOOST_AUTO_TEST_CASE(special_tokens_have_no_text_and_byte_tokens_one_byte) {
  const Tokenizer tokenizer = make(bpe_data({"a"}));
  for (const TokenId special : {0, 1, 2}) BOOST_TEST(tokenizer.decode_piece(-1, special) == "");
  for (int value = 0; value < 256; ++value) {
    BOOST_TEST(tokenizer.decode_piece(-1, 3 + value) == std::string(1, static_cast<char>(value)));
  }
}

BOOST_AUTO_TEST_CASE(any_of_the_eos_ids_is_one) {
  TokenizerData data = bpe_data({"a"});
  data.eos = {2, 259};
  const Tokenizer tokenizer = make(std::move(data));
  BOOST_TEST(tokenizer.is_eos(2));
  BOOST_TEST(tokenizer.is_eos(259));
  BOOST_TEST(!tokenizer.is_eos(1));
  BOOST_TEST(!tokenizer.is_eos(-1));
}

BOOST_AUTO_TEST_CASE(data_that_makes_no_sense_is_refused_with_the_cause) {
  const TokenizerData good = bpe_data({"a", "b"});
  const auto changed = [&](auto change) {
    TokenizerData data = good;
    change(data);
    return data;
  };
  check_refused(changed([](auto& d) { d.bos = 261; }), "beginning-of-sequence id");
  check_refused(changed([](auto& d) { d.bos = -2; }), "beginning-of-sequence id");
  check_refused(changed([](auto& d) { d.unknown = 261; }), "id for unknown text");
  check_refused(changed([](auto& d) { d.eos = {2, -1}; }), "end-of-sequence id");
  check_refused(changed([](auto& d) { d.eos = {261}; }), "end-of-sequence id");
  check_refused(changed([](auto& d) { d.eos.assign(65, 2); }), "more than 64 end-of-sequence ids");
  check_refused(changed([](auto& d) { d.first_byte = 6; }), "256 byte ids");
  check_refused(changed([](auto& d) { d.first_byte = -2; }), "256 byte ids");
  check_refused(changed([](auto& d) { d.first_byte = std::numeric_limits<TokenId>::max(); }), "256 byte ids");
  check_refused(changed([](auto& d) { d.special[258] = true; }), "id 258 is a byte and special at once");
  check_refused(changed([](auto& d) { d.scores.pop_back(); }), "260 scores for 261 pieces");
  check_refused(changed([](auto& d) { d.scores[7] = std::nanf(""); }), "score of id 7");
  check_refused(changed([](auto& d) { d.scores[7] = INFINITY; }), "score of id 7");
  check_refused(changed([](auto& d) { d.special.pop_back(); }), "special or plain");
  check_refused(changed([](auto& d) { d.pieces[4].assign(limits::piece_bytes_max + 1, 'x'); }), "piece of id 4");
  check_refused(changed([](auto& d) { d.kind = TokenizerKind::byte; }), "261 scores");
  check_refused(TokenizerData{}, "no pieces");
  const auto byte_kind = [&](auto change) {
    return changed([&](auto& d) {
      d.kind = TokenizerKind::byte;
      d.scores.clear();
      change(d);
    });
  };
  make(byte_kind([](auto&) {}));
  check_refused(byte_kind([](auto& d) { d.first_byte = -1; }), "a byte tokenizer has byte ids");
  check_refused(byte_kind([](auto& d) { d.add_space_prefix = true; }), "no space prefix");
}

BOOST_AUTO_TEST_CASE(a_tokenizer_beyond_the_size_limit_is_refused) {
  TokenizerData data = bpe_data({});
  const std::size_t count = limits::tokenizer_bytes_max / limits::piece_bytes_max + 300;
  data.pieces.resize(count, std::string(limits::piece_bytes_max, 'x'));
  data.scores.resize(count);
  data.special.resize(count);
  check_refused(std::move(data), "larger than");
}

BOOST_AUTO_TEST_CASE(the_byte_tokenizer_takes_any_bytes_and_gives_them_back) {
  auto data = synthetic_byte_tokenizer(32000);
  BOOST_TEST_REQUIRE(static_cast<bool>(data));
  const Tokenizer tokenizer = make(*data);
  BOOST_TEST(tokenizer.vocab_size() == 32000u);
  CHECK_IDS(tokenizer.encode("A\xFF"), {1, 3 + 'A', 3 + 0xFF});
  std::string all;
  for (int value = 0; value < 256; ++value) all += static_cast<char>(value);
  BOOST_TEST(tokenizer.decode(tokenizer.encode(all)) == all);
  BOOST_TEST(tokenizer.decode(tokenizer.encode("")) == "");
}

BOOST_AUTO_TEST_CASE(synthetic_words_are_distinct_lower_case_and_pronounceable) {
  const auto data = synthetic_byte_tokenizer(limits::vocab_size_max);
  BOOST_TEST_REQUIRE(static_cast<bool>(data));
  const std::set<std::string_view> distinct(data->pieces.begin() + 259, data->pieces.end());
  BOOST_TEST(distinct.size() == limits::vocab_size_max - 259u);
  const auto is_pronounceable = [](std::string_view word) {
    if (word.size() < 3 || word.size() > 9 || word.size() % 2 == 0 || word[0] != ' ') return false;
    for (std::size_t i = 1; i < word.size(); ++i) {
      const bool is_vowel = std::strchr("aeiou", word[i]) != nullptr;
      if (word[i] < 'a' || word[i] > 'z' || is_vowel != (i % 2 == 0)) return false;
    }
    return true;
  };
  for (const std::string_view word : distinct) {
    if (!is_pronounceable(word)) BOOST_FAIL("'" << word << "'");
  }
}

BOOST_AUTO_TEST_CASE(an_impossible_synthetic_vocabulary_is_refused) {
  BOOST_TEST(static_cast<bool>(synthetic_byte_tokenizer(259)));
  for (const std::uint32_t size : {0u, 258u, limits::vocab_size_max + 1}) {
    const auto data = synthetic_byte_tokenizer(size);
    BOOST_TEST_REQUIRE(!data);
    BOOST_TEST((data.error().code == ErrorCode::invalid_argument));
    BOOST_TEST(data.error().message.find(std::to_string(size)) != std::string::npos);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
