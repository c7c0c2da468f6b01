#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <tessera/client.hpp>

namespace {

using namespace tessera::client;
namespace fs = std::filesystem;

/// A state folder as `tessera up` leaves it.
struct Folder {
  fs::path root = fs::temp_directory_path() / ("tessera-client-options-" + std::to_string(::getpid()));
  Folder() {
    fs::create_directories(root / "ca");
    write("ca/ca.pem", "AUTHORITY");
    write("me.pem", "CERTIFICATE");
    write("me.key", "KEY");
    fs::permissions(root / "me.key", fs::perms::owner_read | fs::perms::owner_write);
  }
  ~Folder() { fs::remove_all(root); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(root / name) << text; }
};

constexpr const char* good = R"({"coordinator": "127.0.0.1:7070", "server_name": "c", "authority": "ca/ca.pem",
                                 "certificate": "me.pem", "key": "me.key"})";

BOOST_FIXTURE_TEST_SUITE(options, Folder)

BOOST_AUTO_TEST_CASE(a_state_folder_says_where_the_cluster_is_and_who_the_client_is) {
  write("client.json", good);
  for (const fs::path& path : {root, root / "client.json"}) {
    const auto options = load_options(path.string());
    BOOST_REQUIRE_MESSAGE(static_cast<bool>(options), (options ? "" : options.error().message));
    BOOST_TEST(options->coordinator == "127.0.0.1:7070");
    BOOST_TEST(options->server_name == "c");
    BOOST_TEST(options->authority_pem == "AUTHORITY");
    BOOST_TEST(options->certificate_pem == "CERTIFICATE");
    BOOST_TEST(options->key_pem == "KEY");
  }
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_none_is_not_found) {
  const auto options = load_options((root / "elsewhere").string());
  BOOST_REQUIRE(!options);
  BOOST_TEST((options.error().code == ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(a_damaged_file_is_named_with_what_is_missing) {
  write("client.json", "{");
  BOOST_TEST((load_options(root.string()).error().code == ErrorCode::corrupt));
  write("client.json", R"({"coordinator": "127.0.0.1:7070", "server_name": 3})");
  const auto options = load_options(root.string());
  BOOST_REQUIRE(!options);
  BOOST_TEST((options.error().code == ErrorCode::corrupt));
  BOOST_TEST(options.error().message.find("server_name") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_key_that_others_can_read_is_refused) {
  write("client.json", good);
  fs::permissions(root / "me.key", fs::perms::others_read, fs::perm_options::add);
  BOOST_TEST(!load_options(root.string()));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
