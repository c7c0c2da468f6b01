// Encoding with a scored_bpe vocabulary: by hand, against the naive algorithm, and against a trained model's reference.
#include "runtime/text/byte_pair.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/text/bpe_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;
using namespace std::string_literals;

BOOST_AUTO_TEST_SUITE(byte_pair)

BOOST_AUTO_TEST_CASE(the_best_scored_pair_is_merged_first) {
  // "ab" (259) beats "bc" (260), although "a" + "bc" would also do; then "ab" + "c" is no piece.
  const Tokenizer tokenizer = make(bpe_data({"ab", "bc", "a", "b", "c"}));
  CHECK_IDS(tokenizer.encode("abc"), {1, 259, 263});
  CHECK_IDS(tokenizer.encode("abc", without_bos), {259, 263});
  CHECK_IDS(tokenizer.encode("", without_bos), {});
  CHECK_IDS(tokenizer.encode(""), {1});
}

BOOST_AUTO_TEST_CASE(of_equal_scores_the_leftmost_pair_is_merged_first) {
  TokenizerData data = bpe_data({"a", "aa", "b", "ab", "ba"});
  data.scores.assign(data.scores.size(), 0.0f);
  const Tokenizer tokenizer = make(std::move(data));
  CHECK_IDS(tokenizer.encode("aaa", without_bos), {260, 259});
  CHECK_IDS(tokenizer.encode("abab", without_bos), {262, 262});
  CHECK_IDS(tokenizer.encode("babab", without_bos), {263, 263, 261});
}

BOOST_AUTO_TEST_CASE(of_equal_pieces_the_lowest_id_counts) {
  const Tokenizer tokenizer = make(bpe_data({"a", "a", "aa", "aa"}));
  CHECK_IDS(tokenizer.encode("aa", without_bos), {261});
}

BOOST_AUTO_TEST_CASE(a_character_without_a_piece_falls_back_to_its_bytes) {
  const Tokenizer tokenizer = make(bpe_data({"a", "\u20AC"}));
  CHECK_IDS(tokenizer.encode("a\u00E9\u20AC", without_bos), {259, 3 + 0xC3, 3 + 0xA9, 260});
  CHECK_IDS(tokenizer.encode("\0"s, without_bos), {3});
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_character_fall_back_one_by_one) {
  const Tokenizer tokenizer = make(bpe_data({"a"}));
  CHECK_IDS(tokenizer.encode("a\xE2\x82"
                             "a\xFF\xF0",
                             without_bos),
            {259, 3 + 0xE2, 3 + 0x82, 259, 3 + 0xFF, 3 + 0xF0});
}

BOOST_AUTO_TEST_CASE(without_byte_fallback_a_character_becomes_one_unknown) {
  TokenizerData data = bpe_data({"a"});
  data.first_byte = -1;
  CHECK_IDS(make(data).encode("a\u20AC\xFF", without_bos), {259, 0, 0});
  data.unknown = -1;
  CHECK_IDS(make(data).encode("a\u20AC\xFF", without_bos), {259});
}

BOOST_AUTO_TEST_CASE(fallback_bytes_are_never_merged) {
  // The pieces of the two halves together are U+00E9, but no character of the text is.
  TokenizerData data = bpe_data({"x", "\xC3\xA9x"});
  const Tokenizer tokenizer = make(std::move(data));
  CHECK_IDS(tokenizer.encode("\u00E9x", without_bos), {3 + 0xC3, 3 + 0xA9, 259});
}

BOOST_AUTO_TEST_CASE(special_pieces_and_byte_names_never_come_from_text) {
  TokenizerData data =
      bpe_data({"<", "s", ">", "<s", "<s>", "0", "x", "6", "5", "<0", "<0x", "<0x6", "<0x65", "<0x65>"});
  data.special[263] = true;  // "<s>"
  data.special[272] = true;  // "<0x65>"
  const Tokenizer tokenizer = make(std::move(data));
  CHECK_IDS(tokenizer.encode("<s>", without_bos), {262, 261});
  CHECK_IDS(tokenizer.encode("<0x65>", without_bos), {271, 261});  // the name of byte id 68 in this vocabulary
}

