// Result<T>: a value, or an Error with a code to act on and a sentence to show. No call of this library throws for an
// expected failure.
//
//   auto client = tessera::client::Client::connect(options);
//   if (!client) return complain(client.error().message);
//   client->status();
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace tessera::client {

/// What kind of failure it is.
enum class ErrorCode {
  invalid_argument,  ///< the request makes no sense: do not repeat it
  not_found,         ///< no such deployment, node, job or file
  corrupt,           ///< data is damaged, or a peer does not follow the protocol
  unsupported,       ///< well-formed, but this version cannot do it
  io,                ///< the operating system refused or failed
  exhausted,         ///< a named limit or a resource is used up
  cancelled,         ///< somebody asked to stop
  unavailable,       ///< the peer is not there now: the same request may succeed later
  timed_out,         ///< no answer before the deadline: the request may or may not have happened
  denied,            ///< the certificate's role does not allow it
  conflict,          ///< somebody else was first
};

/// Stable lower-case name, e.g. "timed out".
const char* to_string(ErrorCode code);

/// A failure; `message` names the object, the cause and the remedy.
struct Error {
  ErrorCode code = ErrorCode::invalid_argument;
  std::string message;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  /// Only of a failure.
  const Error& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}

  explicit operator bool() const { return !failed_; }
  const Error& error() const { return error_; }

 private:
  bool failed_ = false;
  Error error_;
};

}  // namespace tessera::client
