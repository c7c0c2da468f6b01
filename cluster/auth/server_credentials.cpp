#include "cluster/auth/server_credentials.hpp"

#include <string>

#include "cluster/auth/openssl_handles.hpp"
#include "cluster/auth/private_file.hpp"

namespace tessera {

namespace {

using namespace openssl;

Error no_certificate(const std::filesystem::path& file, bool is_key) {
  return {ErrorCode::corrupt, file.string() + " is no certificate in PEM" +
                                  (is_key ? ", but a key: give the certificate's file for --tls-certificate" : "")};
}

/// Why a text is no key that can be used.
Error no_key(const std::filesystem::path& file, const std::string& pem) {
  // "ENCRYPTED PRIVATE KEY", or "Proc-Type: 4,ENCRYPTED" in older files.
  if (pem.find("ENCRYPTED") != std::string::npos) {
    return {ErrorCode::corrupt, "the key in " + file.string() + " is encrypted; decrypt it with `openssl pkey -in " +
                                    file.string() +
                                    " -out NEW`, keep that private (chmod 600), and give it for --tls-key"};
  }
  return {ErrorCode::corrupt, file.string() + " is no private key in PEM"};
}

}  // namespace

Result<Credentials> load_server_credentials(const std::filesystem::path& certificate_file,
                                            const std::filesystem::path& key_file, std::chrono::sys_seconds now) {
  Credentials credentials;
  TESSERA_TRY(credentials.certificate_pem, read_text_file(certificate_file));
  TESSERA_TRY(credentials.key_pem, read_private_file(key_file));
  const Certificate certificate = parse_certificate(credentials.certificate_pem);
  if (!certificate)
    return no_certificate(certificate_file, credentials.certificate_pem.find("PRIVATE KEY") != std::string::npos);
  const Key key = parse_key(credentials.key_pem);
  if (!key) return no_key(key_file, credentials.key_pem);
  const bool belong_together = X509_check_private_key(certificate.get(), key.get()) == 1;
  take_error();
  if (!belong_together) {
    return Error{ErrorCode::corrupt, "the key in " + key_file.string() + " is not that of the first certificate in " +
                                         certificate_file.string() + ": give the two that were made together"};
  }
  std::time_t moment = now.time_since_epoch().count();
  if (X509_cmp_time(X509_get0_notAfter(certificate.get()), &moment) < 0) {
    return Error{ErrorCode::invalid_argument,
                 "the certificate in " + certificate_file.string() + " has expired: renew it, or no client trusts it"};
  }
  return credentials;
}

}  // namespace tessera
