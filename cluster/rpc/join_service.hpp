// Joining: the coordinator's second listener, for those who have no certificate yet. TLS proves the server; the token
// proves the joiner.
//
//   auto authority = fetch_authority(host, port, token.authority, 5s);          // cluster/auth: whom to trust
//   auto request = make_certificate_request();                                  // the key stays here
//   join_cluster(thread, {endpoint, authority…}, {token text, request, name}, reply);
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "cluster/auth/identity.hpp"
#include "cluster/control/plan.hpp"
#include "cluster/rpc/connection.hpp"
#include "cluster/rpc/reply.hpp"
#include "cluster/rpc/rpc_server.hpp"
#include "cluster/rpc/rpc_thread.hpp"

namespace tessera {

struct JoinRequest {
  std::string token;        ///< the text. Secret.
  std::string request_pem;  ///< certificate request (CertificateRequest)
  std::string name;         ///< that the node wants
};
struct JoinAnswer {
  std::string certificate_pem;
  Identity identity;  ///< that the certificate carries
  std::string cluster;
  Identity coordinator;      ///< whom to expect at `coordinator_rpc`
  Endpoint coordinator_rpc;  ///< an empty host: the one that was dialled
};

class JoinHandler {
 public:
  virtual ~JoinHandler() = default;
  /// On the RPC thread; must not block. Anybody may send anything here.
  virtual void join(std::string peer_address, JoinRequest request, Reply<JoinAnswer> reply) = 0;
};

/// The listener; destroying it closes it. Strangers are treated as RpcServer treats them; a connection carries one
/// request. Any thread but the RPC thread may call listen(), which waits for it.
class JoinServer {
 public:
  /// Sends its certificate and the authority's, so that a joiner can compare the latter with its token.
  static Result<std::unique_ptr<JoinServer>> listen(RpcThread& thread, Endpoint listen, TlsIdentity identity,
                                                    JoinHandler& handler);
  ~JoinServer();
  JoinServer(const JoinServer&) = delete;
  JoinServer& operator=(const JoinServer&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }
  ServerCounters counters() const;

 private:
  JoinServer(std::shared_ptr<RpcQueue> queue, std::uint64_t object, Endpoint endpoint,
             std::shared_ptr<const RpcServer::Counters> counters);

  std::shared_ptr<RpcQueue> queue_;
  std::uint64_t object_;
  Endpoint endpoint_;
  std::shared_ptr<const RpcServer::Counters> counters_;
};

struct JoinDial {
  Endpoint endpoint;
  std::string authority_pem;  ///< compared with the token's fingerprint before
  Identity coordinator;       ///< whom TLS must find there
  std::chrono::milliseconds deadline{10'000};
};
/// Answers on the RPC thread. Errors: those of CoordinatorClient::connect and of the handler.
void join_cluster(RpcThread& thread, JoinDial dial, JoinRequest request, Reply<JoinAnswer> reply);

}  // namespace tessera
