// Certificates of a cluster: its own authority (ECDSA P-256), what that authority signs, and what a certificate says.
//
//   auto ca = CertificateAuthority::create("demo", now);              // `tessera up`, once per cluster
//   auto mine = ca->issue({Role::worker, "w1"}, now);                 // certificate and key of a local node
//   auto request = make_certificate_request();                        // on a joiner: the key stays there
//   auto certificate = ca->sign(request->request_pem, {Role::worker, "w9"}, now);   // on the coordinator
//
// All texts are PEM. Times are the calendar's (WallClock); a certificate is valid from an hour before `now`, so that
// the clocks of two machines may differ a little.
#pragma once

#include <chrono>
#include <string>

#include "cluster/auth/identity.hpp"
#include "cluster/auth/secret.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

inline constexpr std::chrono::days authority_lifetime{3650};
/// Of issued certificates; never beyond the authority's own end.
inline constexpr std::chrono::days certificate_lifetime{1825};

/// SHA-256 of a certificate's DER bytes.
using Fingerprint = Sha256;

/// What a node needs for mutual TLS. `key_pem` is secret.
struct Credentials {
  std::string certificate_pem;
  std::string key_pem;
};

/// A new key pair, and the request that proves to own it. Who the holder becomes is decided by whoever signs.
struct CertificateRequest {
  std::string request_pem;
  std::string key_pem;
};
Result<CertificateRequest> make_certificate_request();

/// The right to sign for one cluster. Holds the texts only; any thread.
class CertificateAuthority {
 public:
  /// A new key and a self-signed certificate.
  static Result<CertificateAuthority> create(const std::string& cluster, std::chrono::sys_seconds now);
  /// From stored texts; an error when they do not belong together or are no authority's.
  static Result<CertificateAuthority> load(std::string certificate_pem, std::string key_pem);

  const std::string& certificate_pem() const { return certificate_pem_; }
  const std::string& key_pem() const { return key_pem_; }
  const Fingerprint& fingerprint() const { return fingerprint_; }

  /// A new key with a certificate.
  Result<Credentials> issue(const Identity& identity, std::chrono::sys_seconds now,
                            std::chrono::seconds lifetime = certificate_lifetime) const;
  /// A certificate for the key of a request. Nothing but the key is taken from the request.
  Result<std::string> sign(const std::string& request_pem, const Identity& identity, std::chrono::sys_seconds now,
                           std::chrono::seconds lifetime = certificate_lifetime) const;

 private:
  CertificateAuthority(std::string certificate_pem, std::string key_pem, Fingerprint fingerprint)
      : certificate_pem_(std::move(certificate_pem)), key_pem_(std::move(key_pem)), fingerprint_(fingerprint) {}

  std::string certificate_pem_, key_pem_;
  Fingerprint fingerprint_;
};

/// Of the first certificate in a PEM text.
Result<Fingerprint> fingerprint_of(const std::string& certificate_pem);

struct CertificateFacts {
  Identity identity;
  std::chrono::sys_seconds not_before, not_after;
};
/// What the first certificate in a PEM text says. An error when its name is no identity.
Result<CertificateFacts> read_certificate(const std::string& certificate_pem);

/// That the certificate is signed by this authority, valid at `now`, and belongs to the key.
Result<void> check_credentials(const Credentials& credentials, const std::string& authority_pem,
                               std::chrono::sys_seconds now);

}  // namespace tessera
