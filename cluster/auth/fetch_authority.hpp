// The first contact of a joiner: it has a token, and trusts nobody yet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cluster/auth/certificates.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

struct FetchedAuthority {
  std::string certificate_pem;  ///< of the cluster's authority, proven by the fingerprint
  Identity coordinator;         ///< of the server; its dns_name() is what the next TLS connection must expect
};

/// Connects to host:port by TLS without trusting the peer, takes the certificates that it shows (its own and the
/// authority's), and returns the authority's if its SHA-256 is `expected` and the peer's own certificate is a
/// coordinator's that it has signed. Sends nothing secret. Blocks up to `timeout`, so never call it in an actor.
/// unavailable: nobody listens; timed_out; denied: somebody listens who is not this cluster.
Result<FetchedAuthority> fetch_authority(const std::string& host, std::uint16_t port, const Fingerprint& expected,
                                         std::chrono::milliseconds timeout);

}  // namespace tessera
