#include "runtime/checkpoint/crc32c.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/checkpoint/hdf5_object_header.hpp"

using namespace tessera;

BOOST_AUTO_TEST_SUITE(checksums)

namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

BOOST_AUTO_TEST_CASE(crc32c_has_the_published_values) {
  BOOST_TEST(crc32c(bytes_of("123456789")) == 0xE3069283u);
  BOOST_TEST(crc32c({}) == 0u);
  // RFC 3720, appendix B.4.
  std::vector<std::byte> bytes(32, std::byte{0});
  BOOST_TEST(crc32c(bytes) == 0x8A9136AAu);
  bytes.assign(32, std::byte{0xff});
  BOOST_TEST(crc32c(bytes) == 0x62A8AB43u);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  BOOST_TEST(crc32c(bytes) == 0x46DD794Eu);
}

BOOST_AUTO_TEST_CASE(crc32c_of_parts_gives_that_of_the_whole) {
  std::vector<std::byte> bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(philox({1, 2}, {static_cast<std::uint32_t>(i)})[0]);
  const std::span<const std::byte> all(bytes);
  const std::uint32_t whole = crc32c(all);
  for (const std::size_t cut : {0, 1, 7, 64, 500, 999, 1000}) {
    const auto first = all.first(cut);
    const auto second = all.subspan(cut);
    BOOST_TEST(crc32c(second, crc32c(first)) == whole);
    BOOST_TEST(Crc32cConcat(second.size())(crc32c(first), crc32c(second)) == whole);
  }
}

BOOST_AUTO_TEST_CASE(lookup3_has_the_published_values) {
  // The examples at the end of lookup3.c, hashlittle with initial value 0.
  BOOST_TEST(lookup3({}) == 0xdeadbeefu);
  BOOST_TEST(lookup3(bytes_of("Four score and seven years ago")) == 0x17770551u);
}

BOOST_AUTO_TEST_SUITE_END()
