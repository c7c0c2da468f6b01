#include "cluster/config/state_folder.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/private_file.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

constexpr std::chrono::sys_seconds now{std::chrono::sys_days(std::chrono::year(2030) / 5 / 17)};

ClusterConfig config_in(const test::TemporaryFolder& folder) {
  auto config = parse_config(R"(
name = "demo"
coordinator = "c"
[[nodes]]
name = "c"
host = "localhost"
roles = ["coordinator", "worker"]
[[nodes]]
name = "w1"
)",
                             folder.file("cluster.toml"));
  BOOST_TEST_REQUIRE(bool(config), config.error().message);
  return std::move(*config);
}

/// Every file below a folder with its text.
std::map<std::string, std::string> files_in(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder)] = *read_text_file(entry.path());
  }
  return files;
}

BOOST_AUTO_TEST_SUITE(state_folder)

BOOST_AUTO_TEST_CASE(a_new_cluster_gets_its_authority_and_certificates) {
  const test::TemporaryFolder folder;
  const ClusterConfig config = config_in(folder);
  const auto authority = prepare_state(config, now);
  BOOST_TEST_REQUIRE(bool(authority), authority.error().message);
  const StateFolder state(config.state_dir);
  BOOST_TEST((load_authority(state)->fingerprint() == authority->fingerprint()));
  for (const Identity& identity : {Identity{Role::coordinator, "c"}, Identity{Role::worker, "c"},
                                   Identity{Role::worker, "w1"}, local_operator()}) {
    const auto credentials = load_credentials(state, identity, now);
    BOOST_TEST(bool(credentials), common_name(identity));
  }
  BOOST_TEST(files_in(state.root()).size() == 10u);
}

BOOST_AUTO_TEST_CASE(keys_and_the_folder_are_closed_to_others) {
  const test::TemporaryFolder folder;
  const ClusterConfig config = config_in(folder);
  BOOST_TEST_REQUIRE(bool(prepare_state(config, now)));
  const auto rights = [](const std::filesystem::path& path) {
    struct stat facts {};
    BOOST_TEST_REQUIRE(::stat(path.c_str(), &facts) == 0);
    return facts.st_mode & 0777;
  };
  BOOST_TEST(rights(config.state_dir) == 0700u);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(config.state_dir)) {
    if (entry.path().extension() == ".key") BOOST_TEST(rights(entry.path()) == 0600u);
    if (entry.is_directory()) BOOST_TEST(rights(entry.path()) == 0700u);
  }
}

BOOST_AUTO_TEST_CASE(preparing_again_changes_nothing) {
  const test::TemporaryFolder folder;
  const ClusterConfig config = config_in(folder);
  BOOST_TEST_REQUIRE(bool(prepare_state(config, now)));
  const auto before = files_in(config.state_dir);
  BOOST_TEST_REQUIRE(bool(prepare_state(config, now + 24h)));
  BOOST_TEST((files_in(config.state_dir) == before));
}

BOOST_AUTO_TEST_CASE(what_is_missing_damaged_or_near_its_end_is_made_again) {
  const test::TemporaryFolder folder;
  const ClusterConfig config = config_in(folder);
  const auto authority = prepare_state(config, now);
  BOOST_TEST_REQUIRE(bool(authority));
  const StateFolder state(config.state_dir);
  const Identity w1{Role::worker, "w1"}, c{Role::coordinator, "c"};
  std::filesystem::remove(state.key(w1));
  BOOST_TEST(bool(write_file_atomically(state.certificate(c), "damaged", FileAccess::everyone)));
  const auto short_lived = authority->issue(local_operator(), now, 29 * 24h);
  BOOST_TEST(bool(store_credentials(state, local_operator(), *short_lived, authority->certificate_pem())));
  const auto again = prepare_state(config, now);
  BOOST_TEST_REQUIRE(bool(again), again.error().message);
  BOOST_TEST((again->fingerprint() == authority->fingerprint()));
  for (const Identity& identity : {w1, c, local_operator()}) {
    BOOST_TEST(bool(load_credentials(state, identity, now + 365 * 24h)), common_name(identity));
  }
}

BOOST_AUTO_TEST_CASE(an_authority_whose_key_is_gone_is_not_replaced) {
  const test::TemporaryFolder folder;
  const ClusterConfig config = config_in(folder);
  BOOST_TEST_REQUIRE(bool(prepare_state(config, now)));
  const StateFolder state(config.state_dir);
  std::filesystem::remove(state.authority_key());
  const auto again = prepare_state(config, now);
  BOOST_TEST_REQUIRE(!again);
  BOOST_TEST((again.error().code == ErrorCode::not_found));
  BOOST_TEST(again.error().message ==
             state.authority_key().string() +
                 " is gone, and without it nobody can be admitted to the cluster: restore it, or "
                 "remove " +
                 state.root().string() + " to make a new cluster");
}

BOOST_AUTO_TEST_CASE(a_folder_without_a_cluster_is_said_so) {
  const test::TemporaryFolder folder;
  const auto credentials = load_credentials(StateFolder(folder.path()), local_operator(), now);
  BOOST_TEST_REQUIRE(!credentials);
  BOOST_TEST((credentials.error().code == ErrorCode::not_found));
  BOOST_TEST(credentials.error().message ==
             "there is no cluster in " + folder.path().string() +
                 ": launch one with `tessera up`, or join one with `tessera node --join`");
}

BOOST_AUTO_TEST_CASE(credentials_of_another_cluster_or_another_node_are_refused) {
  const test::TemporaryFolder folder;
  const ClusterConfig config = config_in(folder);
  const auto authority = prepare_state(config, now);
  BOOST_TEST_REQUIRE(bool(authority));
  const StateFolder state(config.state_dir);
  const Identity w1{Role::worker, "w1"};
  const auto message = [&] {
    const auto credentials = load_credentials(state, w1, now);
    return credentials ? "fine" : credentials.error().message;
  };
  const auto other = CertificateAuthority::create("demo", now);
  BOOST_TEST(bool(store_credentials(state, w1, *other->issue(w1, now), authority->certificate_pem())));
  BOOST_TEST(message() == state.certificate(w1).string() +
                              ": the certificate of worker:w1 is not signed by this cluster's authority");
  BOOST_TEST(
      bool(store_credentials(state, w1, *authority->issue({Role::worker, "w2"}, now), authority->certificate_pem())));
  BOOST_TEST(message() == state.certificate(w1).string() + " is the certificate of worker:w2, not of worker:w1");
}

BOOST_AUTO_TEST_CASE(a_joiner_keeps_what_it_got_in_a_folder_of_its_own) {
  const test::TemporaryFolder folder;
  const auto authority = CertificateAuthority::create("demo", now);
  const auto request = make_certificate_request();
  const Identity w9{Role::worker, "w9"};
  const StateFolder state(folder.path() / "deep" / "w9");
  const Credentials credentials{*authority->sign(request->request_pem, w9, now), request->key_pem};
  BOOST_TEST(bool(store_credentials(state, w9, credentials, authority->certificate_pem())));
  BOOST_TEST(bool(load_credentials(state, w9, now)));
  BOOST_TEST(*load_authority_certificate(state) == authority->certificate_pem());
  BOOST_TEST((load_authority(state).error().code == ErrorCode::not_found));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
