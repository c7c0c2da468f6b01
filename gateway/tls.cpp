#include "gateway/tls.hpp"

#include <string>

namespace tessera::gateway {

namespace {

kj::StringPtr text(const std::string& value) { return {value.c_str(), value.size()}; }

}  // namespace

std::unique_ptr<kj::TlsContext> server_tls(const Credentials& credentials) {
  const kj::TlsKeypair pair{kj::TlsPrivateKey(text(credentials.key_pem)),
                            kj::TlsCertificate(text(credentials.certificate_pem))};
  kj::TlsContext::Options options;
  options.useSystemTrustStore = false;
  options.minVersion = kj::TlsVersion::TLS_1_2;
  options.defaultKeypair = pair;
  return std::make_unique<kj::TlsContext>(kj::mv(options));
}

}  // namespace tessera::gateway
