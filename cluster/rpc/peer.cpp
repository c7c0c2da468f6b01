#include "cluster/rpc/peer.hpp"

#include "runtime/base/log.hpp"

namespace tessera {

capnp::Capability::Client Peer::bootstrap() {
  capnp::MallocMessageBuilder message(4);
  auto vat = message.initRoot<capnp::rpc::twoparty::VatId>();
  vat.setSide(network_->getSide() == capnp::rpc::twoparty::Side::CLIENT ? capnp::rpc::twoparty::Side::SERVER
                                                                        : capnp::rpc::twoparty::Side::CLIENT);
  return rpc_->bootstrap(vat);
}

void Peer::taskFailed(kj::Exception&& exception) {
  log_error(std::string("the answer to a call could not be handled: ") + exception.getDescription().cStr());
}

}  // namespace tessera
