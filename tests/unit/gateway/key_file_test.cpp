// The file of API keys: private, whole at every moment, and recognised as another one when it changes.
#include "gateway/key_file.hpp"

#include <filesystem>
#include <set>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"

using namespace tessera;
using namespace tessera::gateway;

namespace {

ApiKey key_named(const std::string& name) { return {name, hash_of_key(name), {}}; }

std::size_t files_in(const std::string& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_key_file)

BOOST_AUTO_TEST_CASE(keys_come_and_go_and_only_their_owner_can_read_the_file) {
  const test::TemporaryFolder folder;
  const std::string file = folder.file("keys.json");
  BOOST_TEST((read_key_file(file).error().code == ErrorCode::not_found));
  BOOST_TEST((remove_key(file, "a").error().code == ErrorCode::not_found));
  BOOST_TEST(!std::filesystem::exists(file));
  BOOST_REQUIRE(static_cast<bool>(add_key(file, key_named("a"))));
  BOOST_REQUIRE(static_cast<bool>(add_key(file, key_named("b"))));
  struct stat facts {};
  BOOST_REQUIRE(::stat(file.c_str(), &facts) == 0);
  BOOST_TEST((facts.st_mode & 07777) == 0600u);
  BOOST_TEST((add_key(file, key_named("a")).error().code == ErrorCode::conflict));
  BOOST_REQUIRE(static_cast<bool>(remove_key(file, "a")));
  const auto book = read_key_file(file);
  BOOST_REQUIRE(static_cast<bool>(book));
  BOOST_TEST(book->keys().size() == 1u);
  BOOST_TEST(book->keys()[0].name == "b");
  BOOST_TEST(files_in(folder.path()) == 1u);
}

BOOST_AUTO_TEST_CASE(a_file_that_others_may_read_or_that_is_damaged_is_left_as_it_is) {
  const test::TemporaryFolder folder;
  const std::string file = folder.file("keys.json");
  BOOST_REQUIRE(static_cast<bool>(add_key(file, key_named("a"))));
  BOOST_REQUIRE(::chmod(file.c_str(), 0644) == 0);
  BOOST_TEST((add_key(file, key_named("b")).error().code == ErrorCode::denied));
  BOOST_REQUIRE(::chmod(file.c_str(), 0600) == 0);
  std::filesystem::resize_file(file, 20);
  BOOST_TEST((add_key(file, key_named("b")).error().code == ErrorCode::corrupt));
  BOOST_TEST((remove_key(file, "a").error().code == ErrorCode::corrupt));
  BOOST_TEST(std::filesystem::file_size(file) == 20u);
  BOOST_TEST((add_key(folder.file("absent/keys.json"), key_named("b")).error().code == ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(who_changes_it_at_the_same_time_loses_nothing) {
  const test::TemporaryFolder folder;
  const std::string file = folder.file("keys.json");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 4; ++j) (void)add_key(file, key_named("k" + std::to_string(i) + "-" + std::to_string(j)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto book = read_key_file(file);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(book), book.error().message);
  BOOST_TEST(book->keys().size() == 32u);
}

BOOST_AUTO_TEST_CASE(a_change_is_another_file) {
  const test::TemporaryFolder folder;
  const std::string file = folder.file("keys.json");
  BOOST_TEST(!mark_of(file).has_value());
  BOOST_REQUIRE(static_cast<bool>(add_key(file, key_named("a"))));
  const auto first = mark_of(file);
  BOOST_REQUIRE(first.has_value());
  BOOST_TEST((mark_of(file) == first));
  BOOST_REQUIRE(static_cast<bool>(add_key(file, key_named("b"))));
  const auto second = mark_of(file);
  BOOST_TEST((second != first));
  // Of the same length.
  BOOST_REQUIRE(static_cast<bool>(remove_key(file, "b")));
  BOOST_REQUIRE(static_cast<bool>(add_key(file, key_named("c"))));
  BOOST_TEST((mark_of(file) != second));
}

BOOST_AUTO_TEST_SUITE_END()
