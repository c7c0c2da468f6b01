#include "gateway/services.hpp"

#include <cstdio>

namespace tessera::gateway {

std::string draw_reply_id() {
  SystemEntropy entropy;
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(entropy.next_seed()),
                static_cast<unsigned long long>(entropy.next_seed()));
  return text;
}

}  // namespace tessera::gateway
