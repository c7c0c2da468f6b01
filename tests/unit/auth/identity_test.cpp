#include "cluster/auth/identity.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

namespace {

using namespace tessera;

BOOST_AUTO_TEST_SUITE(identity)

BOOST_AUTO_TEST_CASE(every_identity_is_read_back_from_its_common_name) {
  for (const char* role : {"coordinator", "worker", "gateway", "operator", "user"}) {
    const auto identity = parse_common_name(std::string(role) + ":w-1");
    BOOST_TEST_REQUIRE(bool(identity));
    BOOST_TEST(to_string(identity->role) == std::string(role));
    BOOST_TEST(common_name(*identity) == std::string(role) + ":w-1");
    BOOST_TEST(dns_name(*identity) == std::string("w-1.") + role + ".tessera");
  }
}

BOOST_AUTO_TEST_CASE(anything_else_is_no_identity) {
  for (const char* text : {"", ":", "worker", "worker:", ":w1", "Worker:w1", "worker:W1", "worker:w1:x", "worker: w1",
                           "root:w1", "worker:w1.operator", "worker:-w1"}) {
    const auto identity = parse_common_name(text);
    BOOST_TEST_REQUIRE(!identity, text);
    BOOST_TEST((identity.error().code == ErrorCode::denied));
  }
  BOOST_TEST(parse_common_name("www.example.org").error().message ==
             "the certificate's common name 'www.example.org' is not ROLE:NAME: it is not a certificate of a Tessera "
             "cluster");
}

BOOST_AUTO_TEST_CASE(names_are_labels_of_dns_names) {
  for (const char* name : {"a", "w1", "1", "node-17", "a234567890b234567890c234567890d234567890"}) {
    BOOST_TEST(is_valid_name(name), name);
  }
  for (const char* name :
       {"", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a234567890b234567890c234567890d234567890e"}) {
    BOOST_TEST(!is_valid_name(name), name);
  }
  BOOST_TEST(check_name("node", "W 1").error().message ==
             "'W 1' cannot be the name of a node: write 1 to 40 lower-case letters, digits and hyphens, with no hyphen "
             "at either end");
}

BOOST_AUTO_TEST_CASE(an_unknown_role_is_refused_with_the_known_ones) {
  BOOST_TEST(parse_role("boss").error().message ==
             "'boss' is not a role: write coordinator, worker, gateway, operator or user");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
