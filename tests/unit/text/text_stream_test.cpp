#include "runtime/text/text_stream.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/text/utf8.hpp"

namespace {

using namespace tessera;
using namespace std::string_literals;

/// A seeded sequence of small numbers.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : key_(philox_key(seed)) {}
  /// 0 .. sides-1
  std::uint32_t roll(std::uint32_t sides) { return philox(key_, {next_++, 0, 0, 0})[0] % sides; }

 private:
  PhiloxKey key_;
  std::uint32_t next_ = 0;
};

/// Everything that a stream releases when `bytes` arrive at once.
std::string one_shot(const std::vector<std::string>& stops, std::string_view bytes) {
  TextStream stream(stops);
  std::string text = stream.push(bytes);
  return text + stream.finish();
}

/// The same when they arrive one by one.
std::string byte_by_byte(const std::vector<std::string>& stops, std::string_view bytes) {
  TextStream stream(stops);
  std::string text;
  for (const char byte : bytes) text += stream.push({&byte, 1});
  return text + stream.finish();
}

/// A decoder of its own, over code points instead of byte ranges: whether `bytes` is valid UTF-8.
bool is_valid_utf8(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const auto first = static_cast<unsigned char>(bytes[at]);
    const std::size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    if (length == 0 || at + length > bytes.size()) return false;
    std::uint32_t value = length == 1 ? first : first & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<unsigned char>(bytes[at + i]);
      if (byte >> 6 != 2) return false;
      value = value << 6 | (byte & 0x3F);
    }
    constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < smallest[length] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return false;
    at += length;
  }
  return true;
}

