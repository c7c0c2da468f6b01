#include "cluster/rpc/rpc_loop.hpp"

#include <exception>
#include <string>

#include "runtime/base/log.hpp"

namespace tessera {

RpcLoop::RpcLoop(kj::AsyncIoContext& io, std::shared_ptr<RpcQueue> queue)
    : io_(io),
      queue_(std::move(queue)),
      answers_(queue_),
      wake_(io.lowLevelProvider->wrapInputFd(queue_->wake_fd(), kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK |
                                                                    kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC)),
      tasks_(*this) {
  auto pair = kj::newPromiseAndFulfiller<void>();
  stop_promise_ = kj::mv(pair.promise);
  stopped_ = kj::mv(pair.fulfiller);
}

void RpcLoop::run() {
  {
    kj::Promise<void> pumping = pump().eagerlyEvaluate(nullptr);
    stop_promise_.exclusiveJoin(kj::mv(pumping)).wait(io_.waitScope);
  }
  stopping_ = true;
  RpcQueue::Tasks waiting = queue_->close();
  // What the objects' ends set off (answers, posts) finds neither objects nor a queue, and is answered at once.
  auto objects = std::move(objects_);
  objects_.clear();
  objects.clear();
  run_all(std::move(waiting));
}

void RpcLoop::retire(std::uint64_t id) {
  auto node = objects_.extract(id);
  if (node.empty() || stopping_) return;
  defer([object = std::move(node.mapped())]() mutable { object.reset(); });
}

kj::Promise<void> RpcLoop::pump() {
  return wake_->read(&wake_count_, sizeof(wake_count_)).then([this] {
    run_all(queue_->take());
    return pump();
  });
}

void RpcLoop::run_all(RpcQueue::Tasks tasks) {
  for (auto& task : tasks) {
    try {
      task->run();
    } catch (const kj::Exception& e) {
      log_error(std::string("a task of the RPC thread failed: ") + e.getDescription().cStr());
    }
    task.reset();
  }
}

void RpcLoop::taskFailed(kj::Exception&& exception) {
  log_error(std::string("an event of the RPC thread failed: ") + exception.getDescription().cStr());
}

}  // namespace tessera
