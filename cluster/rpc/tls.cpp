#include "cluster/rpc/tls.hpp"

#include <map>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

#include "cluster/auth/certificates.hpp"
#include "cluster/rpc/wire.hpp"

namespace tessera {
namespace {

kj::TlsKeypair keypair(const std::string& key_pem, const std::string& certificate_pem) {
  return {kj::TlsPrivateKey(wire::text(key_pem)), kj::TlsCertificate(wire::text(certificate_pem))};
}

Error unusable(const kj::Exception& e) {
  return {ErrorCode::invalid_argument,
          std::string("the certificate, its key or the authority cannot be used for TLS: ") +
              e.getDescription().cStr() + "; they must be PEM texts that belong together"};
}

}  // namespace

/// Answers the dialler's SNI where a listener has several names. Outlives the context.
struct ServerTls::Names final : kj::TlsSniCallback {
  kj::Maybe<kj::TlsKeypair> getKey(kj::StringPtr hostname) override {
    const auto found = by_name.find(std::string(hostname.begin(), hostname.end()));
    const TlsIdentity& identity = found == by_name.end() ? first : found->second;
    return keypair(identity.key_pem, identity.certificate_pem);
  }
  TlsIdentity first;
  std::map<std::string, TlsIdentity> by_name;
};

Result<std::unique_ptr<ServerTls>> ServerTls::create(const std::vector<TlsIdentity>& identities, bool ask_client) {
  if (identities.empty()) return Error{ErrorCode::invalid_argument, "a listener needs a certificate"};
  try {
    auto names = std::make_shared<Names>();
    names->first = identities.front();
    for (const TlsIdentity& identity : identities) {
      TESSERA_TRY(const CertificateFacts facts, read_certificate(identity.certificate_pem));
      (void)keypair(identity.key_pem, identity.certificate_pem);  // unreadable ones are refused here
      names->by_name[dns_name(facts.identity)] = identity;
    }
    const TlsIdentity& first = names->first;
    const std::string chain = ask_client ? first.certificate_pem : first.certificate_pem + "\n" + first.authority_pem;
    const kj::TlsKeypair first_pair = keypair(first.key_pem, chain);
    const kj::TlsCertificate authority(wire::text(first.authority_pem));
    kj::TlsContext::Options options;
    options.useSystemTrustStore = false;
    options.minVersion = kj::TlsVersion::TLS_1_2;
    // Not both: KJ sets the named key before the named certificate, and OpenSSL refuses a key that does not fit the
    // default certificate.
    if (identities.size() == 1) {
      options.defaultKeypair = first_pair;
    } else {
      options.sniCallback = *names;
    }
    if (ask_client) {
      options.verifyClients = true;
      options.trustedCertificates = kj::arrayPtr(&authority, 1);
    }
    auto tls = std::make_unique<ServerTls>();
    tls->names_ = std::move(names);
    tls->context_ = std::make_unique<kj::TlsContext>(kj::mv(options));
    return tls;
  } catch (const kj::Exception& e) {
    return unusable(e);
  }
}

Result<std::unique_ptr<kj::TlsContext>> client_tls(const TlsIdentity& identity) {
  try {
    const kj::TlsCertificate authority(wire::text(identity.authority_pem));
    kj::TlsContext::Options options;
    options.useSystemTrustStore = false;
    options.minVersion = kj::TlsVersion::TLS_1_2;
    options.trustedCertificates = kj::arrayPtr(&authority, 1);
    if (identity.certificate_pem.empty()) return std::make_unique<kj::TlsContext>(kj::mv(options));
    const kj::TlsKeypair pair = keypair(identity.key_pem, identity.certificate_pem);
    options.defaultKeypair = pair;
    return std::make_unique<kj::TlsContext>(kj::mv(options));
  } catch (const kj::Exception& e) {
    return unusable(e);
  }
}

Result<Identity> peer_identity(kj::PeerIdentity& peer) {
  auto* tls = dynamic_cast<kj::TlsPeerIdentity*>(&peer);
  if (!tls || !tls->hasCertificate()) return Error{ErrorCode::denied, "the peer has shown no certificate"};
  const kj::String name = tls->getCommonName();
  return parse_common_name({name.begin(), name.size()});
}

void keep_alive(kj::AsyncIoStream& stream) {
  const auto set = [&](int level, int option, int value) { stream.setsockopt(level, option, &value, sizeof(value)); };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

}  // namespace tessera
