#include "cluster/auth/secret.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using namespace tessera;

using Bytes = std::vector<std::uint8_t>;

Bytes run(std::uint8_t first, std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
  return bytes;
}

BOOST_AUTO_TEST_SUITE(secret)

BOOST_AUTO_TEST_CASE(hkdf_gives_the_values_of_rfc_5869) {
  // Test cases 1, 2 and 3 of its appendix A.
  BOOST_TEST(to_hex(hkdf_sha256(Bytes(22, 0x0b), run(0x00, 13), run(0xf0, 10), 42)) ==
             "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  BOOST_TEST(
      to_hex(hkdf_sha256(run(0x00, 80), run(0x60, 80), run(0xb0, 80), 82)) ==
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f"
      "09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  BOOST_TEST(to_hex(hkdf_sha256(Bytes(22, 0x0b), {}, {}, 42)) ==
             "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

BOOST_AUTO_TEST_CASE(sha256_gives_the_value_of_its_standard) {
  BOOST_TEST(to_hex(sha256(bytes_of("abc"))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

BOOST_AUTO_TEST_CASE(hexadecimal_digits_come_back_and_nothing_else_is_taken) {
  const Bytes all = run(0, 256);
  Bytes back(256);
  BOOST_TEST(from_hex(to_hex(all), back));
  BOOST_TEST(back == all, boost::test_tools::per_element());
  Bytes two(2);
  BOOST_TEST(from_hex("A0fF", two));
  BOOST_TEST(two == (Bytes{0xa0, 0xff}), boost::test_tools::per_element());
  for (const char* const text : {"", "a0f", "a0ff0", "a0fg", "a0 f", "-1ff", "0xff", "+1ff"})
    BOOST_TEST(!from_hex(text, two), text);
}

BOOST_AUTO_TEST_CASE(random_secrets_differ) {
  const SecretBytes a = random_secret(32), b = random_secret(32);
  BOOST_TEST(a.size() == 32u);
  BOOST_TEST(!equal_in_constant_time(a, b));
}

BOOST_AUTO_TEST_CASE(equality_regards_every_byte_and_the_size) {
  const Bytes bytes = run(1, 20);
  BOOST_TEST(equal_in_constant_time(bytes, run(1, 20)));
  BOOST_TEST(!equal_in_constant_time(bytes, run(1, 19)));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 0x80;
    BOOST_TEST(!equal_in_constant_time(bytes, changed));
  }
}

BOOST_AUTO_TEST_CASE(a_secret_that_is_wiped_or_moved_from_is_empty) {
  SecretBytes a(std::span<const std::uint8_t>(run(1, 8)));
  SecretBytes b = std::move(a);
  BOOST_TEST((a.size() == 0u && b.size() == 8u));
  b.wipe();
  BOOST_TEST(b.size() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
