#include "runtime/base/rng.hpp"

#include <cstdint>

#include <boost/test/unit_test.hpp>

namespace {

using namespace tessera;

void check_words(const PhiloxCounter& words, const PhiloxCounter& expected) {
  BOOST_TEST(words == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE(rng)

// The known-answer vectors of philox4x32 with 10 rounds in the Random123 distribution (kat_vectors).
BOOST_AUTO_TEST_CASE(philox_gives_the_known_answers) {
  check_words(philox({0, 0}, {0, 0, 0, 0}), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check_words(philox({0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
              {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check_words(philox({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
              {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

BOOST_AUTO_TEST_CASE(a_seed_becomes_a_key_with_its_low_word_first) {
  const PhiloxKey expected = {0x89abcdef, 0x01234567};
  BOOST_TEST(philox_key(0x0123456789abcdef) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_uniform_double_is_the_top_53_bits_of_the_first_two_words) {
  const std::uint64_t bits = 0x6627e8d5e169c58d >> 11;
  BOOST_TEST(uniform_double({0, 0}, {0, 0, 0, 0}) == static_cast<double>(bits) * 0x1p-53);
}

BOOST_AUTO_TEST_CASE(uniform_doubles_fill_zero_to_one_evenly) {
  constexpr int draws = 100'000, bins = 10;
  int counts[bins] = {};
  for (std::uint32_t i = 0; i < draws; ++i) {
    const double u = uniform_double(philox_key(7), {i, 0, 0, 0});
    BOOST_TEST_REQUIRE((u >= 0.0 && u < 1.0));
    ++counts[static_cast<int>(u * bins)];
  }
  // Standard deviation of a bin is about 95; six of them.
  for (const int count : counts) BOOST_TEST((count > draws / bins - 570 && count < draws / bins + 570));
}

BOOST_AUTO_TEST_CASE(key_and_every_word_of_the_counter_matter) {
  const PhiloxCounter plain = philox({1, 2}, {3, 4, 5, 6});
  BOOST_TEST((plain != philox({9, 2}, {3, 4, 5, 6})));
  BOOST_TEST((plain != philox({1, 9}, {3, 4, 5, 6})));
  for (std::size_t word = 0; word < 4; ++word) {
    PhiloxCounter counter = {3, 4, 5, 6};
    counter[word] += 1;
    BOOST_TEST((plain != philox({1, 2}, counter)));
  }
}

BOOST_AUTO_TEST_CASE(the_system_gives_a_new_seed_each_time) {
  SystemEntropy entropy;
  const std::uint64_t first = entropy.next_seed();
  BOOST_TEST(entropy.next_seed() != first);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
