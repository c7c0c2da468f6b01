// Node: the coordinator's commands as they reach a node, over the connection by which it registered.
#pragma once

#include <kj/async.h>

#include "cluster/rpc/coordinator_client.hpp"
#include "cluster/rpc/rpc_loop.hpp"
#include "schemas/cluster.capnp.h"

namespace tessera {

kj::Own<schema::Node::Server> make_node(RpcLoop& loop, NodeHandler& handler);

}  // namespace tessera
