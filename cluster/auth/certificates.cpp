#include "cluster/auth/certificates.hpp"

#include <array>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <utility>

#include "cluster/auth/openssl_handles.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

using namespace openssl;

constexpr std::chrono::hours clock_difference{1};

Error library_error(const std::string& action) {
  const std::string reason = take_error();
  return Error{ErrorCode::io, "cannot " + action + (reason.empty() ? "" : ": " + reason)};
}

Key new_key() { return Key(EVP_EC_gen("P-256")); }

std::string key_to_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_secmem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

bool set_times(X509* certificate, std::chrono::sys_seconds from, std::chrono::sys_seconds to) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), from.time_since_epoch().count()) &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), to.time_since_epoch().count());
}

std::chrono::sys_seconds time_of(const ASN1_TIME* time) {
  const std::unique_ptr<ASN1_TIME, Free<ASN1_TIME_free>> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, seconds = 0;
  if (!epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) return {};
  return std::chrono::sys_seconds(std::chrono::days(days) + std::chrono::seconds(seconds));
}

bool set_serial(X509* certificate) {
  std::array<std::uint8_t, 16> serial;
  random_bytes(serial);
  serial[0] &= 0x7f;  // positive in 16 bytes
  const Number number(BN_bin2bn(serial.data(), serial.size(), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_common_name(X509* certificate, const std::string& name) {
  return X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(name.data()), static_cast<int>(name.size()),
                                    -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

/// A certificate for `subject_key`, not yet signed: who, when, and nothing about what it is for.
Certificate draft(EVP_PKEY* subject_key, const std::string& name, std::chrono::sys_seconds from,
                  std::chrono::sys_seconds to) {
  Certificate certificate(X509_new());
  const bool complete = certificate && X509_set_version(certificate.get(), X509_VERSION_3) &&
                        set_serial(certificate.get()) && set_times(certificate.get(), from, to) &&
                        set_common_name(certificate.get(), name) && X509_set_pubkey(certificate.get(), subject_key);
  return complete ? std::move(certificate) : nullptr;
}

Result<std::string> signed_pem(X509* certificate, EVP_PKEY* signer) {
  if (X509_sign(certificate, signer, EVP_sha256()) == 0) return library_error("sign a certificate");
  std::string pem = to_pem(certificate);
  if (pem.empty()) return library_error("write a certificate");
  return pem;
}

Result<std::string> certify(const std::string& authority_pem, const std::string& authority_key_pem,
                            EVP_PKEY* subject_key, const Identity& identity, std::chrono::sys_seconds now,
                            std::chrono::seconds lifetime) {
  TESSERA_CHECK(check_name(to_string(identity.role), identity.name));
  const Certificate authority = parse_certificate(authority_pem);
  const Key authority_key = parse_key(authority_key_pem);
  TESSERA_ENSURE(authority && authority_key);  // load() and create() have seen to it
  const auto authority_end = time_of(X509_get0_notAfter(authority.get()));
  if (now >= authority_end) {
    return Error{ErrorCode::denied,
                 "the cluster's authority has expired: remove the state folder's ca and certificates, and launch the "
                 "cluster again"};
  }
  const Certificate certificate =
      draft(subject_key, common_name(identity), now - clock_difference, std::min(now + lifetime, authority_end));
  X509* const raw = certificate.get();
  const bool complete = raw && X509_set_issuer_name(raw, X509_get_subject_name(authority.get())) &&
                        add_extension(raw, authority.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                        add_extension(raw, authority.get(), NID_key_usage, "critical,digitalSignature") &&
                        add_extension(raw, authority.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
                        add_extension(raw, authority.get(), NID_subject_key_identifier, "hash") &&
                        add_extension(raw, authority.get(), NID_authority_key_identifier, "keyid:always") &&
                        add_extension(raw, authority.get(), NID_subject_alt_name, "DNS:" + dns_name(identity));
  if (!complete) return library_error("make a certificate for " + common_name(identity));
  return signed_pem(raw, authority_key.get());
}

Fingerprint fingerprint_of_handle(X509* certificate) {
  Fingerprint fingerprint;
  unsigned size = 0;
  TESSERA_ENSURE(X509_digest(certificate, EVP_sha256(), fingerprint.data(), &size) == 1 && size == fingerprint.size());
  return fingerprint;
}

Error not_a_certificate() { return Error{ErrorCode::corrupt, "the text is not a certificate in PEM"}; }

}  // namespace

Result<CertificateRequest> make_certificate_request() {
  const Key key = new_key();
  const Request request(X509_REQ_new());
  if (!key || !request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0) {
    return library_error("make a key and a certificate request");
  }
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) return library_error("write a request");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  CertificateRequest result{std::string(data, static_cast<std::size_t>(size)), key_to_pem(key.get())};
  if (result.key_pem.empty()) return library_error("write a key");
  return result;
}

Result<CertificateAuthority> CertificateAuthority::create(const std::string& cluster, std::chrono::sys_seconds now) {
  TESSERA_CHECK(check_name("cluster", cluster));
  const Key key = new_key();
  const Certificate certificate =
      key ? draft(key.get(), "Tessera cluster " + cluster, now - clock_difference, now + authority_lifetime) : nullptr;
  X509* const raw = certificate.get();
  const bool complete = raw && X509_set_issuer_name(raw, X509_get_subject_name(raw)) &&
                        add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                        add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                        add_extension(raw, raw, NID_subject_key_identifier, "hash");
  if (!complete) return library_error("make an authority for cluster " + cluster);
  TESSERA_TRY(std::string pem, signed_pem(raw, key.get()));
  std::string key_pem = key_to_pem(key.get());
  if (key_pem.empty()) return library_error("write the authority's key");
  return load(std::move(pem), std::move(key_pem));
}

Result<CertificateAuthority> CertificateAuthority::load(std::string certificate_pem, std::string key_pem) {
  const Certificate certificate = parse_certificate(certificate_pem);
  if (!certificate) return Error{ErrorCode::corrupt, "the authority's certificate is not one in PEM"};
  const Key key = parse_key(key_pem);
  if (!key) return Error{ErrorCode::corrupt, "the authority's key is not a private key in PEM"};
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    take_error();
    return Error{ErrorCode::corrupt, "the authority's certificate and key do not belong together"};
  }
  if (X509_check_ca(certificate.get()) != 1) {
    return Error{ErrorCode::corrupt, "the certificate is not that of an authority"};
  }
  const Fingerprint fingerprint = fingerprint_of_handle(certificate.get());
  return CertificateAuthority(to_pem(certificate.get()), std::move(key_pem), fingerprint);
}

Result<Credentials> CertificateAuthority::issue(const Identity& identity, std::chrono::sys_seconds now,
                                                std::chrono::seconds lifetime) const {
  const Key key = new_key();
  if (!key) return library_error("make a key for " + common_name(identity));
  Credentials credentials;
  TESSERA_TRY(credentials.certificate_pem, certify(certificate_pem_, key_pem_, key.get(), identity, now, lifetime));
  credentials.key_pem = key_to_pem(key.get());
  if (credentials.key_pem.empty()) return library_error("write the key of " + common_name(identity));
  return credentials;
}

Result<std::string> CertificateAuthority::sign(const std::string& request_pem, const Identity& identity,
                                               std::chrono::sys_seconds now, std::chrono::seconds lifetime) const {
  const Request request = parse_request(request_pem);
  EVP_PKEY* const key = request ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  if (!key) return Error{ErrorCode::corrupt, "the text is not a certificate request in PEM"};
  if (X509_REQ_verify(request.get(), key) != 1) {
    take_error();
    return Error{ErrorCode::denied, "the certificate request is not signed with its own key"};
  }
  char group[16] = "";
  if (EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1 || std::string(group) != "prime256v1") {
    take_error();
    return Error{ErrorCode::unsupported, "the certificate request's key is not of the kind ECDSA P-256"};
  }
  return certify(certificate_pem_, key_pem_, key, identity, now, lifetime);
}

Result<Fingerprint> fingerprint_of(const std::string& certificate_pem) {
  const Certificate certificate = parse_certificate(certificate_pem);
  if (!certificate) return not_a_certificate();
  return fingerprint_of_handle(certificate.get());
}

Result<CertificateFacts> read_certificate(const std::string& certificate_pem) {
  const Certificate certificate = parse_certificate(certificate_pem);
  if (!certificate) return not_a_certificate();
  TESSERA_TRY(Identity identity, parse_common_name(common_name_of(certificate.get())));
  return CertificateFacts{std::move(identity), time_of(X509_get0_notBefore(certificate.get())),
                          time_of(X509_get0_notAfter(certificate.get()))};
}

Result<void> check_credentials(const Credentials& credentials, const std::string& authority_pem,
                               std::chrono::sys_seconds now) {
  TESSERA_TRY(const CertificateFacts facts, read_certificate(credentials.certificate_pem));
  const std::string who = "the certificate of " + common_name(facts.identity);
  const Certificate certificate = parse_certificate(credentials.certificate_pem);
  const Certificate authority = parse_certificate(authority_pem);
  if (!authority) return Error{ErrorCode::corrupt, "the authority's certificate is not one in PEM"};
  const Key key = parse_key(credentials.key_pem);
  if (!key)
    return Error{ErrorCode::corrupt, "the key of " + common_name(facts.identity) + " is not a private key in PEM"};
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    take_error();
    return Error{ErrorCode::corrupt, who + " and its key do not belong together"};
  }
  const bool is_signed = X509_check_issued(authority.get(), certificate.get()) == X509_V_OK &&
                         X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
  take_error();
  if (!is_signed) return Error{ErrorCode::denied, who + " is not signed by this cluster's authority"};
  if (now < facts.not_before) return Error{ErrorCode::denied, who + " is not valid yet: check this machine's clock"};
  if (now >= facts.not_after) return Error{ErrorCode::denied, who + " has expired"};
  return {};
}

}  // namespace tessera
