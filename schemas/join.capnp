# Joining: the coordinator's second listener, for a node that has no certificate yet.
#
#   1. The joiner dials by TLS without trusting anybody, and takes the certificates that the server shows: the
#      coordinator's, then the authority's. The SHA-256 of the latter must be the one in the join token. It closes.
#   2. It dials again, now trusting that authority and expecting the coordinator's DNS name. The server asks for no
#      certificate. Bootstrap interface: JoinDesk. One call per connection, within 10 s; messages are at most 64 KiB.
#
# The token is secret and good for one use.

@0xfe36bca53ede86e4;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tessera::schema");

using Values = import "values.capnp";

interface JoinDesk {
  join @0 (timeoutMs :UInt32, protocolVersion :UInt32, token :Text, requestPem :Text, name :Text)
      -> (failure :Values.Failure, certificatePem :Text, identity :Text, cluster :Text, coordinator :Text, rpc :Values.Endpoint);
  # `requestPem`: PKCS #10, of a key that stays with the joiner. `identity` and `coordinator` are "role:name".
  # `rpc`: where the coordinator serves members; an empty host: the host that was dialled.
}
