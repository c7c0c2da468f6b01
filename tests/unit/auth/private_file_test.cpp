#include "cluster/auth/private_file.hpp"

#include <filesystem>
#include <string>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"

namespace {

using namespace tessera;

mode_t rights_of(const std::string& file) {
  struct stat facts {};
  BOOST_TEST_REQUIRE(::stat(file.c_str(), &facts) == 0);
  return facts.st_mode & 07777;
}

BOOST_AUTO_TEST_SUITE(private_file)

BOOST_AUTO_TEST_CASE(keys_are_written_so_that_only_their_owner_can_read_them) {
  const test::TemporaryFolder folder;
  BOOST_TEST(bool(write_file_atomically(folder.file("k"), "secret", FileAccess::owner)));
  BOOST_TEST(bool(write_file_atomically(folder.file("c"), "public", FileAccess::everyone)));
  BOOST_TEST((rights_of(folder.file("k")) == 0600 && rights_of(folder.file("c")) == 0644));
  BOOST_TEST(*read_private_file(folder.file("k")) == "secret");
  BOOST_TEST(*read_text_file(folder.file("c")) == "public");
}

BOOST_AUTO_TEST_CASE(a_key_that_others_may_read_is_refused) {
  const test::TemporaryFolder folder;
  BOOST_TEST(bool(write_file_atomically(folder.file("k"), "secret", FileAccess::everyone)));
  const auto text = read_private_file(folder.file("k"));
  BOOST_TEST_REQUIRE(!text);
  BOOST_TEST((text.error().code == ErrorCode::denied));
  BOOST_TEST(text.error().message ==
             folder.file("k") + " holds a secret that others may read: chmod 600 " + folder.file("k"));
}

BOOST_AUTO_TEST_CASE(a_file_is_replaced_whole_and_leaves_no_other_behind) {
  const test::TemporaryFolder folder;
  BOOST_TEST(bool(write_file_atomically(folder.file("f"), "a long first text", FileAccess::owner)));
  BOOST_TEST(bool(write_file_atomically(folder.file("f"), "second", FileAccess::owner)));
  BOOST_TEST(*read_text_file(folder.file("f")) == "second");
  std::filesystem::create_directory(folder.file("taken"));
  BOOST_TEST(!write_file_atomically(folder.file("taken"), "x", FileAccess::owner));
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++files;
  BOOST_TEST(files == 2u);
}

BOOST_AUTO_TEST_CASE(errors_name_the_file_and_the_reason) {
  const test::TemporaryFolder folder;
  const auto missing = read_text_file(folder.file("x"));
  BOOST_TEST_REQUIRE(!missing);
  BOOST_TEST((missing.error().code == ErrorCode::not_found));
  BOOST_TEST(missing.error().message == "cannot read " + folder.file("x") + ": No such file or directory");
  const auto unwritten = write_file_atomically(folder.file("no/x"), "", FileAccess::owner);
  BOOST_TEST(unwritten.error().message == "cannot write " + folder.file("no/x") + ": No such file or directory");
  BOOST_TEST(
      bool(write_file_atomically(folder.file("big"), std::string(private_file_bytes_max + 1, 'x'), FileAccess::owner)));
  BOOST_TEST((read_text_file(folder.file("big")).error().code == ErrorCode::corrupt));
}

BOOST_AUTO_TEST_CASE(private_folders_are_made_with_their_parents_and_closed_to_others) {
  const test::TemporaryFolder folder;
  BOOST_TEST(bool(make_private_folder(folder.file("a/b"))));
  BOOST_TEST(rights_of(folder.file("a/b")) == 0700u);
  std::filesystem::permissions(folder.file("a/b"), std::filesystem::perms::all);
  BOOST_TEST(bool(make_private_folder(folder.file("a/b"))));
  BOOST_TEST(rights_of(folder.file("a/b")) == 0700u);
  BOOST_TEST(bool(write_file_atomically(folder.file("f"), "", FileAccess::owner)));
  BOOST_TEST(!make_private_folder(folder.file("f")));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
