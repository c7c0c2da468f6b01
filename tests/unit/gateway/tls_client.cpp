#include "tests/unit/gateway/tls_client.hpp"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <boost/test/unit_test.hpp>

namespace tessera::test {

TlsClient::TlsClient(std::uint16_t port, const std::string& authority_pem, const std::string& host)
    : HttpClient(port), context_(SSL_CTX_new(TLS_client_method())), tls_(SSL_new(context_)) {
  BIO* const text = BIO_new_mem_buf(authority_pem.data(), static_cast<int>(authority_pem.size()));
  X509* const authority = PEM_read_bio_X509(text, nullptr, nullptr, nullptr);
  BOOST_REQUIRE(authority != nullptr);
  // Of the connection alone: what the context was told before counts for both.
  X509_STORE* const trusted = X509_STORE_new();
  BOOST_REQUIRE(X509_STORE_add_cert(trusted, authority) == 1);
  SSL_set0_verify_cert_store(tls_, trusted);
  X509_free(authority);
  BIO_free_all(text);
  SSL_set_verify(tls_, SSL_VERIFY_PEER, nullptr);
  SSL_set1_host(tls_, host.c_str());
  SSL_set_tlsext_host_name(tls_, host.c_str());
  SSL_set_fd(tls_, socket_);
  BOOST_REQUIRE(SSL_connect(tls_) == 1);
}

TlsClient::~TlsClient() {
  SSL_free(tls_);
  SSL_CTX_free(context_);
}

ssize_t TlsClient::send_some(const char* bytes, std::size_t count) {
  return SSL_write(tls_, bytes, static_cast<int>(count));
}

ssize_t TlsClient::receive_some(char* bytes, std::size_t count) {
  return SSL_read(tls_, bytes, static_cast<int>(count));
}

}  // namespace tessera::test
