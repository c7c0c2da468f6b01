// HTTPS as a test speaks it: an HttpClient over TLS.
#pragma once

#include <openssl/ssl.h>

#include "tests/unit/gateway/http_client.hpp"

namespace tessera::test {

class TlsClient final : public HttpClient {
 public:
  /// Shakes hands; trusts certificates of `authority_pem` for `host` alone.
  TlsClient(std::uint16_t port, const std::string& authority_pem, const std::string& host);
  ~TlsClient() override;

  const char* version() const { return SSL_get_version(tls_); }

 private:
  ssize_t send_some(const char* bytes, std::size_t count) override;
  ssize_t receive_some(char* bytes, std::size_t count) override;

  SSL_CTX* const context_;
  SSL* const tls_;
};

}  // namespace tessera::test
