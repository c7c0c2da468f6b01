// Result<T>: a value or an Error. The way every expected failure travels in Tessera.
//
//   Result<File> open_file(const std::string& path);
//   auto file = open_file(path);
//   if (!file) return file.error();          // converts to any Result<U>
//   use(*file);
//
// or, with the macros below:
//
//   TESSERA_TRY(auto file, open_file(path));
//   TESSERA_CHECK(file.write(bytes));        // for Result<void>
//
// Where failures are told in other words than an Error's, as to clients over HTTP, the error has a type of its own:
// Result<T, E>.
//
// A bug is not a Result: see ensure.hpp. Exceptions of libraries are caught in the file that calls them.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace tessera {

/// What kind of failure it is; decides the exit code of the CLI and, later, the HTTP status.
enum class ErrorCode {
  invalid_argument,  ///< the caller asked for something that makes no sense
  not_found,         ///< a named file, tensor, option does not exist
  corrupt,           ///< data from outside is damaged, truncated or hostile
  unsupported,       ///< well-formed, but not something this build can do
  io,                ///< the operating system refused or failed
  exhausted,         ///< a named limit or a resource is used up
  cancelled,         ///< the user or the caller asked to stop
  unavailable,       ///< the peer or the resource is not there now; the same request may succeed later
  timed_out,         ///< no answer before the deadline; the request may or may not have happened
  denied,            ///< the caller's identity or role does not allow it
  conflict,          ///< somebody else was first: a name, a revision, a newer term or epoch
};

/// Stable lower-case name, e.g. "corrupt".
const char* to_string(ErrorCode code);

/// A failure: its kind, and one sentence that names the object, the cause and the remedy.
struct Error {
  ErrorCode code;
  std::string message;
};

template <typename T, typename E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  /// Of a value: an empty one, so that messages may be built before it is known which of the two there is.
  const E& error() const {
    static const E none{};
    const E* const error = std::get_if<1>(&state_);
    return error != nullptr ? *error : none;
  }

 private:
  std::variant<T, E> state_;
};

template <>
class [[nodiscard]] Result<void, Error> {
 public:
  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}

  explicit operator bool() const { return !failed_; }
  const Error& error() const { return error_; }

 private:
  bool failed_ = false;
  Error error_{ErrorCode::invalid_argument, {}};
};

#define TESSERA_CONCAT_INNER(a, b) a##b
#define TESSERA_CONCAT(a, b) TESSERA_CONCAT_INNER(a, b)
/// TESSERA_TRY(auto x, expr): binds the value of a Result, or returns its error from the current function.
#define TESSERA_TRY(declaration, ...)                                                       \
  auto TESSERA_CONCAT(result_, __LINE__) = (__VA_ARGS__);                                   \
  if (!TESSERA_CONCAT(result_, __LINE__)) return TESSERA_CONCAT(result_, __LINE__).error(); \
  declaration = std::move(*TESSERA_CONCAT(result_, __LINE__))
/// TESSERA_CHECK(expr): returns the error of a Result<void> from the current function.
#define TESSERA_CHECK(...)                                                             \
  do {                                                                                 \
    if (auto check_result = (__VA_ARGS__); !check_result) return check_result.error(); \
  } while (false)

}  // namespace tessera
