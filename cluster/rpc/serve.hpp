// serve(): how every incoming call is answered: within its deadline, with its Reply, or dropped when the caller gives
// it up. Used by all Server classes of cluster/rpc.
#pragma once

#include <capnp/capability.h>
#include <cstdint>
#include <kj/async.h>
#include <memory>
#include <string>
#include <utility>

#include "cluster/rpc/peer.hpp"
#include "cluster/rpc/reply.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/rpc_loop.hpp"
#include "cluster/rpc/wire.hpp"

namespace tessera {

/// Unanswered calls of one peer. Shared by its capabilities, which may live a little longer than its connection.
class CallCount {
 public:
  bool full() const { return count_ >= rpc_limits::calls_in_flight_max; }
  std::uint32_t value() const { return count_; }
  class Guard {
   public:
    explicit Guard(std::shared_ptr<CallCount> count) : count_(std::move(count)) { ++count_->count_; }
    ~Guard() { --count_->count_; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::shared_ptr<CallCount> count_;
  };

 private:
  std::uint32_t count_ = 0;
};

template <typename Context>
kj::Promise<void> answer_failure(Context& context, const Error& error) {
  wire::write(context.getResults().initFailure(), error);
  return kj::READY_NOW;
}

/// Runs `invoke(params, reply)`, which may throw what reading params throws, and answers with `fill(results, value)`.
template <typename T, typename Context, typename Invoke, typename Fill>
kj::Promise<void> serve(RpcLoop& loop, const std::shared_ptr<CallCount>& count, Context context, Invoke invoke,
                        Fill fill) {
  context.allowCancellation();
  if (count->full()) {
    return answer_failure(context, {ErrorCode::exhausted, "this connection has " + std::to_string(count->value()) +
                                                              " unanswered calls; wait for some of them"});
  }
  const std::uint32_t timeout = context.getParams().getTimeoutMs();
  const auto deadline =
      timeout == 0 ? rpc_limits::call_deadline_max : Peer::bounded(std::chrono::milliseconds(timeout));
  auto expected = loop.answers().template expect<T>();
  try {
    invoke(context.getParams(), std::move(expected.reply));
  } catch (const kj::Exception& e) {
    return answer_failure(context, {ErrorCode::invalid_argument,
                                    std::string("the request cannot be read: ") + e.getDescription().cStr()});
  }
  context.releaseParams();
  kj::Promise<Result<T>> late = loop.timer().afterDelay(kj_duration(deadline)).then([]() -> Result<T> {
    return Error{ErrorCode::timed_out, "the request was not answered in time; it may or may not have happened"};
  });
  return expected.promise.exclusiveJoin(kj::mv(late))
      .then([context, fill = std::move(fill)](Result<T>&& result) mutable {
        if (!result) {
          wire::write(context.getResults().initFailure(), result.error());
        } else if constexpr (std::is_void_v<T>) {
          fill(context.getResults());
        } else {
          fill(context.getResults(), *result);
        }
      })
      .attach(kj::heap<CallCount::Guard>(count));
}

/// For calls that answer nothing but success.
struct FillNothing {
  template <typename Results>
  void operator()(Results&&) const {}
};

}  // namespace tessera