/// What the stream must release: the plain definition, over the whole text at once.
std::string expected_output(const std::vector<std::string>& stops, std::string_view bytes) {
  const std::string text = to_valid_utf8(bytes);
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (!stop.empty() && std::string_view(text).substr(0, end).ends_with(stop))
        longest = std::max(longest, stop.size());
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

BOOST_AUTO_TEST_SUITE(text_stream)

BOOST_AUTO_TEST_CASE(plain_text_passes_at_once) {
  TextStream stream;
  BOOST_TEST(stream.push("Once upon") == "Once upon");
  BOOST_TEST(stream.push("") == "");
  BOOST_TEST(stream.push("\0 a\n"s) == "\0 a\n"s);
  BOOST_TEST(stream.finish() == "");
  BOOST_TEST(!stream.stopped());
}

BOOST_AUTO_TEST_CASE(half_a_character_waits_for_its_rest) {
  TextStream stream;
  BOOST_TEST(stream.push("x\xF0\x9F") == "x");
  BOOST_TEST(stream.push("\x98") == "");
  BOOST_TEST(stream.push("\x80y") == "\xF0\x9F\x98\x80y");
  BOOST_TEST(stream.finish() == "");
}

BOOST_AUTO_TEST_CASE(an_unfinished_character_at_the_end_becomes_one_replacement) {
  TextStream stream;
  BOOST_TEST(stream.push("a\xF0\x9F\x98") == "a");
  BOOST_TEST(stream.finish() == "\uFFFD");
  BOOST_TEST(stream.finish() == "");
}

BOOST_AUTO_TEST_CASE(a_byte_that_ends_all_hope_is_replaced_at_once) {
  TextStream stream;
  BOOST_TEST(stream.push("\xE2\x82") == "");
  BOOST_TEST(stream.push("A") == "\uFFFDA");
  BOOST_TEST(stream.push("\xC0") == "\uFFFD");
}

// The examples of the Unicode standard, chapter 3.9, "U+FFFD Substitution of Maximal Subparts" (tables 3-8 to 3-11).
BOOST_AUTO_TEST_CASE(each_maximal_subpart_is_replaced_once_as_in_the_unicode_standard) {
  const std::string r = "\uFFFD";
  BOOST_TEST(one_shot({}, "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == r + r + r + r + r + r + r + r + "A");
  BOOST_TEST(one_shot({}, "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == r + r + r + r + r + r + r + r + "A");
  BOOST_TEST(one_shot({}, "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == r + r + r + r + r + "A" + r + r + "B");
  BOOST_TEST(one_shot({}, "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == r + r + r + r + "A");
}

BOOST_AUTO_TEST_CASE(first_and_last_characters_of_each_length_pass) {
  for (const char* character :
       {"\x7F", "\u0080", "\u07FF", "\u0800", "\uD7FF", "\uE000", "\uFFFF", "\U00010000", "\U0010FFFF"}) {
    BOOST_TEST(byte_by_byte({}, character) == character);
  }
}

BOOST_AUTO_TEST_CASE(a_stop_string_ends_the_text_before_it) {
  TextStream stream({"\nUser:"});
  BOOST_TEST(stream.push("Hello\nUser: more") == "Hello");
  BOOST_TEST(stream.stopped());
  BOOST_TEST(stream.push("text") == "");
  BOOST_TEST(stream.finish() == "");
}

BOOST_AUTO_TEST_CASE(a_stop_string_split_over_pushes_is_found) {
  TextStream stream({"STOP"});
  BOOST_TEST(stream.push("a S") == "a ");
  BOOST_TEST(stream.push("T") == "");
  BOOST_TEST(stream.push("O") == "");
  BOOST_TEST(!stream.stopped());
  BOOST_TEST(stream.push("P!") == "");
  BOOST_TEST(stream.stopped());
}

BOOST_AUTO_TEST_CASE(only_a_true_beginning_of_a_stop_string_is_held_back) {
  TextStream stream({"abac"});
  BOOST_TEST(stream.push("xab") == "x");
  BOOST_TEST(stream.push("a") == "");
  BOOST_TEST(stream.push("b") == "ab");  // "aba" was no beginning after all, but its last "a" and the "b" are one
  BOOST_TEST(stream.push("z") == "abz");
  BOOST_TEST(stream.push("aba") == "");
  BOOST_TEST(stream.finish() == "aba");
}

BOOST_AUTO_TEST_CASE(the_stop_string_that_is_complete_first_wins_and_of_equals_the_longest) {
  BOOST_TEST(byte_by_byte({"abcd", "bc"}, "xabcdy") == "xa");
  BOOST_TEST(one_shot({"abcd", "bc"}, "xabcdy") == "xa");
  BOOST_TEST(byte_by_byte({"c", "abc"}, "xabcd") == "x");
  BOOST_TEST(one_shot({"abc", "c"}, "xabcd") == "x");
}

BOOST_AUTO_TEST_CASE(stop_strings_of_several_bytes_a_character_match_across_pushes) {
  TextStream stream({"\u20AC\u20AC"});
  BOOST_TEST(stream.push("1\xE2") == "1");
  BOOST_TEST(stream.push("\x82\xAC") == "");
  BOOST_TEST(stream.push("\xE2\x82\xAC") == "");
  BOOST_TEST(stream.stopped());
}

BOOST_AUTO_TEST_CASE(a_stop_string_never_matches_inside_a_character) {
  // 82 is the middle of the euro sign; as a stop string it stands for U+FFFD.
  TextStream stream({"\x82"});
  BOOST_TEST(stream.push("\u20AC") == "\u20AC");
  BOOST_TEST(stream.push("a\xFF") == "a");
  BOOST_TEST(stream.stopped());
}

BOOST_AUTO_TEST_CASE(a_replacement_at_the_end_can_complete_a_stop_string) {
  TextStream stream({"x\uFFFD"});
  BOOST_TEST(stream.push("ax\xE2") == "a");
  BOOST_TEST(stream.finish() == "");
  BOOST_TEST(stream.stopped());
}

BOOST_AUTO_TEST_CASE(empty_stop_strings_are_ignored) {
  TextStream stream({"", ""});
  BOOST_TEST(stream.push("text") == "text");
  BOOST_TEST(!stream.stopped());
}

BOOST_AUTO_TEST_CASE(random_bytes_give_the_same_valid_text_however_they_are_cut) {
  // Bytes that begin, continue and break characters, drawn so that all kinds meet often.
  constexpr std::string_view alphabet = "aab\x80\x9F\xA0\xBF\xC1\xC2\xE0\xE1\xED\xF0\xF4\xF5\xFF\xE2\x82\xAC\x8F\x90";
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Dice dice(seed);
    std::string bytes;
    for (std::uint32_t length = dice.roll(60); bytes.size() < length;) {
      bytes += alphabet[dice.roll(static_cast<std::uint32_t>(alphabet.size()))];
    }
    std::vector<std::string> stops;
    for (std::uint32_t count = dice.roll(4); stops.size() < count;) {
      const std::string_view kinds[] = {"a", "b", "\u20AC", "\uFFFD"};
      std::string stop;
      for (std::uint32_t length = dice.roll(5); length > 0; --length) stop += kinds[dice.roll(4)];
      stops.push_back(stop);
    }

    const std::string expected = expected_output(stops, bytes);
    BOOST_TEST_REQUIRE(one_shot(stops, bytes) == expected, "seed " << seed);
    BOOST_TEST_REQUIRE(byte_by_byte(stops, bytes) == expected, "seed " << seed);
    TextStream stream(stops);
    std::string text;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t length = std::min<std::size_t>(dice.roll(6), bytes.size() - at);
      const std::string part = stream.push(std::string_view(bytes).substr(at, length));
      BOOST_TEST_REQUIRE(is_valid_utf8(part), "seed " << seed);
      text += part;
      at += length;
    }
    text += stream.finish();
    BOOST_TEST_REQUIRE(text == expected, "seed " << seed);
    BOOST_TEST_REQUIRE(is_valid_utf8(text), "seed " << seed);
  }
}

BOOST_AUTO_TEST_CASE(what_is_held_back_is_always_the_beginning_of_a_stop_string) {
  const std::vector<std::string> stops = {"aabaa", "baab", "abc"};
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Dice dice(seed);
    TextStream stream(stops);
    std::string pushed, released;
    while (pushed.size() < 40 && !stream.stopped()) {
      const char byte = "aabc"[dice.roll(4)];
      pushed += byte;
      released += stream.push({&byte, 1});
      if (stream.stopped()) break;
      const std::string held = pushed.substr(released.size());
      bool is_beginning = held.empty();
      for (const std::string& stop : stops) is_beginning |= stop.size() > held.size() && stop.starts_with(held);
      BOOST_TEST_REQUIRE(is_beginning, "seed " << seed << " holds " << held);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_long_repetitive_stop_string_costs_linear_time) {
  // A comparison of every position with the whole stop string would be 10^11 steps.
  const std::string stop = std::string(500'000, 'a') + "b";
  TextStream stream({stop});
  std::string text;
  for (int i = 0; i < 1000; ++i) text += stream.push(std::string(1000, 'a'));
  BOOST_TEST(text.size() == 500'000u);
  BOOST_TEST(stream.push("b") == "");
  BOOST_TEST(stream.stopped());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
