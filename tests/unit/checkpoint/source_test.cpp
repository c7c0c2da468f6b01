#include <filesystem>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(source)

namespace {

std::vector<std::byte> some_bytes() {
  std::vector<std::byte> bytes(10000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i % 251);
  return bytes;
}

void check_refused(const std::string& name, ErrorCode code, const std::string& named) {
  const auto opened = open_source(name);
  BOOST_REQUIRE_MESSAGE(!opened, name << " was accepted");
  BOOST_TEST((opened.error().code == code), opened.error().message);
  BOOST_TEST(opened.error().message.find(named) != std::string::npos, opened.error().message);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_path_and_its_uri_name_the_same_file) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a b%41.bin");
  write_file(path, some_bytes());
  const std::string uri = "file://" + folder.file("a%20b%2541.bin");
  for (const std::string& name : {path, uri, "FILE://localhost" + folder.file("a b%2541.bin")}) {
    const auto opened = open_source(name);
    BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
    BOOST_TEST((*opened)->uri() == uri);
    BOOST_TEST((*opened)->name() == path);
    BOOST_TEST((*opened)->size() == 10000u);
  }
}

BOOST_AUTO_TEST_CASE(a_relative_path_becomes_an_absolute_uri) {
  const TemporaryFolder folder;
  write_file(folder.file("m.bin"), some_bytes());
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const auto opened = open_source("m.bin");
  std::filesystem::current_path(before);
  BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
  BOOST_TEST((*opened)->uri() == "file://" + folder.file("m.bin"));
}

BOOST_AUTO_TEST_CASE(ranges_are_read_and_mapped_exactly) {
  const TemporaryFolder folder;
  const auto bytes = some_bytes();
  write_file(folder.file("m.bin"), bytes);
  const auto source = open_source(folder.file("m.bin"));
  BOOST_REQUIRE_MESSAGE(source, message_of(source));
  for (const std::size_t offset : {0, 1, 4095, 4096, 9999, 10000}) {
    for (const std::size_t length : {0, 1, 4096, 5000, 10000}) {
      std::vector<std::byte> out(length);
      const auto read = (*source)->read(offset, out);
      const auto mapped = (*source)->map(offset, length);
      const bool inside = offset + length <= bytes.size();
      BOOST_REQUIRE_EQUAL(bool(read), inside);
      BOOST_REQUIRE_EQUAL(bool(mapped), inside);
      if (!inside) {
        BOOST_TEST((read.error().code == ErrorCode::corrupt));
        BOOST_TEST(read.error().message.find("m.bin") != std::string::npos);
        continue;
      }
      const std::span<const std::byte> expected = std::span(bytes).subspan(offset, length);
      BOOST_TEST(std::ranges::equal(out, expected));
      BOOST_TEST(std::ranges::equal(mapped->bytes(), expected));
    }
  }
  std::vector<std::byte> out(10);
  BOOST_TEST(!(*source)->read(~std::uint64_t{0}, out));
  BOOST_TEST(!(*source)->read(~std::uint64_t{0} - 4, out));
  BOOST_TEST(!(*source)->map(~std::uint64_t{0} - 4, 10));
  BOOST_TEST(!(*source)->map(1, ~std::size_t{0}));
}

BOOST_AUTO_TEST_CASE(what_is_not_a_file_is_refused_with_a_remedy) {
  const TemporaryFolder folder;
  check_refused(folder.path().string(), ErrorCode::invalid_argument, "is a folder");
  check_refused(folder.file("absent.h5"), ErrorCode::not_found, "absent.h5: no such file");
  check_refused("file://" + folder.file("absent.h5"), ErrorCode::not_found, "absent.h5: no such file");
  const std::string pipe = folder.file("pipe");
  BOOST_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  check_refused(pipe, ErrorCode::invalid_argument, "not a regular file");
  check_refused("/dev/null", ErrorCode::invalid_argument, "not a regular file");
  check_refused("", ErrorCode::invalid_argument, "no checkpoint was named");
  check_refused(std::string("a\0b", 3), ErrorCode::invalid_argument, "zero byte");
  check_refused("file:///a%00b", ErrorCode::invalid_argument, "zero byte");
  check_refused("file:///a%4", ErrorCode::invalid_argument, "file:///absolute/path");
  check_refused("file://host/a", ErrorCode::invalid_argument, "file:///absolute/path");
  check_refused(std::string(100000, 'x'), ErrorCode::invalid_argument, "bytes");
}

BOOST_AUTO_TEST_CASE(other_schemes_are_refused_with_the_supported_ones) {
  check_refused("s3://bucket/m.h5", ErrorCode::unsupported, "supported: file://");
  check_refused("WebHDFS://host:1/m.h5", ErrorCode::unsupported, "webhdfs://");
  check_refused("https://host/m.h5", ErrorCode::unsupported, "supported: file://");
}

BOOST_AUTO_TEST_SUITE_END()
