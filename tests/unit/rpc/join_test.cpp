#include "cluster/auth/fetch_authority.hpp"
#include "cluster/rpc/join_service.hpp"
#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

/// Signs whoever says "good".
class SigningDesk final : public JoinHandler {
 public:
  explicit SigningDesk(const CertificateAuthority& authority) : authority_(authority) {}
  void join(std::string, JoinRequest request, Reply<JoinAnswer> reply) override {
    if (request.token != "good") return reply(Error{ErrorCode::denied, "the token is not known"});
    const Identity identity{Role::worker, request.name};
    auto certificate = authority_.sign(request.request_pem, identity, test_time());
    if (!certificate) return reply(certificate.error());
    reply(JoinAnswer{*certificate, identity, "demo", {Role::coordinator, "c"}, {"", 7070}});
  }

 private:
  const CertificateAuthority& authority_;
};

struct JoinFixture : RpcFixture {
  JoinFixture() : desk(authority.authority()) {
    auto listening =
        JoinServer::listen(*server_thread, {"127.0.0.1", 0}, authority.issue(Role::coordinator, "c"), desk);
    if (!listening) throw std::runtime_error(listening.error().message);
    join_server = std::move(*listening);
  }
  Result<JoinAnswer> join(JoinRequest request) {
    Answer<JoinAnswer> answer;
    join_cluster(
        *client_thread,
        {join_server->endpoint(), authority.authority().certificate_pem(), {Role::coordinator, "c"}, long_deadline},
        std::move(request), answer.reply());
    return answer.wait();
  }

  SigningDesk desk;
  std::unique_ptr<JoinServer> join_server;
};

BOOST_FIXTURE_TEST_SUITE(join, JoinFixture)

BOOST_AUTO_TEST_CASE(a_joiner_learns_the_authority_gets_a_certificate_and_enters_with_it) {
  const Endpoint& endpoint = join_server->endpoint();
  const auto fetched =
      fetch_authority(endpoint.host, endpoint.port, authority.authority().fingerprint(), long_deadline);
  BOOST_REQUIRE(succeeded(fetched));
  BOOST_TEST((fetched->coordinator == Identity{Role::coordinator, "c"}));

  const auto request = make_certificate_request();
  BOOST_REQUIRE(succeeded(request));
  const auto joined = join({"good", request->request_pem, "w9"});
  BOOST_REQUIRE(succeeded(joined));
  BOOST_TEST((joined->identity == Identity{Role::worker, "w9"}));
  BOOST_TEST(joined->cluster == "demo");
  BOOST_TEST((joined->coordinator == Identity{Role::coordinator, "c"}));
  BOOST_TEST((joined->coordinator_rpc == Endpoint{"127.0.0.1", 7070}));

  DialOptions options = dial_options(Role::worker, "w9");
  options.identity = {joined->certificate_pem, request->key_pem, fetched->certificate_pem};
  Answer<CoordinatorClient> answer;
  CoordinatorClient::connect(*client_thread, options, nullptr, answer.reply());
  BOOST_TEST(succeeded(answer.wait()));
}

BOOST_AUTO_TEST_CASE(a_refused_joiner_reads_why) {
  const auto refused = join({"bad", "", "w9"});
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::denied));
  BOOST_TEST(refused.error().message == "the token is not known");
}

BOOST_AUTO_TEST_CASE(an_oversized_request_is_cut_off_and_the_next_joiner_served) {
  BOOST_TEST(!join({"good", std::string(1u << 20, 'x'), "w9"}));
  const auto request = make_certificate_request();
  BOOST_TEST(succeeded(join({"good", request->request_pem, "w9"})));
}

BOOST_AUTO_TEST_CASE(the_wrong_coordinator_gets_no_token) {
  Answer<JoinAnswer> answer;
  join_cluster(
      *client_thread,
      {join_server->endpoint(), authority.authority().certificate_pem(), {Role::coordinator, "d"}, long_deadline},
      {"good", "", "w9"}, answer.reply());
  const auto refused = answer.wait();
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::denied));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
