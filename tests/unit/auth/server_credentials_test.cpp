#include "cluster/auth/server_credentials.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/private_file.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;

const std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};

Credentials issued() {
  const auto authority = CertificateAuthority::create("demo", now);
  BOOST_TEST_REQUIRE(bool(authority));
  auto credentials = authority->issue({Role::gateway, "g"}, now);
  BOOST_TEST_REQUIRE(bool(credentials));
  return *std::move(credentials);
}

std::string encrypted(const std::string& key_pem) {
  BIO* const in = BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size()));
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO* const out = BIO_new(BIO_s_mem());
  char password[] = "secret";
  BOOST_TEST_REQUIRE(PEM_write_bio_PKCS8PrivateKey(out, key, EVP_aes_128_cbc(), password, 6, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  const std::string text(data, static_cast<std::size_t>(size));
  EVP_PKEY_free(key);
  BIO_free_all(in);
  BIO_free_all(out);
  return text;
}

struct Files {
  Files(const std::string& certificate_pem, const std::string& key_pem, FileAccess key_access = FileAccess::owner) {
    BOOST_TEST(bool(write_file_atomically(certificate, certificate_pem, FileAccess::everyone)));
    BOOST_TEST(bool(write_file_atomically(key, key_pem, key_access)));
  }
  Result<Credentials> load(std::chrono::sys_seconds moment = now) const {
    return load_server_credentials(certificate, key, moment);
  }
  const test::TemporaryFolder folder;
  const std::string certificate = folder.file("c.pem"), key = folder.file("k.pem");
};

void refused(const Result<Credentials>& result, ErrorCode code, const std::string& words) {
  BOOST_TEST_REQUIRE(!result);
  BOOST_TEST((result.error().code == code));
  BOOST_TEST(result.error().message.find(words) != std::string::npos, result.error().message);
}

BOOST_AUTO_TEST_SUITE(server_credentials)

BOOST_AUTO_TEST_CASE(a_certificate_and_its_key_are_taken_with_a_chain_too) {
  const Credentials made = issued();
  const auto loaded = Files(made.certificate_pem, made.key_pem).load();
  BOOST_TEST_REQUIRE(bool(loaded));
  BOOST_TEST((loaded->certificate_pem == made.certificate_pem && loaded->key_pem == made.key_pem));
  BOOST_TEST(bool(Files(made.certificate_pem + issued().certificate_pem, made.key_pem).load()));
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_said) {
  const Credentials made = issued(), other = issued();
  refused(Files(made.certificate_pem, other.key_pem).load(), ErrorCode::corrupt, "not that of the first certificate");
  refused(Files(other.certificate_pem + made.certificate_pem, made.key_pem).load(), ErrorCode::corrupt, "not that of");
  refused(Files("hello", made.key_pem).load(), ErrorCode::corrupt, "c.pem is no certificate in PEM");
  refused(Files("", made.key_pem).load(), ErrorCode::corrupt, "c.pem is no certificate in PEM");
  refused(Files(made.key_pem, made.certificate_pem).load(), ErrorCode::corrupt, "but a key");
  refused(Files(made.certificate_pem, made.certificate_pem).load(), ErrorCode::corrupt, "k.pem is no private key");
  refused(Files(made.certificate_pem, made.key_pem.substr(0, 60)).load(), ErrorCode::corrupt,
          "k.pem is no private key");
  refused(Files(made.certificate_pem, encrypted(made.key_pem)).load(), ErrorCode::corrupt, "is encrypted");
  refused(Files(made.certificate_pem, made.key_pem, FileAccess::everyone).load(), ErrorCode::denied, "chmod 600");
  refused(Files(made.certificate_pem, made.key_pem).load(now + std::chrono::days(3000)), ErrorCode::invalid_argument,
          "expired");
  refused(load_server_credentials("absent.pem", "absent.key", now), ErrorCode::not_found, "absent.pem");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
