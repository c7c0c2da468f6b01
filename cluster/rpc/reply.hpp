// Reply<T>: the one answer that a request is owed. Whoever holds it answers exactly once, from any thread, now or
// later.
//
//   void status(const Caller&, Reply<ClusterStatus> reply) override { reply(status_now()); }           // a server
//   client.status(2s, [](Result<ClusterStatus> status) { … });                                         // a client
//
// A lambda that takes a Result<T> converts to a Reply<T>. A Reply that is destroyed unanswered answers `unavailable`.
// Where the asker is gone (disconnected, past its deadline), the answer is dropped silently.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Moves, does not copy. One thread at a time.
template <typename T>
class Reply {
 public:
  /// Answers nobody: for a request whose answer does not matter.
  Reply() = default;
  template <typename F>
  requires(std::invocable<F&, Result<T>> && !std::same_as<std::remove_cvref_t<F>, Reply>) Reply(F answer)
      : answer_(std::make_unique<Function<F>>(std::move(answer))) {}
  Reply(Reply&& other) noexcept : answer_(std::move(other.answer_)), answered_(std::exchange(other.answered_, true)) {}
  Reply& operator=(Reply&& other) noexcept {
    drop();
    answer_ = std::move(other.answer_);
    answered_ = std::exchange(other.answered_, true);
    return *this;
  }
  ~Reply() { drop(); }

  /// Answers. A second answer is a bug.
  void operator()(Result<T> result) {
    TESSERA_ENSURE(!std::exchange(answered_, true));
    if (auto answer = std::move(answer_)) answer->deliver(std::move(result));
  }
  /// Whether an answer is still owed.
  explicit operator bool() const { return answer_ != nullptr; }

 private:
  struct Answer {
    virtual ~Answer() = default;
    virtual void deliver(Result<T> result) = 0;
  };
  template <typename F>
  struct Function final : Answer {
    explicit Function(F answer) : answer(std::move(answer)) {}
    void deliver(Result<T> result) override { answer(std::move(result)); }
    F answer;
  };

  void drop() noexcept {
    if (answer_)
      (*this)(Error{ErrorCode::unavailable, "the request was dropped unanswered: its server is stopping; repeat it"});
  }

  std::unique_ptr<Answer> answer_;
  bool answered_ = false;  ///< or moved away
};

}  // namespace tessera
