#include "tests/sim/flaw.hpp"

namespace tessera::sim {

const char* to_string(Flaw flaw) {
  switch (flaw) {
    case Flaw::none:
      return "none";
    case Flaw::wrong_sum:
      return "wrong_sum";
    case Flaw::lost_pages:
      return "lost_pages";
    case Flaw::lost_token:
      return "lost_token";
    case Flaw::doubled_token:
      return "doubled_token";
    case Flaw::lost_answer:
      return "lost_answer";
    case Flaw::doubled_answer:
      return "doubled_answer";
    case Flaw::lost_coordinator:
      return "lost_coordinator";
    case Flaw::deaf_to_retirement:
      return "deaf_to_retirement";
    case Flaw::store_without_terms:
      return "store_without_terms";
    case Flaw::weightless_shards:
      return "weightless_shards";
  }
  return "?";
}

}  // namespace tessera::sim
