// TLS of a gateway's listeners: from a certificate and its key, checked before (cluster/auth/server_credentials.hpp).
#pragma once

#include <kj/compat/tls.h>
#include <memory>

#include "cluster/auth/certificates.hpp"

namespace tessera::gateway {

/// TLS 1.2 and later; asks no client for a certificate. For one event loop, on its thread. Throws kj::Exception where
/// the library does not take what it is given.
std::unique_ptr<kj::TlsContext> server_tls(const Credentials& credentials);

}  // namespace tessera::gateway
