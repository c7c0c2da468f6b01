// TLS contexts from PEM texts. RPC thread only.
#pragma once

#include <kj/async-io.h>
#include <kj/compat/tls.h>
#include <memory>
#include <string>
#include <vector>

#include "cluster/auth/identity.hpp"
#include "cluster/rpc/connection.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// A listener's: asks for a client certificate of the first identity's authority, shows the certificate whose DNS name
/// the dialler expects (else the first).
class ServerTls {
 public:
  /// `ask_client` false: for joiners, who have no certificate; then the authority's certificate is shown, too.
  static Result<std::unique_ptr<ServerTls>> create(const std::vector<TlsIdentity>& identities, bool ask_client);
  kj::Promise<kj::AuthenticatedStream> wrap(kj::AuthenticatedStream stream) {
    return context_->wrapServer(kj::mv(stream));
  }

 private:
  struct Names;
  std::shared_ptr<Names> names_;
  std::unique_ptr<kj::TlsContext> context_;
};

/// A dialler's. An identity without a certificate is for joiners.
Result<std::unique_ptr<kj::TlsContext>> client_tls(const TlsIdentity& identity);

/// Who a connection's certificate says that the peer is.
Result<Identity> peer_identity(kj::PeerIdentity& peer);

/// Connections whose peer's machine is gone are noticed after about 30 s.
void keep_alive(kj::AsyncIoStream& stream);

}  // namespace tessera
