#include "runtime/base/result.hpp"

namespace tessera {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid argument";
    case ErrorCode::not_found:
      return "not found";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::io:
      return "input/output";
    case ErrorCode::exhausted:
      return "exhausted";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::timed_out:
      return "timed out";
    case ErrorCode::denied:
      return "denied";
    case ErrorCode::conflict:
      return "conflict";
  }
  return "unknown";
}

}  // namespace tessera
