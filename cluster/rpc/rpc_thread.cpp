#include "cluster/rpc/rpc_thread.hpp"

#include <cerrno>
#include <cstring>
#include <exception>
#include <future>
#include <kj/async-io.h>
#include <kj/exception.h>
#include <string>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cluster/rpc/rpc_loop.hpp"
#include "cluster/rpc/rpc_queue.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

RpcQueue::~RpcQueue() { ::close(wake_); }

RpcQueue::Posted RpcQueue::post(std::unique_ptr<Task>& task, std::size_t tasks_max) {
  const std::lock_guard lock(mutex_);
  if (closed_) return Posted::stopped;
  if (tasks_.size() >= tasks_max) return Posted::full;
  tasks_.push_back(std::move(task));
  // Whoever finds tasks waiting knows that the wake-up for them is still to be read.
  if (tasks_.size() == 1) {
    const std::uint64_t one = 1;
    TESSERA_ENSURE(::write(wake_, &one, sizeof(one)) == sizeof(one));
  }
  return Posted::yes;
}

void RpcQueue::begin(RpcLoop& loop) {
  loop_ = &loop;
  loop_thread_ = std::this_thread::get_id();
}

RpcQueue::Tasks RpcQueue::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(tasks_, {});
}

RpcQueue::Tasks RpcQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  return std::exchange(tasks_, {});
}

void RpcQueue::end() {
  loop_thread_ = std::thread::id();
  loop_ = nullptr;
}

Result<std::unique_ptr<RpcThread>> RpcThread::start() {
  const int wake = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake < 0) {
    return Error{ErrorCode::exhausted, std::string("the RPC thread cannot have an eventfd: ") + std::strerror(errno)};
  }
  auto queue = std::make_shared<RpcQueue>(wake);
  std::unique_ptr<RpcThread> thread(new RpcThread(queue));
  std::promise<Result<void>> started;
  std::future<Result<void>> ready = started.get_future();
  thread->thread_ = std::thread([queue, &started] {
    try {
      kj::AsyncIoContext io = kj::setupAsyncIo();
      RpcLoop loop(io, queue);
      queue->begin(loop);
      started.set_value({});
      loop.run();
      queue->end();
    } catch (const kj::Exception& e) {
      // Only the start can fail: whatever fails later is caught where it happens.
      started.set_value(Error{ErrorCode::io, std::string("the RPC thread cannot start: ") + e.getDescription().cStr()});
    }
  });
  const Result<void> result = ready.get();
  if (!result) return result.error();
  return thread;
}

RpcThread::RpcThread(std::shared_ptr<RpcQueue> queue) : queue_(std::move(queue)) {}

RpcThread::~RpcThread() { stop(); }

void RpcThread::stop() {
  if (!thread_.joinable()) return;
  TESSERA_ENSURE(!is_current());
  queue_->post_always([](RpcLoop& loop) { loop.stop(); });
  thread_.join();
}

bool RpcThread::post_task(std::unique_ptr<Task> task) { return queue_->post(task) == RpcQueue::Posted::yes; }

}  // namespace tessera