/// The algorithm of llama2.c as it is defined: look at all neighbours, merge the best, repeat.
Ids encode_naively(const TokenizerData& data, const std::string& text) {
  const auto find = [&](const std::string& piece) {
    for (std::size_t id = 259; id < data.pieces.size(); ++id) {
      if (!data.special[id] && data.pieces[id] == piece) return static_cast<TokenId>(id);
    }
    return TokenId{-1};
  };
  Ids ids;
  for (std::size_t at = 0; at < text.size();) {
    // Of the characters of these tests the lead bytes C3, E2 and F0 announce two, three and four bytes; alone they are
    // invalid.
    const std::size_t announced = text[at] == '\xC3' ? 2 : text[at] == '\xE2' ? 3 : text[at] == '\xF0' ? 4 : 1;
    const std::string_view rest = std::string_view(text).substr(at + 1, announced - 1);
    const bool whole = rest.size() + 1 == announced &&
                       std::all_of(rest.begin(), rest.end(), [](char byte) { return (byte & 0xC0) == 0x80; });
    const std::size_t length = whole ? announced : 1;
    const std::string character = text.substr(at, length);
    if (const TokenId id = find(character); id >= 0) {
      ids.push_back(id);
    } else {
      for (const char byte : character) ids.push_back(3 + static_cast<unsigned char>(byte));
    }
    at += length;
  }
  while (true) {
    TokenId best = -1;
    std::size_t best_at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      if (ids[i] < 259 || ids[i + 1] < 259) continue;
      const TokenId id =
          find(data.pieces[static_cast<std::size_t>(ids[i])] + data.pieces[static_cast<std::size_t>(ids[i + 1])]);
      const auto score = [&](TokenId of) { return data.scores[static_cast<std::size_t>(of)]; };
      if (id >= 0 && (best < 0 || score(id) > score(best))) {
        best = id;
        best_at = i;
      }
    }
    if (best < 0) return ids;
    ids[best_at] = best;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

/// A random vocabulary over a, b, space and U+00E9 with duplicates, equal scores and special pieces, and a random text.
struct RandomCase {
  TokenizerData data;
  std::string text;

  explicit RandomCase(std::uint64_t seed) {
    std::uint32_t next = 0;
    const auto roll = [&](std::uint32_t sides) { return philox(philox_key(seed), {next++, 0, 0, 0})[0] % sides; };
    const std::string characters[] = {"a", "b", " ", "\u00E9"};
    std::vector<std::string> pieces = {"a", "b"};
    for (std::uint32_t count = 5 + roll(25); pieces.size() < count;) {
      std::string piece;
      for (std::uint32_t length = 1 + roll(5); length > 0; --length) piece += characters[roll(4)];
      pieces.push_back(piece);
    }
    data = bpe_data(pieces);
    for (std::size_t id = 259; id < data.pieces.size(); ++id) {
      data.scores[id] = static_cast<float>(roll(6)) - 3.0f;
      data.special[id] = roll(12) == 0;
    }
    for (std::uint32_t length = roll(60); length > 0; --length) text += roll(15) == 0 ? "\xC3" : characters[roll(4)];
  }
};

BOOST_AUTO_TEST_CASE(encoding_equals_the_naive_algorithm_on_random_vocabularies) {
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    const RandomCase random(seed);
    const Tokenizer tokenizer = make(random.data);
    const Ids ids = tokenizer.encode(random.text, without_bos);
    BOOST_TEST_REQUIRE((ids == encode_naively(random.data, random.text)), "seed " << seed << ": " << random.text);
    BOOST_TEST_REQUIRE(tokenizer.decode(ids) == random.text, "seed " << seed);
  }
}

BOOST_AUTO_TEST_CASE(a_long_run_of_mergeable_text_is_encoded_in_good_time) {
  // The naive algorithm would take 10^11 steps.
  std::vector<std::string> pieces;
  for (std::size_t length = 1; length <= 1024; length *= 2) pieces.emplace_back(length, 'a');
  TokenizerData data = bpe_data(pieces);
  const Tokenizer tokenizer = make(std::move(data));
  const Ids ids = tokenizer.encode(std::string(500'000, 'a'), without_bos);
  BOOST_TEST(ids.size() == 500'000u / 1024 + 2);  // 288 more: 256 + 32
  BOOST_TEST(tokenizer.decode(ids) == std::string(500'000, 'a'));
}

// Trained vocabulary of the shared stories260K model.

/// A tokenizer file of llama2.c: int32 length of the longest piece; for each id float32 score, int32 length, bytes.
TokenizerData read_tok512() {
  std::ifstream file(shared_folder() / "data/models/stories260K/tok512.bin", std::ios::binary);
  TokenizerData data;
  data.kind = TokenizerKind::scored_bpe;
  data.add_space_prefix = true;
  std::int32_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  for (int id = 0; id < 512; ++id) {
    float score = 0;
    file.read(reinterpret_cast<char*>(&score), sizeof score);
    file.read(reinterpret_cast<char*>(&length), sizeof length);
    BOOST_TEST_REQUIRE((file && length >= 0 && length < 100));
    data.pieces.emplace_back(static_cast<std::size_t>(length), '\0');
    file.read(data.pieces.back().data(), length);
    data.scores.push_back(score);
    data.special.push_back(id < 3);
  }
  BOOST_TEST_REQUIRE(static_cast<bool>(file));
  return data;
}

BOOST_AUTO_TEST_CASE(a_trained_vocabulary_gives_the_reference_ids_and_text,
                     *boost::unit_test::precondition(SharedPresent("data/models/stories260K"))) {
  const Tokenizer tokenizer = make(read_tok512());
  CHECK_IDS(tokenizer.encode("Once upon a time"), {1, 403, 407, 261, 378});
  std::ifstream file(shared_folder() / "data/models/stories260K/reference_generations.json");
  const nlohmann::json references = nlohmann::json::parse(file);
  CHECK_IDS(tokenizer.encode("Once upon a time"), (references["stories260K/once"]["prompt_ids"].get<Ids>()));
  BOOST_TEST_REQUIRE(references.size() > 0u);
  for (const auto& [name, reference] : references.items()) {
    const std::string text = reference["text"].get<std::string>();
    const Ids ids = reference["ids"].get<Ids>();
    BOOST_TEST(tokenizer.decode(ids) == text, name);
  }
}

BOOST_AUTO_TEST_CASE(a_trained_vocabulary_gives_text_back_after_encoding,
                     *boost::unit_test::precondition(SharedPresent("data/models/stories260K"))) {
  const TokenizerData data = read_tok512();
  const Tokenizer tokenizer = make(data);
  for (const std::string text :
       {"Lily said, \"Let's go!\"\n", "  two spaces", "na\u00EFve \u20AC \U0001F600", "\xFF\xC3"}) {
    BOOST_TEST(tokenizer.decode(tokenizer.encode(text)) == text);
    BOOST_TEST((tokenizer.encode(text, without_bos) == encode_naively(data, " " + text)), text);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
