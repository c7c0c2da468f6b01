// Each step of a normalizer by itself, and what hostile text can make it cost.
#include "runtime/text/normalizer.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/text/unicode.hpp"
#include "runtime/text/utf8.hpp"

namespace {

using namespace tessera;
using namespace std::string_literals;
using Step = NormalizerStep;

std::string normal(const std::vector<Step>& steps, std::string_view text, bool at_start = true) {
  const auto normalizer = Normalizer::create(steps, "t");
  BOOST_TEST_REQUIRE(static_cast<bool>(normalizer), normalizer.error().message);
  Regex::Scratch scratch;
  return normalizer->apply(text, at_start, {}, scratch);
}

std::string normal(NormalizerOp op, std::string_view text, int flags = 0) {
  return normal({{op, static_cast<std::uint8_t>(flags), {}, {}}}, text);
}

BOOST_AUTO_TEST_SUITE(normalizer)

BOOST_AUTO_TEST_CASE(unicode_forms_compose_and_decompose) {
  BOOST_TEST(normal(NormalizerOp::nfc, "e\u0301 \u212B") == "\u00E9 \u00C5");
  BOOST_TEST(normal(NormalizerOp::nfd, "\u00E9") == "e\u0301");
  BOOST_TEST(normal(NormalizerOp::nfkc, "\uFB01 \u2460") == "fi 1");
  BOOST_TEST(normal(NormalizerOp::nfkd, "\uFB01\u00E9") == "fie\u0301");
  BOOST_TEST(normal(NormalizerOp::nfc,
                    "\xFF"
                    "e\u0301\xC3") == "\xFF\u00E9\xC3");
}

BOOST_AUTO_TEST_CASE(a_long_run_of_marks_does_not_take_quadratic_time) {
  // Each mark that sorts first would be moved before all that came before it.
  std::string text = "a";
  for (int count = 0; count < 200'000; ++count) text += count % 2 == 0 ? "\u0301" : "\u0316";
  BOOST_TEST(normal(NormalizerOp::nfc, text).size() == text.size() - 1);  // the first mark joins the letter
}

BOOST_AUTO_TEST_CASE(case_accents_and_white_space_go_where_a_step_says_so) {
  BOOST_TEST(normal(NormalizerOp::lower_case, "\u00C9A\u0130\xFF") == "\u00E9ai\u0307\xFF");
  BOOST_TEST(normal(NormalizerOp::strip_accents, "e\u0301x") == "ex");
  BOOST_TEST(normal(NormalizerOp::strip, "\u00A0 a b \n", Step::flag_left | Step::flag_right) == "a b");
  BOOST_TEST(normal(NormalizerOp::strip, " a ", Step::flag_left) == "a ");
  BOOST_TEST(normal(NormalizerOp::strip, " a ", Step::flag_right) == " a");
  BOOST_TEST(normal(NormalizerOp::strip, "   ", Step::flag_right) == "");
  BOOST_TEST(normal(NormalizerOp::nmt, "a\x01\tb\u200B") == "a b ");
}

BOOST_AUTO_TEST_CASE(texts_are_put_before_and_after) {
  const auto prepend = [](int flags, std::string_view text, bool at_start) {
    return normal({{NormalizerOp::prepend, static_cast<std::uint8_t>(flags), "> ", {}}}, text, at_start);
  };
  BOOST_TEST(prepend(0, "a", false) == "> a");
  BOOST_TEST(prepend(0, "", true) == "");
  BOOST_TEST(prepend(Step::flag_first, "a", false) == "a");
  BOOST_TEST(prepend(Step::flag_first, "a", true) == "> a");
  BOOST_TEST(prepend(Step::flag_unless_space, " a", true) == " a");
  BOOST_TEST(normal({{NormalizerOp::append, 0, " <", {}}}, "a") == "a <");
}

BOOST_AUTO_TEST_CASE(texts_and_patterns_are_replaced) {
  BOOST_TEST(normal({{NormalizerOp::replace, 0, "ab", "x"}}, "ababcab") == "xxcx");
  BOOST_TEST(normal({{NormalizerOp::replace_regex, 0, " {2,}", " "}}, "a   b\xFF  c") == "a b\xFF c");
}

BOOST_AUTO_TEST_CASE(bert_text_is_cleaned_lowered_and_spaced) {
  const int all = Step::flag_clean | Step::flag_chinese | Step::flag_accents | Step::flag_lower;
  BOOST_TEST(normal(NormalizerOp::bert, "H\u00E9\tL\0O\u4E2D\u200B!"s, all) == "he lo \u4E2D !");
  BOOST_TEST(normal(NormalizerOp::bert, "H\u00E9", Step::flag_clean) == "H\u00E9");
}

/// A map with one entry: "A" becomes "bc". Units of darts-clone: the root, the node of 'A', its leaf.
std::string small_charsmap() {
  std::vector<std::uint32_t> units(256, 0);
  constexpr std::uint32_t offset = 1, node = offset ^ 'A', leaf_offset = 2, leaf = node ^ leaf_offset;
  units[0] = offset << 10;
  units[node] = leaf_offset << 10 | 1u << 8 | 'A';
  units[leaf] = 0x80000000u;  // the value 0: the first replacement
  const auto bytes = static_cast<std::uint32_t>(units.size() * sizeof units[0]);
  std::string map(sizeof bytes + bytes, '\0');
  std::memcpy(map.data(), &bytes, sizeof bytes);
  std::memcpy(map.data() + sizeof bytes, units.data(), bytes);
  return map + "bc" + '\0';
}

BOOST_AUTO_TEST_CASE(a_map_of_characters_replaces_its_entries_and_trims_spaces) {
  const std::string map = small_charsmap();
  BOOST_TEST(normal({{NormalizerOp::charsmap, 0, map, {}}}, " xAA  \u00E9") == " xbcbc  \u00E9");
  BOOST_TEST(normal({{NormalizerOp::charsmap, Step::flag_trim, map, {}}}, "  A  x ") == "bc x");
  BOOST_TEST(normal({{NormalizerOp::charsmap, Step::flag_trim, {}, {}}}, "   ") == "");
}

BOOST_AUTO_TEST_CASE(a_damaged_map_is_refused_or_harmless) {
  const std::string map = small_charsmap();
  for (const std::string& bad :
       {"\x01"s, "\xFF\xFF\xFF\xFF"s + map, map.substr(0, map.size() - 1), map.substr(0, 40)}) {
    const std::vector<Step> steps = {{NormalizerOp::charsmap, 0, bad, {}}};
    BOOST_TEST(!Normalizer::create(steps, "t"));
  }
  std::string changed = map;
  for (std::size_t at = 4; at + 4 < changed.size(); ++at) {
    for (const char value : {'\xFF', '\x01', 'A'}) {
      const char old = std::exchange(changed[at], value);
      normal({{NormalizerOp::charsmap, 0, changed, {}}}, "AAxA");
      changed[at] = old;
    }
  }
}

BOOST_AUTO_TEST_CASE(code_points_and_bytes_are_inverses) {
  for (char32_t value = 0; value < 0x110000; value += value < 0x3000 ? 1 : 97) {
    if (value >= 0xD800 && value < 0xE000) continue;
    std::string text;
    append_utf8(text, value);
    const CodePoint character = first_code_point(text + "x");
    BOOST_TEST_REQUIRE((character.is_valid && character.value == value && character.length == text.size()));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
