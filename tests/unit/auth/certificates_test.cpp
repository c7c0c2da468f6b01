#include "cluster/auth/certificates.hpp"

#include <chrono>
#include <openssl/pem.h>
#include <string>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/openssl_handles.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

constexpr std::chrono::sys_seconds now{std::chrono::sys_days(std::chrono::year(2030) / 5 / 17) + 12h};

CertificateAuthority new_authority(const std::string& cluster = "demo") {
  auto authority = CertificateAuthority::create(cluster, now);
  BOOST_TEST_REQUIRE(bool(authority), authority.error().message);
  return std::move(*authority);
}

std::string subject_alternative_name(const std::string& pem) {
  const auto certificate = openssl::parse_certificate(pem);
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  const int at = X509_get_ext_by_NID(certificate.get(), NID_subject_alt_name, -1);
  BOOST_TEST_REQUIRE(at >= 0);
  X509V3_EXT_print(bio.get(), X509_get_ext(certificate.get(), at), 0, 0);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

BOOST_AUTO_TEST_SUITE(certificates)

BOOST_AUTO_TEST_CASE(an_issued_certificate_says_who_its_holder_is_and_for_how_long) {
  const auto authority = new_authority();
  const auto issued = authority.issue({Role::worker, "w1"}, now);
  BOOST_TEST_REQUIRE(bool(issued));
  const auto facts = read_certificate(issued->certificate_pem);
  BOOST_TEST_REQUIRE(bool(facts));
  BOOST_TEST((facts->identity == Identity{Role::worker, "w1"}));
  BOOST_TEST((facts->not_before == now - 1h));
  BOOST_TEST((facts->not_after == now + certificate_lifetime));
  BOOST_TEST(subject_alternative_name(issued->certificate_pem) == "DNS:w1.worker.tessera");
  BOOST_TEST(bool(check_credentials(*issued, authority.certificate_pem(), now)));
}

BOOST_AUTO_TEST_CASE(no_certificate_outlives_its_authority) {
  const auto authority = new_authority();
  const auto late = now + authority_lifetime - 24h;
  const auto issued = authority.issue({Role::worker, "w1"}, late);
  BOOST_TEST_REQUIRE(bool(issued));
  BOOST_TEST((read_certificate(issued->certificate_pem)->not_after == now + authority_lifetime));
  const auto refused = authority.issue({Role::worker, "w1"}, now + authority_lifetime);
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::denied));
}

BOOST_AUTO_TEST_CASE(a_request_is_signed_for_the_identity_that_the_signer_chooses) {
  const auto authority = new_authority();
  const auto request = make_certificate_request();
  BOOST_TEST_REQUIRE(bool(request));
  const auto signed_pem = authority.sign(request->request_pem, {Role::worker, "w9"}, now);
  BOOST_TEST_REQUIRE(bool(signed_pem));
  const Credentials credentials{*signed_pem, request->key_pem};
  BOOST_TEST(bool(check_credentials(credentials, authority.certificate_pem(), now)));
  BOOST_TEST((read_certificate(*signed_pem)->identity == Identity{Role::worker, "w9"}));
}

BOOST_AUTO_TEST_CASE(requests_that_prove_nothing_are_refused) {
  const auto authority = new_authority();
  for (const std::string& text : {std::string(), std::string("hello"), authority.certificate_pem()}) {
    const auto refused = authority.sign(text, {Role::worker, "w9"}, now);
    BOOST_TEST_REQUIRE(!refused);
    BOOST_TEST(refused.error().message == "the text is not a certificate request in PEM");
  }
  // A valid request with the key of another: the signature does not fit.
  const auto mine = openssl::parse_request(make_certificate_request()->request_pem);
  const auto other = openssl::parse_request(make_certificate_request()->request_pem);
  BOOST_TEST_REQUIRE(X509_REQ_set_pubkey(mine.get(), X509_REQ_get0_pubkey(other.get())) == 1);
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  BOOST_TEST_REQUIRE(PEM_write_bio_X509_REQ(bio.get(), mine.get()) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  const auto refused = authority.sign(std::string(data, static_cast<std::size_t>(size)), {Role::worker, "w9"}, now);
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST(refused.error().message == "the certificate request is not signed with its own key");
}

BOOST_AUTO_TEST_CASE(bad_names_get_no_certificate) {
  BOOST_TEST(!CertificateAuthority::create("Demo,CN=x", now));
  BOOST_TEST(!new_authority().issue({Role::worker, "w1,DNS:c.coordinator.tessera"}, now));
}

BOOST_AUTO_TEST_CASE(credentials_are_checked_against_authority_key_and_time) {
  const auto authority = new_authority(), other = new_authority();
  const auto mine = *authority.issue({Role::worker, "w1"}, now, 24h);
  const auto yours = *authority.issue({Role::worker, "w2"}, now);
  const auto message = [&](const Credentials& credentials, const CertificateAuthority& by, auto at) {
    const auto checked = check_credentials(credentials, by.certificate_pem(), at);
    return checked ? "fine" : checked.error().message;
  };
  BOOST_TEST(message(mine, authority, now + 23h) == "fine");
  BOOST_TEST(message(mine, other, now) == "the certificate of worker:w1 is not signed by this cluster's authority");
  BOOST_TEST(message({mine.certificate_pem, yours.key_pem}, authority, now) ==
             "the certificate of worker:w1 and its key do not belong together");
  BOOST_TEST(message({mine.certificate_pem, "x"}, authority, now) ==
             "the key of worker:w1 is not a private key in PEM");
  BOOST_TEST(message(mine, authority, now + 24h) == "the certificate of worker:w1 has expired");
  BOOST_TEST(message(mine, authority, now - 2h) ==
             "the certificate of worker:w1 is not valid yet: check this machine's clock");
  BOOST_TEST(message({"x", "x"}, authority, now) == "the text is not a certificate in PEM");
  BOOST_TEST(
      message({authority.certificate_pem(), authority.key_pem()}, authority, now) ==
      "the certificate's common name 'Tessera cluster demo' is not ROLE:NAME: it is not a certificate of a Tessera "
      "cluster");
}

BOOST_AUTO_TEST_CASE(an_authority_is_loaded_only_from_texts_that_belong_together) {
  const auto authority = new_authority(), other = new_authority();
  const auto loaded = CertificateAuthority::load(authority.certificate_pem(), authority.key_pem());
  BOOST_TEST_REQUIRE(bool(loaded));
  BOOST_TEST((loaded->fingerprint() == authority.fingerprint()));
  BOOST_TEST((*fingerprint_of(authority.certificate_pem()) == authority.fingerprint()));
  BOOST_TEST((authority.fingerprint() != other.fingerprint()));
  const auto message = [](const auto& result) { return result ? "fine" : result.error().message; };
  BOOST_TEST(message(CertificateAuthority::load(authority.certificate_pem(), other.key_pem())) ==
             "the authority's certificate and key do not belong together");
  BOOST_TEST(message(CertificateAuthority::load("", authority.key_pem())) ==
             "the authority's certificate is not one in PEM");
  BOOST_TEST(message(CertificateAuthority::load(authority.certificate_pem(), "")) ==
             "the authority's key is not a private key in PEM");
  const auto leaf = *authority.issue({Role::worker, "w1"}, now);
  BOOST_TEST(message(CertificateAuthority::load(leaf.certificate_pem, leaf.key_pem)) ==
             "the certificate is not that of an authority");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
