#include "gateway/http_thread.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <kj/async-io.h>
#include <kj/exception.h>
#include <unistd.h>

#include "gateway/server_loop.hpp"

namespace tessera::gateway {

/// Set by the thread before start() returns; the loop's objects are touched by its thread alone.
struct HttpThread::Shared {
  Shared(std::vector<Entrance> own, const HttpShared& all) : entrances(std::move(own)), gateway(all) {}

  const std::vector<Entrance> entrances;
  const HttpShared gateway;
  kj::Maybe<kj::Own<const kj::Executor>> executor = nullptr;
  kj::Own<kj::PromiseFulfiller<void>> stopped;
  ServerLoop* loop = nullptr;

  void run(std::promise<Result<void>>& started) {
    try {
      kj::AsyncIoContext io = kj::setupAsyncIo();
      auto stop = kj::newPromiseAndFulfiller<void>();
      stopped = kj::mv(stop.fulfiller);
      ServerLoop server(io, entrances, gateway);
      loop = &server;
      executor = kj::getCurrentThreadExecutor().addRef();
      started.set_value({});
      stop.promise.wait(io.waitScope);
      loop = nullptr;
    } catch (const kj::Exception& error) {
      // Only the start can fail: whatever fails later is caught where it happens.
      started.set_value(
          Error{ErrorCode::io, std::string("the HTTP server cannot start: ") + error.getDescription().cStr()});
    }
  }

  template <typename F>
  void on_loop(F f) {
    KJ_IF_MAYBE (at, executor) {
      (*at)->executeSync(kj::mv(f));
    }
  }
};

Result<std::unique_ptr<HttpThread>> HttpThread::start(const std::vector<ListenSocket>& listeners,
                                                      const HttpShared& gateway) {
  std::vector<Entrance> own;
  for (const ListenSocket& listener : listeners) {
    const int descriptor = ::fcntl(listener.descriptor(), F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0) {
      const int error = errno;
      for (const Entrance& entrance : own) ::close(entrance.descriptor);
      return Error{ErrorCode::exhausted, std::string("cannot share a socket: ") + std::strerror(error)};
    }
    own.push_back({descriptor, listener.options()});
  }
  std::unique_ptr<HttpThread> thread(new HttpThread(std::make_shared<Shared>(std::move(own), gateway)));
  std::promise<Result<void>> started;
  auto ready = started.get_future();
  thread->thread_ = std::thread([shared = thread->shared_, &started] { shared->run(started); });
  const Result<void> result = ready.get();
  if (!result) return result.error();
  return thread;
}

HttpThread::HttpThread(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

HttpThread::~HttpThread() { stop(); }

void HttpThread::drain(std::function<void()> drained) {
  shared_->on_loop([shared = shared_.get(), &drained] { shared->loop->drain(std::move(drained)); });
}

void HttpThread::stop() {
  if (!thread_.joinable()) return;
  shared_->on_loop([shared = shared_.get()] { shared->stopped->fulfill(); });
  thread_.join();
}

}  // namespace tessera::gateway
