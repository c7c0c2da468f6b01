#include "runtime/batching/generation_types.hpp"

namespace tessera {

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::end_token:
    case FinishReason::stopped:
      return "stop";
    case FinishReason::length:
      return "length";
  }
  return "unknown";
}

}  // namespace tessera
