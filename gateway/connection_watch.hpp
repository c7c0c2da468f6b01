// ConnectionWatch: notices that a client has closed its connection while its request is worked on, when nobody reads
// from the socket. A client that has sent its request and then closes its sending half counts as gone, too.
#pragma once

#include <kj/async-io.h>
#include <kj/async-unix.h>

namespace tessera::gateway {

/// Of one connection, on its loop's thread. Ends before the connection's stream does.
class ConnectionWatch {
 public:
  ConnectionWatch(kj::UnixEventPort& port, kj::AsyncIoStream& stream);

  /// Rejected with DISCONNECTED once the client is gone; never fulfilled.
  kj::Promise<void> gone() { return gone_.addBranch(); }

 private:
  kj::Promise<void> watch();

  kj::AutoCloseFd fd_;  ///< a number of its own, as the event port knows each only once
  kj::Maybe<kj::Own<kj::UnixEventPort::FdObserver>> observer_;
  kj::ForkedPromise<void> gone_;
};

}  // namespace tessera::gateway
