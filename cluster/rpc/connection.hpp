// What both ends of a connection say of themselves: identities for TLS, facts for the handshake.
//
//   dialler                                              listener
//     TLS: expects the DNS name of `server`   ◄──────►   TLS: asks for a certificate of the same authority
//     Gate.enter(protocol version, cluster, profile) ─►  refuses with both sides' values, or lets in
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cluster/auth/identity.hpp"
#include "cluster/control/coordinator_messages.hpp"
#include "cluster/control/ids.hpp"
#include "cluster/control/plan.hpp"

namespace tessera {

/// Of schemas/cluster.capnp; peers of another version are refused.
inline constexpr std::uint32_t rpc_protocol_version = 2;

/// A certificate with its key, and the authority to trust. All PEM. `key_pem` is secret.
struct TlsIdentity {
  std::string certificate_pem;
  std::string key_pem;
  std::string authority_pem;
};

/// What must fit between two peers.
struct ProtocolFacts {
  std::string cluster;          ///< empty: whichever the authority stands for (clients)
  std::string profile;          ///< numeric profile; empty: does not compute, fits to all (clients)
  std::string software;         ///< version; for logs only
  NodeIncarnation incarnation;  ///< of the dialling process
};

struct DialOptions {
  Endpoint endpoint;
  TlsIdentity identity;
  Identity server;  ///< who must answer there. A node that computes has a worker's certificate, whatever else it is.
  ProtocolFacts facts;
  std::chrono::milliseconds deadline{5000};  ///< until the handshake is done
};

/// Who calls, as proven by the certificate and said in the handshake.
struct Caller {
  Identity identity;
  ConnectionId connection;  ///< never used again in this process
  NodeIncarnation incarnation;
  std::string software;
  std::string address;  ///< for logs
};

}  // namespace tessera
