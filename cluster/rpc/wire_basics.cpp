#include <algorithm>
#include <cmath>
#include <cstring>
#include <kj/debug.h>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/wire.hpp"

namespace tessera::wire {

void malformed(const std::string& what) {
  kj::throwFatalException(kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::heapString(text(what))));
  KJ_UNREACHABLE;
}

double finite(double value, const char* field) {
  if (!std::isfinite(value)) malformed(std::string(field) + " is not a finite number");
  return value;
}

capnp::ReaderOptions reader_options(std::size_t bytes) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = bytes / sizeof(capnp::word);
  options.nestingLimit = rpc_limits::nesting_max;
  return options;
}

std::string read(capnp::Text::Reader in) {
  if (in.size() > rpc_limits::text_bytes_max)
    malformed("a text of " + std::to_string(in.size()) + " bytes is too long");
  return {in.begin(), in.end()};
}

capnp::Data::Reader bytes(std::string_view value) {
  return {reinterpret_cast<const kj::byte*>(value.data()), value.size()};
}

std::string read(capnp::Data::Reader in) {
  if (in.size() > rpc_limits::text_bytes_max) malformed(std::to_string(in.size()) + " bytes of data are too many");
  return {in.begin(), in.end()};
}

void check_length(std::size_t length) {
  if (length > rpc_limits::list_entries_max) malformed("a list of " + std::to_string(length) + " entries is too long");
}

void check_structs(std::size_t length) {
  if (length > rpc_limits::structs_max) malformed("a list of " + std::to_string(length) + " structs is too long");
}

namespace {

// The schema's order is the enumeration's; both only grow at the end.
constexpr ErrorCode error_code_last = ErrorCode::conflict;

}  // namespace

void write(schema::Failure::Builder out, const Error& error) {
  out.setCode(static_cast<schema::ErrorCode>(error.code));
  out.setMessage(text(error.message));
}

Error read(schema::Failure::Reader in) {
  const auto code = static_cast<unsigned>(in.getCode());
  return {code <= static_cast<unsigned>(error_code_last) ? static_cast<ErrorCode>(code) : ErrorCode::unavailable,
          read(in.getMessage())};
}

Error error_of(const kj::Exception& exception) {
  const std::string text = exception.getDescription().cStr();
  switch (exception.getType()) {
    case kj::Exception::Type::DISCONNECTED:
      return {ErrorCode::unavailable, "the connection was lost before the answer came: " + text};
    case kj::Exception::Type::OVERLOADED:
      return {ErrorCode::exhausted, "the peer has too much to do: " + text};
    case kj::Exception::Type::UNIMPLEMENTED:
      return {ErrorCode::unsupported, "the peer does not know this method: " + text};
    case kj::Exception::Type::FAILED:
      break;
  }
  return {ErrorCode::corrupt, "the call failed: " + text};
}

}  // namespace tessera::wire
