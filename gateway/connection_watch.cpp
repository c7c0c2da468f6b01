#include "gateway/connection_watch.hpp"

#include <fcntl.h>
#include <kj/debug.h>
#include <poll.h>

namespace tessera::gateway {

namespace {

kj::AutoCloseFd duplicate(kj::AsyncIoStream& stream) {
  KJ_IF_MAYBE (fd, stream.getFd()) {
    return kj::AutoCloseFd(::fcntl(*fd, F_DUPFD_CLOEXEC, 0));
  }
  return kj::AutoCloseFd();
}

bool is_gone(int fd) {
  pollfd poll{fd, POLLRDHUP, 0};
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace

ConnectionWatch::ConnectionWatch(kj::UnixEventPort& port, kj::AsyncIoStream& stream)
    : fd_(duplicate(stream)), gone_(nullptr) {
  if (fd_.get() >= 0)
    observer_ = kj::heap<kj::UnixEventPort::FdObserver>(port, fd_.get(), kj::UnixEventPort::FdObserver::OBSERVE_READ);
  gone_ = watch().fork();
}

kj::Promise<void> ConnectionWatch::watch() {
  KJ_IF_MAYBE (observer, observer_) {
    // Asked for before the look, so that what comes between the two is not missed.
    auto changed = (*observer)->whenBecomesReadable();
    if (is_gone(fd_.get())) return KJ_EXCEPTION(DISCONNECTED, "the client closed the connection");
    return changed.then([this] { return watch(); });
  }
  return kj::NEVER_DONE;
}

}  // namespace tessera::gateway
